"""The collections of presence, and how they are asked: one deadline, one kind of error."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self, TypeAlias

import pymongo
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import ASCENDING, DeleteOne, IndexModel, UpdateOne
from pymongo.errors import PyMongoError

from shared.errors import StoreUnavailable
from shared.settings import MongoSettings

Document: TypeAlias = dict[str, Any]  # as the driver gives it; read in this package and nowhere else
Operation: TypeAlias = UpdateOne | DeleteOne
Collection: TypeAlias = AsyncIOMotorCollection[Document]
CLOSING_S = 1.0  # the driver takes leave of its sessions, and waits 30 s for a database that is away
POSITIONS_KEPT_S = 90 * 86_400  # a device that is away for longer begins anew

INDEXES = {
    "connections": (
        IndexModel([("user_id", ASCENDING), ("device_id", ASCENDING)]),
        IndexModel([("gateway_id", ASCENDING), ("confirmed_at", ASCENDING)]),
        IndexModel([("gone_at", ASCENDING)], sparse=True),
        IndexModel([("opened_at", ASCENDING)]),
    ),
    "users": (
        IndexModel([("online", ASCENDING), ("_id", ASCENDING)], partialFilterExpression={"online": True}),
        IndexModel([("username_key", ASCENDING)], unique=True, sparse=True),
        IndexModel([("search", ASCENDING), ("_id", ASCENDING)]),
    ),
    "devices": (IndexModel([("user_id", ASCENDING), ("last_seen", ASCENDING)]),),
    "positions": (IndexModel([("at", ASCENDING)], expireAfterSeconds=POSITIONS_KEPT_S),),
    "accounts": (
        IndexModel([("username_key", ASCENDING)], unique=True),
        IndexModel([("email_key", ASCENDING)], unique=True),
    ),
}


class MongoConnection:
    """Presence's database. Writes are acknowledged by a majority.

    Collections::
        connections {_id: session id, user_id, device_id, gateway_id, dialect, opened_at, confirmed_at, gone_at?}
        gateways    {_id: gateway id, seen_at, expires_at, announced?, announcing_since?}
        users       {_id: user id, first_seen, name, named, username?, username_key?, avatar_url?, bio?, time_zone?,
                     search: [term], devices, online, last_seen?, shown?: {status, text},
                     chosen?, text?, chosen_at?}
        devices     {_id: "user/device", user_id, device_id, name, type, platform, browser, …, first_seen, last_seen,
                     signed_out_at?}
        positions   {_id: "user/device", since, at}
        accounts    {_id: user id, username, username_key, email, email_key, full_name, password_hash, created_at}
        account_numbers {_id: "last", number}
    """

    def __init__(self, client: AsyncIOMotorClient[Document], settings: MongoSettings) -> None:
        self._client = client
        self._database = client[settings.mongo_database]
        self._timeout_s = settings.mongo_timeout_s
        self._connections: Collection = self._database["connections"]
        self._gateways: Collection = self._database["gateways"]
        self._users: Collection = self._database["users"]
        self._devices: Collection = self._database["devices"]
        self._positions: Collection = self._database["positions"]
        self._accounts: Collection = self._database["accounts"]
        self._account_numbers: Collection = self._database["account_numbers"]

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: MongoSettings) -> AsyncIterator[Self]:
        """Open the store; it connects when it is first asked something."""
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            settings.mongo_url.get_secret_value(), tz_aware=True, w="majority", appname="warren-presence"
        )
        try:
            yield cls(client, settings)
        finally:
            with pymongo.timeout(CLOSING_S):
                client.close()

    async def create_indexes(self) -> None:
        """Create every index; idempotent. Raises: StoreUnavailable."""
        with self._asking():
            for collection, indexes in INDEXES.items():
                await self._database[collection].create_indexes(list(indexes))

    async def ping(self) -> bool:
        """Tell whether the database answers; never raises StoreUnavailable."""
        try:
            with self._asking():
                await self._database.command("ping")
        except StoreUnavailable:
            return False
        return True

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Put one deadline around all that is asked of the driver, and give its errors Warren's names."""
        try:
            with pymongo.timeout(self._timeout_s):
                yield
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB did not do what was asked: {error}") from error


async def write(collection: Collection, operations: Iterable[Operation]) -> None:
    """Carry out operations in one bulk write, in any order; none is none."""
    batch = list(operations)
    if batch:
        await collection.bulk_write(batch, ordered=False)
