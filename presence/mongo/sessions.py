"""Who is connected, through which gateway, and how users stand, on MongoDB."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from pymongo import ASCENDING, UpdateOne

from presence.mongo.connection import Document, MongoConnection, Operation, write
from presence.mongo.devices import device_left, device_seen
from presence.mongo.profiles import newcomer
from presence.store import Changes, Connection, Standing
from shared.commands import SetStatus, Status
from shared.events import Session, SessionClosed
from shared.ids import GatewayId, UserId
from shared.presence_api import Presence

HERE = {"gone_at": {"$exists": False}}
STANDING = dict.fromkeys(("devices", "online", "last_seen", "shown", "chosen", "text"), 1)


class MongoSessions(MongoConnection):
    """The part of the `PresenceStore` that is about connections, gateways and standings."""

    async def apply(self, changes: Changes, *, at: datetime) -> None:
        """See `PresenceStore.apply`: at most one bulk write a collection, and one more a stopped gateway."""
        opened, closed = changes.opened.values(), changes.closed.values()
        lasting = [session for session in opened if not session.device.ephemeral]
        with self._asking():
            for gateway_id, stopped_at in changes.stopped.items():
                await self._forget(gateway_id, seen_at=stopped_at)
            await write(self._gateways, _sign_operations(changes, at))
            await write(self._users, map(_user_seen, opened))
            await write(self._users, map(_chosen, changes.statuses.values()))
            await write(self._devices, [*map(device_seen, lasting), *map(device_left, closed)])
            connected = [_connected(session, at) for session in opened]
            await write(self._connections, [*connected, *map(_left, closed)])

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

    async def gone_users(self, *, until: datetime, limit: int) -> frozenset[UserId]:
        """See `PresenceStore.gone_users`."""
        with self._asking():
            found = self._connections.find({"gone_at": {"$lte": until}}, {"_id": 0, "user_id": 1}, limit=limit)
            return frozenset([UserId(connection["user_id"]) async for connection in found])

    async def connections(self, user_ids: Collection[UserId]) -> Sequence[Connection]:
        """See `PresenceStore.connections`."""
        with self._asking():
            projection = {"_id": 0, "user_id": 1, "device_id": 1, "opened_at": 1, "gone_at": 1}
            found = self._connections.find({"user_id": {"$in": list(user_ids)}}, projection)
            return [Connection(**connection) async for connection in found]

    async def standings(self, user_ids: Collection[UserId]) -> Mapping[UserId, Standing]:
        """See `PresenceStore.standings`."""
        with self._asking():
            found = self._users.find({"_id": {"$in": list(user_ids)}}, STANDING)
            return {UserId(user["_id"]): standing(user) async for user in found}

    async def settle(self, user_ids: Collection[UserId], changed: Sequence[Standing], *, gone_until: datetime) -> None:
        """See `PresenceStore.settle`."""
        with self._asking():
            await write(self._users, map(_settled, changed))
            await self._connections.delete_many({"user_id": {"$in": list(user_ids)}, "gone_at": {"$lte": gone_until}})

    async def online(self, *, after: UserId | None, limit: int) -> Sequence[Standing]:
        """See `PresenceStore.online`."""
        query: Document = {"online": True, "_id": {"$gt": after or ""}}
        with self._asking():
            found = self._users.find(query, STANDING).sort("_id", ASCENDING).limit(limit)
            return [standing(user) async for user in found]

    async def _forget(self, gateway_id: GatewayId, *, seen_at: datetime) -> None:
        """Mark, then forget: dying in between repeats both."""
        await self._connections.update_many({"gateway_id": gateway_id, **HERE}, {"$set": {"gone_at": seen_at}})
        await self._gateways.delete_one({"_id": gateway_id})

    async def _mark_unconfirmed(self, gateway: Document) -> None:
        since = gateway["announcing_since"]
        await self._connections.update_many(
            {"gateway_id": gateway["_id"], "confirmed_at": {"$lt": since}, **HERE},
            {"$set": {"gone_at": since}},
        )
        await self._gateways.update_one({"_id": gateway["_id"]}, {"$unset": {"announcing_since": 1}})


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


def _left(closed: SessionClosed) -> Operation:
    return UpdateOne({"_id": closed.session_id, **HERE}, {"$set": {"gone_at": closed.at}})


def _user_seen(session: Session) -> Operation:
    first = newcomer(session.user_id, session.name, session.opened_at)
    return UpdateOne({"_id": session.user_id}, {"$setOnInsert": first}, upsert=True)


def _chosen(said: SetStatus) -> Operation:
    not_later = {"_id": said.user_id, "chosen_at": {"$not": {"$gt": said.at}}}
    return UpdateOne(not_later, {"$set": {"chosen": said.status, "text": said.text, "chosen_at": said.at}})


def _settled(standing: Standing) -> Operation:
    told = standing.told
    fields: Document = {
        "devices": standing.devices,
        "online": standing.devices > 0,
        "shown": {"status": told.status, "text": told.text},
    }
    if told.last_seen is not None:
        fields["last_seen"] = told.last_seen
    return UpdateOne({"_id": told.user_id}, {"$set": fields})


def standing(user: Document) -> Standing:
    """Read how a user stands."""
    shown: Document = user.get("shown") or {"status": "online" if user["online"] else "offline"}
    told = Presence(
        user_id=UserId(user["_id"]),
        status=shown["status"],
        last_seen=user.get("last_seen"),
        devices=0 if shown["status"] == "offline" else user["devices"],
        text=shown.get("text", ""),
    )
    chosen = Status(user.get("chosen", Status.ONLINE))
    return Standing(told, devices=user["devices"], chosen=chosen, text=user.get("text", ""))
