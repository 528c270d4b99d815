"""Alter conversations on MongoDB: each alteration is one transaction."""

from contextlib import ExitStack
from datetime import datetime
from typing import TypeAlias

import pymongo
from motor.motor_asyncio import AsyncIOMotorClientSession
from pymongo import UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from history import documents
from history.alterations import decide
from history.documents import Document, member_id
from history.mongo.heads import DUPLICATE_KEY, ROUNDS, MongoHeads
from history.mongo.watermarks import NO_TRAILS
from history.reading import LoggedChange, LoggedMessage, Membership, Record, Tip
from history.rules import refuse_stranger
from history.scene import Outcome, Scene, members_touched, message_named, users_named
from history.sequence import Head
from history.store import Altered
from shared.commands import Alteration, Role, SetMembers
from shared.errors import Conflict, NotFound, StoreUnavailable, WarrenError
from shared.ids import MessageId, UserId

Session: TypeAlias = AsyncIOMotorClientSession
_CONCERNS = (ReadConcern("snapshot"), WriteConcern("majority", j=True))
_LEFT = ("left_version", "left_seq", "left_at")


class MongoAlterations(MongoHeads):
    """Altering conversations. Everything is read from one snapshot; a rival's entry in between makes it start again."""

    async def alter(self, command: Alteration, *, at: datetime) -> Altered | WarrenError:
        """Carry out an alteration wholly, or not at all."""
        with ExitStack() as unfinished:  # cut off, the log may have moved, or not
            unfinished.callback(self._heads.drop, [command.conversation_id])
            with self._asking():
                altered = await self._altered(command, at)
            unfinished.pop_all()
        return altered

    async def _altered(self, command: Alteration, at: datetime) -> Altered | WarrenError:
        for _ in range(ROUNDS):
            try:
                async with await self._client.start_session() as session, session.start_transaction(*_CONCERNS):
                    result = await self._attempt(command, at, session)
            except PyMongoError as error:
                if not _overtaken(error):
                    raise
                self._heads.drop([command.conversation_id])
                continue
            return self._kept(result)
        raise StoreUnavailable("Another writer keeps taking the place of this change.", change_id=command.change_id)

    def _kept(self, result: Outcome | Altered | WarrenError) -> Altered | WarrenError:
        """Move the head to what is committed."""
        if not isinstance(result, Outcome):
            return result
        change = result.change
        self._heads.keep([Head.of(result.record, Tip(change.after_seq, change.version, change.at))])
        return Altered(result.entry(), change.version)

    async def _attempt(self, command: Alteration, at: datetime, session: Session) -> Outcome | Altered | WarrenError:
        document = await self._conversations.find_one({"_id": command.conversation_id}, session=session)
        if document is None:
            return _refuse_nowhere(command)
        record = documents.record_of(document)
        done = await self._messages.find_one({"_id": command.change_id}, session=session)
        if done is not None:
            return await self._again(command, done, record, session)
        scene = await self._scene(command, record, session)
        outcome = decide(command, scene, at)
        if outcome is None:
            return Altered(None, scene.tip.version if scene.tip is not None else 0)
        if isinstance(outcome, Outcome):
            await self._write(outcome, record, session)
        return outcome

    async def _again(
        self, command: Alteration, done: Document, record: Record, session: Session
    ) -> Altered | WarrenError:
        """Give the entry that the command made when it was here before."""
        if "change" not in done or done["conversation_id"] != command.conversation_id:
            return Conflict("This change id is taken.", change_id=command.change_id)
        change = documents.logged_change_of(done)
        message, latecomers = await self._message(change.message_id, record, session)
        if change.message_id is not None and message is None:  # expired: nobody has anything left to change
            return Altered(None, change.version, repeat=True)
        outcome = Outcome(change, record, message, latecomers=latecomers)
        return Altered(outcome.entry(), change.version, repeat=True)

    # --- what it finds

    async def _scene(self, command: Alteration, record: Record, session: Session) -> Scene:
        users = users_named(command)
        members = await self._named(record, users, session)
        message, latecomers = await self._message(message_named(command), record, session)
        return Scene(
            record,
            await self._tip(record, session),
            members,
            owners=await self._owners(command, record, members, session),
            space=await self._in_space(command, record, users, session),
            message=message,
            latecomers=latecomers,
        )

    async def _named(self, record: Record, users: set[UserId], session: Session) -> dict[UserId, Membership]:
        query = {"_id": {"$in": [member_id(record.id, user_id) for user_id in users]}}
        found = self._members.find(query, NO_TRAILS, session=session)
        return {each["user_id"]: documents.membership_of(each) async for each in found}

    async def _tip(self, record: Record, session: Session) -> Tip | None:
        last = [("version", pymongo.DESCENDING)]
        found = await self._messages.find_one(
            {"conversation_id": record.id}, documents.TIP_FIELDS, sort=last, session=session
        )
        return None if found is None else documents.tip_of(found)

    async def _message(
        self, message_id: MessageId | None, record: Record, session: Session
    ) -> tuple[LoggedMessage | None, tuple[UserId, ...]]:
        """Give a message, and the members who joined after it and may not read it."""
        if message_id is None:
            return None, ()
        query: Document = {"_id": message_id, "conversation_id": record.id, "seq": {"$gt": 0}}
        document = await self._messages.find_one(query, session=session)
        if document is None:
            return None, ()
        query = {"conversation_id": record.id, "first_seq": {"$gt": document["seq"]}, "left_version": None}
        late = self._members.find(query, ["user_id"], session=session)
        return documents.logged_message_of(document), tuple([each["user_id"] async for each in late])

    async def _owners(
        self, command: Alteration, record: Record, members: dict[UserId, Membership], session: Session
    ) -> int:
        """Count the owners, where one may stop being one: this reads all members."""
        touched = [members[user_id] for user_id in members_touched(command) if user_id in members]
        if not any(member.present and member.role == Role.OWNER for member in touched):
            return 0
        query = {"conversation_id": record.id, "role": Role.OWNER.value, "left_version": None}
        return await self._members.count_documents(query, session=session)

    async def _in_space(
        self, command: Alteration, record: Record, users: set[UserId], session: Session
    ) -> frozenset[UserId]:
        if record.parent_id is None or not isinstance(command, SetMembers):
            return frozenset()
        ids = [member_id(record.parent_id, user_id) for user_id in users]
        found = self._members.find({"_id": {"$in": ids}, "left_version": None}, ["user_id"], session=session)
        return frozenset([each["user_id"] async for each in found])

    # --- what it leaves

    async def _write(self, outcome: Outcome, before: Record, session: Session) -> None:
        await self._messages.insert_one(documents.change_document(outcome.change), session=session)
        if outcome.message is not None:
            update = documents.changed_fields(outcome.message)
            await self._messages.update_one({"_id": outcome.message.message.id}, update, session=session)
        if outcome.record != before:
            update = _conversation_update(outcome.record)
            await self._conversations.update_one({"_id": before.id}, update, session=session)
        if outcome.members:
            seats = [_seat(outcome.change, member) for member in outcome.members]
            await self._members.bulk_write(seats, session=session)


