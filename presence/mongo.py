"""The presence store on MongoDB; the only module of presence that knows its driver.

Collections::
    connections {_id: session id, user_id, device_id, gateway_id, dialect, opened_at, confirmed_at, gone_at?}
    gateways    {_id: gateway id, seen_at, expires_at, announced?, announcing_since?}
    users       {_id: user id, name, first_seen, last_seen, devices, online}
    devices     {_id: "user/device", user_id, device_id, name, type, platform, browser, …, first_seen, last_seen}
"""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Any, Self, TypeAlias

import msgspec
import pymongo
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import ASCENDING, DeleteOne, IndexModel, UpdateOne
from pymongo.errors import PyMongoError

from presence.store import Changes, Connection
from shared.errors import StoreUnavailable
from shared.events import DeviceInfo, PresenceChanged, Session, SessionClosed
from shared.ids import GatewayId, UserId
from shared.presence_api import Device, Presence
from shared.settings import MongoSettings

Document: TypeAlias = dict[str, Any]  # as the driver gives it; read here and nowhere else
Operation: TypeAlias = UpdateOne | DeleteOne
GONE = {"gone_at": {"$exists": True}}

INDEXES = {
    "connections": (
        IndexModel([("user_id", ASCENDING), ("device_id", ASCENDING)]),
        IndexModel([("gateway_id", ASCENDING), ("confirmed_at", ASCENDING)]),
        IndexModel([("gone_at", ASCENDING)], sparse=True),
    ),
    "users": (IndexModel([("online", ASCENDING), ("_id", ASCENDING)], partialFilterExpression={"online": True}),),
    "devices": (IndexModel([("user_id", ASCENDING), ("last_seen", ASCENDING)]),),
}


class MongoPresenceStore:
    """A `PresenceStore`. Writes are acknowledged by a majority; `open` makes one."""

    def __init__(self, client: AsyncIOMotorClient[Document], settings: MongoSettings) -> None:
        self._database = client[settings.mongo_database]
        self._timeout_s = settings.mongo_timeout_s
        self._connections: AsyncIOMotorCollection[Document] = self._database["connections"]
        self._gateways: AsyncIOMotorCollection[Document] = self._database["gateways"]
        self._users: AsyncIOMotorCollection[Document] = self._database["users"]
        self._devices: AsyncIOMotorCollection[Document] = self._database["devices"]

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
            client.close()

    async def create_indexes(self) -> None:
        """Create every index; idempotent. Raises: StoreUnavailable."""
        with self._asking():
            for collection, indexes in INDEXES.items():
                await self._database[collection].create_indexes(list(indexes))

    async def apply(self, changes: Changes, *, at: datetime) -> None:
        """See `PresenceStore.apply`: at most one bulk write a collection, and one more a stopped gateway."""
        opened, closed = changes.opened.values(), changes.closed.values()
        lasting = [session for session in opened if not session.device.ephemeral]
        with self._asking():
            for gateway_id, stopped_at in changes.stopped.items():
                await self._forget(gateway_id, seen_at=stopped_at)
            await _write(self._gateways, _sign_operations(changes, at))
            await _write(self._users, [*map(_user_seen, opened), *map(_user_left, closed)])
            await _write(self._devices, [*map(_device_seen, lasting), *map(_device_left, closed)])
            connected = [_connected(session, at) for session in opened]
            await _write(self._connections, [*connected, *(DeleteOne({"_id": gone.session_id}) for gone in closed)])

    async def expire(self, *, at: datetime, announced_before: datetime) -> tuple[GatewayId, ...]:
        """See `PresenceStore.expire`."""
        with self._asking():
            silent = await self._gateways.find({"expires_at": {"$lte": at}}).to_list(None)
            for gateway in silent:
                await self._forget(gateway["_id"], seen_at=gateway["seen_at"])
            announcing = {"announcing_since": {"$lte": announced_before}}
            for gateway in await self._gateways.find(announcing).to_list(None):
                await self._mark_unconfirmed(gateway)
        return tuple(GatewayId(gateway["_id"]) for gateway in silent)

    async def unannounced(self, gateway_ids: Collection[GatewayId]) -> frozenset[GatewayId]:
        """See `PresenceStore.unannounced`."""
        with self._asking():
            query = {"_id": {"$in": list(gateway_ids)}, "announced": True}
            known = [gateway["_id"] async for gateway in self._gateways.find(query, {"_id": 1})]
        return frozenset(gateway_ids) - frozenset(known)

    async def gone_users(self, *, limit: int) -> frozenset[UserId]:
        """See `PresenceStore.gone_users`."""
        with self._asking():
            found = self._connections.find(GONE, {"_id": 0, "user_id": 1}, limit=limit)
            return frozenset([UserId(connection["user_id"]) async for connection in found])

    async def connections(self, user_ids: Collection[UserId]) -> Sequence[Connection]:
        """See `PresenceStore.connections`."""
        with self._asking():
            projection = {"_id": 0, "user_id": 1, "device_id": 1, "gone_at": 1}
            found = self._connections.find({"user_id": {"$in": list(user_ids)}}, projection)
            return [Connection(**connection) async for connection in found]

    async def settle(self, user_ids: Collection[UserId], changed: Sequence[PresenceChanged]) -> None:
        """See `PresenceStore.settle`."""
        with self._asking():
            await _write(self._users, [_settled(change) for change in changed])
            await self._connections.delete_many({"user_id": {"$in": list(user_ids)}, **GONE})

    async def presence_of(self, user_ids: Collection[UserId]) -> Mapping[UserId, Presence]:
        """See `PresenceStore.presence_of`."""
        with self._asking():
            found = self._users.find({"_id": {"$in": list(user_ids)}})
            return {UserId(user["_id"]): _presence(user) async for user in found}

    async def online(self, *, after: UserId | None, limit: int) -> Sequence[Presence]:
        """See `PresenceStore.online`."""
        query: Document = {"online": True, "_id": {"$gt": after or ""}}
        with self._asking():
            found = self._users.find(query).sort("_id", ASCENDING).limit(limit)
            return [_presence(user) async for user in found]

    async def devices_of(self, user_id: UserId) -> Sequence[Device]:
        """See `PresenceStore.devices_of`."""
        with self._asking():
            connected = {
                connection.device_id for connection in await self.connections([user_id]) if not connection.gone_at
            }
            found = self._devices.find({"user_id": user_id}).sort("last_seen", -1)
            return [_device(device, online=device["device_id"] in connected) async for device in found]

    async def ping(self) -> bool:
        """See `PresenceStore.ping`."""
        try:
            with self._asking():
                await self._database.command("ping")
        except StoreUnavailable:
            return False
        return True

    async def _forget(self, gateway_id: GatewayId, *, seen_at: datetime) -> None:
        """Mark, then forget: dying in between repeats both."""
        await self._connections.update_many(
            {"gateway_id": gateway_id, "gone_at": {"$exists": False}}, {"$set": {"gone_at": seen_at}}
        )
        await self._gateways.delete_one({"_id": gateway_id})

    async def _mark_unconfirmed(self, gateway: Document) -> None:
        since = gateway["announcing_since"]
        await self._connections.update_many(
            {"gateway_id": gateway["_id"], "confirmed_at": {"$lt": since}, "gone_at": {"$exists": False}},
            {"$set": {"gone_at": since}},
        )
        await self._gateways.update_one({"_id": gateway["_id"]}, {"$unset": {"announcing_since": 1}})

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Put one deadline around all that is asked of the driver, and give its errors Warren's names."""
        try:
            with pymongo.timeout(self._timeout_s):
                yield
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB did not do what was asked: {error}") from error


