"""The devices that users have signed in with, on MongoDB."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec
from pymongo import UpdateOne

from presence.mongo.connection import Document, MongoConnection, Operation
from presence.store import MAX_DEVICES, DeviceKey
from shared.events import DeviceInfo, Session, SessionClosed
from shared.ids import DeviceId, UserId
from shared.presence_api import Device


class MongoDevices(MongoConnection):
    """The part of the `PresenceStore` that is about devices."""

    async def devices_of(self, user_id: UserId) -> Sequence[Device]:
        """See `PresenceStore.devices_of`."""
        with self._asking():
            here = {"user_id": user_id, "gone_at": {"$exists": False}}
            connected = set(await self._connections.distinct("device_id", here))
            found = self._devices.find({"user_id": user_id}).sort("last_seen", -1).limit(MAX_DEVICES)
            return [_device(device, online=device["device_id"] in connected) async for device in found]

    async def sign_out(self, user_id: UserId, device_id: DeviceId, *, at: datetime, known: bool = True) -> bool:
        """See `PresenceStore.sign_out`."""
        first = {"user_id": user_id, "device_id": device_id, "first_seen": at, "last_seen": at}
        out: Document = {"$max": {"signed_out_at": at}, "$setOnInsert": first}
        with self._asking():
            result = await self._devices.update_one({"_id": device_key(user_id, device_id)}, out, upsert=not known)
        return not known or result.matched_count == 1

    async def signed_out(self, devices: Collection[DeviceKey]) -> Mapping[DeviceKey, datetime]:
        """See `PresenceStore.signed_out`."""
        if not devices:
            return {}
        keys = [device_key(user_id, device_id) for user_id, device_id in devices]
        return {
            (UserId(device["user_id"]), DeviceId(device["device_id"])): device["signed_out_at"]
            for device in await self._out({"_id": {"$in": keys}})
        }

    async def signed_out_of(self, user_id: UserId) -> Mapping[DeviceId, datetime]:
        """See `PresenceStore.signed_out_of`."""
        return {
            DeviceId(device["device_id"]): device["signed_out_at"] for device in await self._out({"user_id": user_id})
        }

    async def _out(self, which: Document) -> list[Document]:
        with self._asking():
            query = which | {"signed_out_at": {"$exists": True}}
            return await self._devices.find(query, {"user_id": 1, "device_id": 1, "signed_out_at": 1}).to_list(None)


def device_key(user_id: UserId, device_id: DeviceId) -> str:
    """Name the document of a device."""
    return f"{user_id}/{device_id}"  # no id holds a slash


def device_seen(session: Session) -> Operation:
    """Keep what a device says of itself, and that it is here."""
    info: Document = msgspec.structs.asdict(session.device)
    fields = info | {"user_id": session.user_id, "device_id": info.pop("id")}
    update = {
        "$set": fields,
        "$max": {"last_seen": session.opened_at},
        "$setOnInsert": {"first_seen": session.opened_at},
    }
    return UpdateOne({"_id": device_key(session.user_id, session.device.id)}, update, upsert=True)


def device_left(closed: SessionClosed) -> Operation:
    """Keep until when a device was here."""
    return UpdateOne({"_id": device_key(closed.user_id, closed.device_id)}, {"$max": {"last_seen": closed.at}})


def device_info(device: Document) -> DeviceInfo:
    """Read what a device says of itself."""
    return DeviceInfo(
        id=device["device_id"],
        **{name: device[name] for name in DeviceInfo.__struct_fields__ if name in device},
    )


def _device(device: Document, *, online: bool) -> Device:
    return Device(
        info=device_info(device),
        first_seen=device["first_seen"],
        last_seen=device["last_seen"],
        online=online,
        signed_out_at=device.get("signed_out_at"),
    )
