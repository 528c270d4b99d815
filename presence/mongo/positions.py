"""How far devices have come, on MongoDB."""

from collections.abc import Sequence
from datetime import timedelta

from pymongo import UpdateOne

from presence.mongo.connection import Document, MongoConnection, Operation, write
from presence.mongo.devices import device_key
from shared.ids import DeviceId, UserId
from shared.presence_api import DevicePosition


class MongoPositions(MongoConnection):
    """The part of the `PresenceStore` that is about positions."""

    async def position(self, user_id: UserId, device_id: DeviceId) -> str | None:
        """See `PresenceStore.position`."""
        with self._asking():
            kept = await self._positions.find_one({"_id": device_key(user_id, device_id)}, {"since": 1})
        return None if kept is None else str(kept["since"])

    async def keep_positions(self, positions: Sequence[DevicePosition]) -> None:
        """See `PresenceStore.keep_positions`."""
        with self._asking():
            await write(self._positions, map(_kept, positions))


def _kept(position: DevicePosition) -> Operation:
    at = position.at - timedelta(microseconds=position.at.microsecond % 1000)  # as MongoDB keeps times
    newer = {"$gt": ["$at", at]}  # nothing, where there is none yet, is not
    update: list[Document] = [
        {"$set": {"since": {"$cond": [newer, "$since", {"$literal": position.since}]}, "at": {"$max": ["$at", at]}}}
    ]
    return UpdateOne({"_id": device_key(position.user_id, position.device_id)}, update, upsert=True)