async def _write(collection: AsyncIOMotorCollection[Document], operations: Iterable[Operation]) -> None:
    batch = list(operations)
    if batch:
        await collection.bulk_write(batch, ordered=False)


def _sign_operations(changes: Changes, at: datetime) -> Iterable[Operation]:
    for gateway_id, sign in changes.alive.items():
        fields: Document = {"announced": True} if gateway_id in changes.announced else {}
        if changes.announced.get(gateway_id):
            fields["announcing_since"] = at
        update: Document = {"$max": {"seen_at": sign.at, "expires_at": at + timedelta(seconds=sign.lease_s)}}
        yield UpdateOne({"_id": gateway_id}, update | ({"$set": fields} if fields else {}), upsert=True)


def _connected(session: Session, at: datetime) -> Operation:
    fields = {
        "user_id": session.user_id,
        "device_id": session.device.id,
        "gateway_id": session.gateway_id,
        "dialect": session.dialect,
        "opened_at": session.opened_at,
        "confirmed_at": at,
    }
    return UpdateOne({"_id": session.id}, {"$set": fields, "$unset": {"gone_at": 1}}, upsert=True)


def _user_seen(session: Session) -> Operation:
    first = {"first_seen": session.opened_at, "devices": 0, "online": False}
    update = {"$set": {"name": session.name}, "$max": {"last_seen": session.opened_at}, "$setOnInsert": first}
    return UpdateOne({"_id": session.user_id}, update, upsert=True)


def _user_left(closed: SessionClosed) -> Operation:
    return UpdateOne({"_id": closed.user_id}, {"$max": {"last_seen": closed.at}})


def _device_key(user_id: UserId, device_id: str) -> str:
    return f"{user_id}/{device_id}"  # no id holds a slash


def _device_seen(session: Session) -> Operation:
    info: Document = msgspec.structs.asdict(session.device)
    fields = info | {"user_id": session.user_id, "device_id": info.pop("id")}
    update = {
        "$set": fields,
        "$max": {"last_seen": session.opened_at},
        "$setOnInsert": {"first_seen": session.opened_at},
    }
    return UpdateOne({"_id": _device_key(session.user_id, session.device.id)}, update, upsert=True)


def _device_left(closed: SessionClosed) -> Operation:
    return UpdateOne({"_id": _device_key(closed.user_id, closed.device_id)}, {"$max": {"last_seen": closed.at}})


def _settled(change: PresenceChanged) -> Operation:
    online = change.status == "online"
    fields = {"devices": change.devices, "online": online}
    return UpdateOne({"_id": change.user_id}, {"$set": fields, "$max": {"last_seen": change.last_seen}})


def _presence(user: Document) -> Presence:
    return Presence(
        user_id=UserId(user["_id"]),
        status="online" if user["online"] else "offline",
        last_seen=user["last_seen"],
        devices=user["devices"],
    )


def _device(device: Document, *, online: bool) -> Device:
    info = DeviceInfo(
        id=device["device_id"],
        **{name: device[name] for name in DeviceInfo.__struct_fields__ if name in device},
    )
    return Device(info=info, first_seen=device["first_seen"], last_seen=device["last_seen"], online=online)
