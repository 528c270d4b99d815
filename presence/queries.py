"""Answer the other services' questions from the store."""

from collections.abc import Sequence

import msgspec

from presence.store import PresenceStore
from shared.clock import Clock
from shared.ids import UserId
from shared.presence_api import Presence


class StoredPresence:
    """The `PresenceQueries` of the presence service itself."""

    def __init__(self, store: PresenceStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def presence_of(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """Give the presence of each: who is online is seen now, who never connected is offline."""
        settled = await self._store.presence_of(user_ids)
        return {
            user_id: self._as_of_now(settled.get(user_id, Presence(user_id=user_id, status="offline")))
            for user_id in user_ids
        }

    def _as_of_now(self, presence: Presence) -> Presence:
        if presence.status == "offline":
            return presence
        return msgspec.structs.replace(presence, last_seen=self._clock.now())
