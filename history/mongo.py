"""The message store on MongoDB; the only importer of motor in history."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

import pymongo
from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import ReadPreference, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.read_concern import ReadConcern

from history import documents
from history.documents import Document, member_id
from history.rules import direct_conversation, opens_direct, refuse_conversation, refuse_stranger
from history.sequence import Appended, Head, Heads, Key, key_of, place
from history.store import Advanced, Change, Created, Membership, Reader, Record, Tip
from history.watermarks import merge
from shared.commands import Acknowledge, ConversationKind, CreateConversation, SendMessage, Stage
from shared.errors import Conflict, StoreUnavailable, WarrenError
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, UserId
from shared.settings import MongoSettings

HEADS = 10_000
ROUNDS = 5  # a round is lost only to another writer of the same shard, and that is a takeover: rare, and soon over
DUPLICATE_KEY = 11000


class MongoMessageStore:
    """`MessageStore` on a MongoDB replica set.

    Writes are acknowledged by a majority, from its journal. Reads are of what a majority has, so that nothing that a
    failover could take back is answered, counted from, or taken for stored.
    """

    def __init__(self, client: AsyncIOMotorClient[Document], settings: MongoSettings) -> None:
        options: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
        self._database = client.get_database(
            settings.mongo_database,
            codec_options=options,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", j=True),
            read_concern=ReadConcern("majority"),
        )
        self._messages = self._database[documents.MESSAGES]
        self._conversations = self._database[documents.CONVERSATIONS]
        self._members = self._database[documents.MEMBERS]
        self._timeout_s = settings.mongo_timeout_s
        self._heads = Heads(HEADS)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: MongoSettings) -> AsyncIterator[Self]:
        """Open the store; it connects when it is first asked something."""
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            settings.mongo_url.get_secret_value(), retryWrites=True, appname="warren-history"
        )
        try:
            yield cls(client, settings)
        finally:
            client.close()

    async def create_indexes(self) -> None:
        """Create the indexes that are missing. Idempotent."""
        with self._asking():
            for index in documents.INDEXES:
                keys = [(name, pymongo.ASCENDING) for name in index.fields]
                await self._database[index.collection].create_index(keys, unique=index.unique)

    async def ping(self) -> bool:
        """Tell whether the database answers; never raises."""
        try:
            with self._asking():
                await self._database.command("ping")
        except StoreUnavailable:
            return False
        return True

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Put one deadline around all that is asked of the driver, and give its errors Warren's names.

        The deadline goes to the server too, so a write is never seen later than it: `position.SETTLE` relies on it.
        """
        try:
            with pymongo.timeout(self._timeout_s):
                yield
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB did not do what was asked: {error}") from error

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

    # --- queries

    async def memberships(self, user_id: UserId) -> dict[ConversationId, Membership]:
        """Give all conversations of a user."""
        with self._asking():
            found = self._members.find({"user_id": user_id})
            return {each["conversation_id"]: documents.membership_of(each) async for each in found}

    async def tips(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Tip]:
        """Give the ends of conversations' logs."""
        with self._asking():
            return await self._tips(conversation_ids)

    async def _tips(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Tip]:
        found = self._messages.aggregate(documents.last_of_each(conversation_ids, "seq", "version", "created_at"))
        return {each["_id"]: Tip(each["seq"], each["version"], each["created_at"]) async for each in found}

    async def records(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Record]:
        """Give those of the conversations that exist."""
        with self._asking():
            last = self._messages.aggregate(documents.last_of_each(conversation_ids))
            messages = {each["_id"]: documents.message_of(each["last"]) async for each in last}
            found = self._conversations.find({"_id": {"$in": list(conversation_ids)}})
            return {each["_id"]: documents.record_of(each, messages.get(each["_id"])) async for each in found}

    async def watermarks(
        self, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, tuple[Watermark, ...]]:
        """Give the watermarks of every member."""
        marks: defaultdict[ConversationId, list[Watermark]] = defaultdict(list)
        with self._asking():
            async for each in self._members.find({"conversation_id": {"$in": list(conversation_ids)}}):
                marks[each["conversation_id"]].append(documents.watermark_of(each))
        return {each: tuple(sorted(found, key=lambda mark: mark.user_id)) for each, found in marks.items()}

    async def acknowledged_after(
        self, conversation_ids: Collection[ConversationId], moment: datetime
    ) -> set[ConversationId]:
        """Give those of the conversations in which a watermark moved after a moment."""
        query = {"conversation_id": {"$in": list(conversation_ids)}, "acknowledged_at": {"$gt": moment}}
        with self._asking():
            return set(await self._members.distinct("conversation_id", query))

    async def changes(
        self, conversation_id: ConversationId, *, version: int | None, floor: datetime, limit: int
    ) -> list[Change]:
        """Give the newest changes, read backwards until one that is had."""
        newest = self._messages.find({"conversation_id": conversation_id}).sort("seq", pymongo.DESCENDING)
        changes: list[Change] = []
        with self._asking():
            async for document in newest.limit(limit).batch_size(min(limit, documents.READ_AHEAD)):
                change = documents.change_of(document)
                message = change.message
                if message.version <= version if version is not None else message.created_at <= floor:
                    break
                changes.append(change)
            await newest.close()
        return changes[::-1]

    async def messages(
        self, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> list[Message]:
        """Give one page in seq order."""
        query: Document = {"conversation_id": conversation_id}
        if after is not None:
            query["seq"] = {"$gt": after}
        elif before is not None:
            query["seq"] = {"$lt": before}
        order = pymongo.ASCENDING if after is not None else pymongo.DESCENDING
        with self._asking():
            found = await self._messages.find(query).sort("seq", order).limit(limit).to_list(limit)
        messages = [documents.message_of(document) for document in found]
        return messages if after is not None else messages[::-1]

    async def unread(self, user_id: UserId, after: Mapping[ConversationId, int]) -> dict[ConversationId, int]:
        """Count the messages of others."""
        if not after:
            return {}
        with self._asking():
            found = self._messages.aggregate(documents.unread_count(user_id, after))
            return {each["_id"]: each["unread"] async for each in found}


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
