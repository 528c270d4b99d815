"""Forgetting who a user is, on MongoDB."""

from collections.abc import Collection
from datetime import datetime

from presence.mongo.connection import Document, MongoConnection
from presence.mongo.profiles import OPTIONAL
from presence.profiles import terms
from shared.events import DeviceInfo
from shared.ids import DeviceId, UserId

PERSONAL = dict.fromkeys((*OPTIONAL, "username_key", "text"), "")
OF_A_DEVICE = dict.fromkeys((name for name in DeviceInfo.__struct_fields__ if name != "id"), "")


class MongoErasure(MongoConnection):
    """`Erasable` on MongoDB."""

    async def erase(self, user_id: UserId, *, at: datetime) -> Collection[DeviceId]:
        """See `Erasable.erase`."""
        theirs: Document = {"_id": {"$gt": f"{user_id}/", "$lt": f"{user_id}0"}}  # 0 comes after the slash
        nameless = {"name": user_id, "named": False, "search": terms(user_id, user_id, None)}
        with self._asking():
            await self._accounts.delete_one({"_id": user_id})
            await self._users.update_one({"_id": user_id}, {"$set": nameless, "$unset": PERSONAL})
            await self._devices.update_many(theirs, {"$max": {"signed_out_at": at}, "$unset": OF_A_DEVICE})
            await self._positions.delete_many(theirs)
            return [DeviceId(each["device_id"]) async for each in self._devices.find(theirs, {"device_id": 1})]
