"""Presence's query API as a port."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Protocol

import msgspec

from shared.ids import UserId

MAX_USERS = 500


class Presence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a user is there. `last_seen` is None for a user who has never connected."""

    user_id: UserId
    status: str  # online or offline
    last_seen: datetime | None = None
    devices: int = 0


class PresenceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose presence is asked for; the body of the query over HTTP."""

    user_ids: Annotated[tuple[UserId, ...], msgspec.Meta(max_length=MAX_USERS)]


class PresenceQueries(Protocol):
    """What presence answers."""

    async def presence_of(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """Give the presence of each user asked for, at most MAX_USERS. Raises: Unavailable."""
        ...
