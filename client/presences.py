"""Whom the client watches, and how each was last seen. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from client.events import PresenceChanged


class Presences:
    """Remembers subscriptions, which end with each connection and are made again on the next."""

    def __init__(self) -> None:
        self._watched: dict[str, None] = {}
        self._seen: dict[str, PresenceChanged] = {}

    @property
    def seen(self) -> Mapping[str, PresenceChanged]:
        """Each user's presence as it was last told; it may be old for users who are not watched."""
        return self._seen

    @property
    def watched(self) -> Sequence[str]:
        """The users subscribed to."""
        return tuple(self._watched)

    def watch(self, users: Iterable[str], seen: Iterable[PresenceChanged] = ()) -> None:
        """Remember a subscription, and the presence that was its answer."""
        self._watched.update(dict.fromkeys(users))
        for presence in seen:
            self._seen[presence.user_id] = presence

    def leave(self, users: Iterable[str]) -> None:
        """Forget a subscription."""
        for user_id in users:
            self._watched.pop(user_id, None)

    def take(self, presence: PresenceChanged) -> bool:
        """Note a presence. False where it says nothing new: for one who is there, `last_seen` is the time of asking."""
        known = self._seen.get(presence.user_id)
        self._seen[presence.user_id] = presence
        if known is None or presence.status == "offline":
            return presence != known
        return msgspec.structs.replace(presence, last_seen=known.last_seen) != known
