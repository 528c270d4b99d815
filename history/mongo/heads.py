"""The ends of logs that a writer keeps, and the conversations they are of, on MongoDB."""

from collections.abc import Collection, Iterable, Sequence

import pymongo
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo.errors import BulkWriteError

from history import documents
from history.creation import Draft
from history.documents import Document
from history.mongo.connection import MongoConnection
from history.sequence import Head, Heads
from history.store import Reader
from shared.ids import ConversationId
from shared.settings import MongoSettings

HEADS = 10_000
ROUNDS = 5  # a round is lost only to another writer of the same shard, and that is a takeover: rare, and soon over
DUPLICATE_KEY = 11000


class MongoHeads(MongoConnection):
    """The heads in use. Each is a guess until the database has accepted the next version."""

    def __init__(self, client: AsyncIOMotorClient[Document], settings: MongoSettings) -> None:
        super().__init__(client, settings)
        self._heads = Heads(HEADS)

    async def take_over(self) -> None:
        """Forget the heads: others may have moved on, which would come to light at each one's next message."""
        self._heads.clear()

    async def _known_heads(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Head]:
        cached = {each: self._heads.get(each) for each in conversation_ids}
        heads = {each: head for each, head in cached.items() if head is not None}
        missing = [each for each, head in cached.items() if head is None]
        if missing:
            loaded = await self._load_heads(missing)
            self._heads.keep(loaded.values())
            heads |= loaded
        return heads

    async def _load_heads(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Head]:
        """Read heads: first where their logs end, then who is in them, for members change with an entry of the log."""
        tips = await self._tips(conversation_ids)
        found = self._conversations.find({"_id": {"$in": list(conversation_ids)}})
        return {each["_id"]: Head.of(documents.record_of(each), tips.get(each["_id"])) async for each in found}

    async def _present(self, places: Collection[Reader]) -> set[Reader]:
        """Give those of the users who are in those conversations now."""
        query = {"_id": {"$in": [documents.member_id(*place) for place in places]}, "left_version": None}
        found = self._members.find(query, ["conversation_id", "user_id"])
        return {(each["conversation_id"], each["user_id"]) async for each in found}

    async def _insert_conversations(self, drafts: Iterable[Draft]) -> set[ConversationId]:
        """Insert conversations, their members and first entries before them: whoever finds one finds it whole.

        Cut off, it is done again, and finds some of it there. Gives those made now.
        """
        drafts = list(drafts)
        members = [documents.member_document(draft.id, member) for draft in drafts for member in draft.members()]
        await _insert_missing(self._members, members)
        entries = [documents.change_document(entry) for draft in drafts if (entry := draft.entry())]
        if entries:
            await _insert_missing(self._messages, entries)
        counter = await self._database[documents.COUNTERS].find_one_and_update(
            {"_id": documents.CONVERSATIONS},
            {"$inc": {"last": len(drafts)}},
            upsert=True,
            return_document=pymongo.ReturnDocument.AFTER,
        )
        first = counter["last"] - len(drafts) + 1
        new = [documents.conversation_document(draft.record(first + n)) for n, draft in enumerate(drafts)]
        return await _insert_missing(self._conversations, new)


def duplicate(error: BulkWriteError) -> int:
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
        duplicate(error)
        there = {each["index"] for each in error.details["writeErrors"]}
    return {document["_id"] for n, document in enumerate(new) if n not in there}
