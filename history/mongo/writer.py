"""Write messages, conversations and watermarks to MongoDB."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

import pymongo
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from history import documents
from history.documents import Document, member_id
from history.mongo.connection import MongoConnection
from history.rules import direct_conversation, opens_direct, refuse_conversation, refuse_stranger
from history.sequence import Appended, Head, Heads, Key, key_of, place
from history.store import Advanced, Created, Reader
from history.watermarks import merge
from shared.commands import Acknowledge, ConversationKind, CreateConversation, SendMessage, Stage
from shared.errors import Conflict, StoreUnavailable, WarrenError
from shared.history_api import Watermark
from shared.ids import ConversationId
from shared.settings import MongoSettings

HEADS = 10_000
ROUNDS = 5  # a round is lost only to another writer of the same shard, and that is a takeover: rare, and soon over
DUPLICATE_KEY = 11000


class MongoWriter(MongoConnection):
    """The writing half of the store. It keeps the heads in use."""

    def __init__(self, client: AsyncIOMotorClient[Document], settings: MongoSettings) -> None:
        super().__init__(client, settings)
        self._heads = Heads(HEADS)

    # --- messages

    async def append(
        self, commands: Sequence[SendMessage], *, at: datetime, repeated: bool
    ) -> list[Appended | WarrenError]:
        """Give each message its place and make it durable: one insert for the whole batch."""
        waiting: dict[Key, SendMessage] = {}
        for command in commands:
            waiting.setdefault(key_of(command), command)
        results: dict[Key, Appended | WarrenError] = {}
        with ExitStack() as unfinished:  # cut off, the heads may have moved, or not
            unfinished.callback(self._heads.drop, [command.conversation_id for command in commands])
            with self._asking():
                await self._append(waiting, results, at, repeated=repeated)
            unfinished.pop_all()
        return [_marked(results[key_of(command)], first=waiting[key_of(command)] is command) for command in commands]

    async def _append(
        self,
        waiting: Mapping[Key, SendMessage],
        results: dict[Key, Appended | WarrenError],
        at: datetime,
        *,
        repeated: bool,
    ) -> None:
        for _ in range(ROUNDS):
            heads = await self._heads_for(waiting.values(), at)
            if repeated:
                results.update(await self._stored_before(waiting.keys() - results.keys(), heads))
            left = [command for key, command in waiting.items() if key not in results]
            placed, refused = place(left, heads, at)
            results.update(refused)
            done, clash = await self._insert(placed)
            results.update((key_of(appended.message), appended) for appended in placed[:done])
            if clash is None:
                return
            self._heads.drop(appended.message.conversation_id for appended in placed)
            results.update(clash)
            repeated = True
        raise StoreUnavailable("Another writer keeps taking the place of these messages.", messages=len(waiting))

    async def _insert(self, placed: Sequence[Appended]) -> tuple[int, Mapping[Key, WarrenError] | None]:
        """Insert in order, up to the first that is a duplicate; so no seq is ever left out.

        Gives how many are stored and, where that is not all, a refusal if that one can never be stored.
        """
        if not placed:
            return 0, None
        try:
            await self._messages.insert_many([documents.message_document(appended) for appended in placed])
        except BulkWriteError as error:
            done = _duplicate(error)
            message = placed[done].message
            holder = await self._messages.find_one({"_id": message.id}, documents.KEY_FIELDS)
            if holder is None or documents.key_of(holder) == key_of(message):
                return done, {}
            return done, {key_of(message): Conflict("This message id is taken.", message_id=message.id)}
        return len(placed), None

    async def _stored_before(self, keys: Collection[Key], heads: Mapping[ConversationId, Head]) -> dict[Key, Appended]:
        found: dict[Key, Appended] = {}
        if keys:
            async for document in self._messages.find({"$or": [documents.with_key(key) for key in keys]}):
                message = documents.message_of(document)
                audience = heads[message.conversation_id].member_ids
                found[key_of(message)] = Appended(message, document["previous_at"], audience, repeat=True)
        return found

    # --- heads and conversations

    async def _heads_for(self, commands: Iterable[SendMessage], at: datetime) -> dict[ConversationId, Head]:
        """Give the heads of existing conversations, and make the direct ones that are missing."""
        commands = list(commands)
        heads = await self._known_heads({command.conversation_id for command in commands})
        missing = {
            command.conversation_id: direct_conversation(command)
            for command in commands
            if command.conversation_id not in heads and opens_direct(command)
        }
        if missing:
            await self._insert_conversations(missing.values(), at)
            heads |= await self._known_heads(missing.keys())
        return heads

    async def _known_heads(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Head]:
        cached = {each: self._heads.get(each) for each in conversation_ids}
        heads = {each: head for each, head in cached.items() if head is not None}
        missing = [each for each, head in cached.items() if head is None]
        if missing:
            loaded = await self._load_heads(missing)
            self._heads.keep(loaded.values())
            heads |= loaded
        return heads

    async def _heads_up_to(self, acknowledgements: Collection[Acknowledge]) -> dict[ConversationId, Head]:
        """Give heads, read anew where one ends before what is acknowledged: another writer may have moved on."""
        heads = await self._known_heads({command.conversation_id for command in acknowledgements})
        behind = {
            command.conversation_id
            for command in acknowledgements
            if command.conversation_id in heads and heads[command.conversation_id].seq < command.seq
        }
        self._heads.drop(behind)
        return heads | await self._known_heads(behind)

    async def _load_heads(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Head]:
        tips = await self._tips(conversation_ids)
        heads: dict[ConversationId, Head] = {}
        fields = ["number", "kind", "member_ids"]
        async for document in self._conversations.find({"_id": {"$in": list(conversation_ids)}}, fields):
            each = document["_id"]
            head = Head(each, document["number"], ConversationKind(document["kind"]), tuple(document["member_ids"]))
            if tip := tips.get(each):
                head.seq, head.version, head.changed_at = tip.seq, tip.version, tip.at
            heads[each] = head
        return heads

    async def _insert_conversations(
        self, commands: Collection[CreateConversation], at: datetime
    ) -> set[ConversationId]:
        """Insert conversations, their members first: whoever finds one finds its members. Gives those made now."""
        members = [member for command in commands for member in documents.member_documents(command, at)]
        await _insert_missing(self._members, members)
        counter = await self._database[documents.COUNTERS].find_one_and_update(
            {"_id": documents.CONVERSATIONS},
            {"$inc": {"last": len(commands)}},
            upsert=True,
            return_document=pymongo.ReturnDocument.AFTER,
        )
        first = counter["last"] - len(commands) + 1
        new = [documents.conversation_document(command, first + n, at) for n, command in enumerate(commands)]
        return await _insert_missing(self._conversations, new)

    async def create(self, commands: Sequence[CreateConversation], *, at: datetime) -> list[Created | WarrenError]:
        """Make the conversations that are not there."""
        refused = [refuse_conversation(command) for command in commands]
        wanted = {
            command.conversation_id: command for command, error in zip(commands, refused, strict=True) if error is None
        }
        with self._asking():
            heads = await self._known_heads(wanted.keys())
            missing = [command for each, command in wanted.items() if each not in heads]
            made = await self._insert_conversations(missing, at) if missing else set()
            heads |= await self._known_heads([command.conversation_id for command in missing])
        results: list[Created | WarrenError] = []
        for command, error in zip(commands, refused, strict=True):
            if error is not None:
                results.append(error)
                continue
            head, each = heads[command.conversation_id], command.conversation_id
            stranger = refuse_stranger(command.creator_id, each, head.member_ids)
            results.append(stranger or Created(each, head.number, head.kind, created=each in made))
        return results

    # --- watermarks

    async def advance(
        self, acknowledgements: Sequence[Acknowledge], *, at: datetime
    ) -> dict[Reader, Advanced | WarrenError]:
        """Move watermarks forward: one read and one bulk write for the whole batch."""
        with self._asking():
            heads = await self._heads_up_to(acknowledgements)
            goals, refused = merge(acknowledgements, heads)
            results: dict[Reader, Advanced | WarrenError] = {**refused}
            updates: list[UpdateOne] = []
            ids = [member_id(*reader) for reader in goals]
            async for document in self._members.find({"_id": {"$in": ids}}):
                reader = (document["conversation_id"], document["user_id"])
                before = documents.watermark_of(document)
                moved = goals[reader].moved(before)
                after = goals[reader].reach(before, at)
                results[reader] = Advanced(after, moved, heads[reader[0]].member_ids)
                if moved:
                    updates.append(UpdateOne({"_id": document["_id"]}, {"$max": _marks(after, moved, at)}))
            if updates:
                await self._members.bulk_write(updates, ordered=False)
        return results


def _marked(result: Appended | WarrenError, *, first: bool) -> Appended | WarrenError:
    return result if first or isinstance(result, WarrenError) else replace(result, repeat=True)


def _marks(mark: Watermark, moved: Collection[Stage], at: datetime) -> Document:
    """What a watermark's document is raised to: by $max, so that in any order the result is the same."""
    marks: Document = {"acknowledged_at": at}
    if Stage.DELIVERED in moved:
        marks |= {"delivered_seq": mark.delivered_seq, "delivered_at": at}
    if Stage.READ in moved:
        marks |= {"read_seq": mark.read_seq, "read_at": at}
    return marks


def _duplicate(error: BulkWriteError) -> int:
    """Give the place of the duplicate that stopped an ordered insert. Raises: the error, if it was anything else."""
    failed = error.details["writeErrors"] if error.details else []
    if not failed or any(each["code"] != DUPLICATE_KEY for each in failed) or error.details["writeConcernErrors"]:
        raise error
    return int(failed[0]["index"])


async def _insert_missing(collection: AsyncIOMotorCollection[Document], new: Sequence[Document]) -> set[ConversationId]:
    """Insert those documents that are not there; gives the ids of those that were not."""
    there: set[int] = set()
    try:
        await collection.insert_many(new, ordered=False)
    except BulkWriteError as error:
        _duplicate(error)
        there = {each["index"] for each in error.details["writeErrors"]}
    return {document["_id"] for n, document in enumerate(new) if n not in there}
