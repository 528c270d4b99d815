"""Who is connected and may be seen, on MongoDB."""

from collections.abc import AsyncIterator, Mapping, Sequence

from pymongo import DESCENDING

from presence.mongo.connection import Document, MongoConnection
from presence.mongo.devices import device_info, device_key
from presence.mongo.sessions import HERE, STANDING, standing
from shared.events import DeviceInfo
from shared.ids import UserId
from shared.presence_api import Here

CONNECTION = {"user_id": 1, "device_id": 1, "opened_at": 1}
OFFLINE = "offline"


class MongoHere(MongoConnection):
    """The part of the `PresenceStore` that tells who is here."""

    async def here(self, *, limit: int) -> Sequence[Here]:
        """See `PresenceStore.here`: connections are read, the last one first, until there are users enough."""
        here: list[Here] = []
        known: set[UserId] = set()
        with self._asking():
            found = self._connections.find(HERE, CONNECTION).sort("opened_at", DESCENDING).batch_size(limit)
            while len(here) < limit and (latest := await _of_others(found, known, limit)):
                here += await self._seen(latest)
            await found.close()
        return here[:limit]

    async def _seen(self, connections: Sequence[Document]) -> list[Here]:
        """Leave out whom others do not see."""
        user_ids = [each["user_id"] for each in connections]
        found = self._users.find({"_id": {"$in": user_ids}}, STANDING | {"name": 1})
        users = {user["_id"]: user async for user in found}
        devices = await self._device_infos(connections)
        seen: list[Here] = []
        for each in connections:
            user = users.get(each["user_id"])
            if user is not None and standing(user).told.status != OFFLINE:
                seen.append(_here(user, each, devices))
        return seen

    async def _device_infos(self, connections: Sequence[Document]) -> dict[str, DeviceInfo]:
        keys = [device_key(each["user_id"], each["device_id"]) for each in connections]
        return {each["_id"]: device_info(each) async for each in self._devices.find({"_id": {"$in": keys}})}


async def _of_others(found: AsyncIterator[Document], known: set[UserId], count: int) -> list[Document]:
    """Take the next connections of users who are not yet known, and know them from now on."""
    latest: list[Document] = []
    async for each in found:
        if each["user_id"] not in known:
            known.add(each["user_id"])
            latest.append(each)
        if len(latest) == count:
            break
    return latest


def _here(user: Document, connection: Document, devices: Mapping[str, DeviceInfo]) -> Here:
    device_id = connection["device_id"]
    return Here(
        user_id=UserId(user["_id"]),
        name=user["name"],
        device=devices.get(device_key(user["_id"], device_id)) or DeviceInfo(id=device_id, ephemeral=True),
        status=standing(user).told.status,
        since=connection["opened_at"],
    )