def _conversation_update(record: Record) -> Document:
    update: Document = {"$set": documents.conversation_document(record)}
    if record.member_ids is None:
        update["$unset"] = {"member_ids": ""}
    return update


def _seat(change: LoggedChange, member: Membership) -> UpdateOne:
    """Write a member's place; their watermark stays."""
    each = member_id(change.conversation_id, member.user_id)
    fields = documents.seat_fields(member)
    new = documents.member_document(change.conversation_id, member)
    update: Document = {
        "$set": fields,
        "$setOnInsert": {name: value for name, value in new.items() if name not in fields},
    }
    if member.present:
        update["$unset"] = dict.fromkeys(_LEFT, "")
    return UpdateOne({"_id": each}, update, upsert=True)


def _refuse_nowhere(command: Alteration) -> WarrenError:
    missing = NotFound("There is no such conversation.", conversation_id=command.conversation_id)
    if command.actor_id is None:
        return missing
    return refuse_stranger(command.actor_id, command.conversation_id, None) or missing


def _overtaken(error: PyMongoError) -> bool:
    """Tell whether a transaction failed because another one was there first, and left nothing."""
    if isinstance(error, BulkWriteError):
        errors = (error.details or {}).get("writeErrors", ())
        return any(each["code"] == DUPLICATE_KEY for each in errors)
    return isinstance(error, DuplicateKeyError) or error.has_error_label("TransientTransactionError")
