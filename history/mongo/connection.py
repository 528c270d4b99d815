"""The collections of history, and how they are asked: one deadline, one kind of error."""

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC
from typing import Self

import pymongo
from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReadPreference, WriteConcern
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from history import documents
from history.documents import Document
from history.reading import Tip
from shared.errors import StoreUnavailable
from shared.ids import ConversationId
from shared.settings import MongoSettings

CLOSING_S = 1.0  # the driver takes leave of its sessions, and waits 30 s for a database that is away
OTHER_FORM = (85, 86)  # IndexOptionsConflict, IndexKeySpecsConflict: one of these fields is there, with other options


class MongoConnection:
    """History's database on a MongoDB replica set.

    Writes are acknowledged by a majority, from its journal. Reads are of what a majority has, so that nothing that a
    failover could take back is answered, counted from, or taken for stored.
    """

    def __init__(self, client: AsyncIOMotorClient[Document], settings: MongoSettings) -> None:
        options: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
        self._client = client
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
            with pymongo.timeout(CLOSING_S):
                client.close()

    async def create_indexes(self) -> None:
        """Create the indexes that are missing, in place of those of an earlier form. Idempotent."""
        with self._asking():
            for index in documents.INDEXES:
                await self._create_index(index)

    async def _create_index(self, index: documents.Index) -> None:
        collection = self._database[index.collection]
        keys = [(name, pymongo.ASCENDING) for name in index.fields]
        options: Document = {"unique": index.unique, "sparse": index.sparse}
        if index.where is not None:
            options["partialFilterExpression"] = index.where
        try:
            await collection.create_index(keys, **options)
        except OperationFailure as error:
            if error.code not in OTHER_FORM:
                raise
            await collection.drop_index(keys)
            await collection.create_index(keys, **options)

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

    async def _tips(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Tip]:
        found = self._messages.aggregate(documents.ends_of_logs(conversation_ids))
        return {each["_id"]: documents.tip_of(each) async for each in found}
