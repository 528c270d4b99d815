"""Presence's query API as a port: who is there, who they are, and on which devices."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from shared.events import DeviceInfo
from shared.ids import DeviceId, UserId

MAX_USERS = 500


class Presence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a user is there, as others see it. `last_seen` is None for a user who has never connected."""

    user_id: UserId
    status: str  # online, away, dnd or offline
    last_seen: datetime | None = None
    devices: int = 0
    text: str = ""


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who a user is. Made on first sight of a token; the name is the token's until the user gives another."""

    user_id: UserId
    name: str
    username: str | None = None  # unique without regard to case
    avatar_url: str | None = None
    bio: str | None = None
    time_zone: str | None = None  # an IANA name
    created_at: datetime


class ProfileChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a user changes of their profile; UNSET: as it is, None: taken away."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    username: str | msgspec.UnsetType | None = msgspec.UNSET
    avatar_url: str | msgspec.UnsetType | None = msgspec.UNSET
    bio: str | msgspec.UnsetType | None = msgspec.UNSET
    time_zone: str | msgspec.UnsetType | None = msgspec.UNSET


class ProfilePage(msgspec.Struct, frozen=True, kw_only=True):
    """Profiles, by user id."""

    users: tuple[Profile, ...]
    next_cursor: str | None


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a gateway must know of a user it lets in."""

    user_id: UserId
    name: str
    signed_out: dict[DeviceId, datetime] = {}  # tokens of these devices issued up to then count no more


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device that a user has signed in with."""

    info: DeviceInfo
    first_seen: datetime
    last_seen: datetime
    online: bool
    signed_out_at: datetime | None = None


class PresenceQueries(Protocol):
    """What presence answers. All raise Unavailable where it cannot."""

    async def presence_of(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """Give the presence of each user asked for, at most MAX_USERS."""
        ...

    async def account(self, user_id: UserId, name: str | None) -> Account:
        """Let a user be known, by the name that their token says (None: it says none), and tell what counts here."""
        ...

    async def profiles(self, user_ids: Sequence[UserId]) -> dict[UserId, Profile]:
        """Give the profiles of those users who have one, at most MAX_USERS."""
        ...

    async def search(self, text: str, *, limit: int, cursor: str | None) -> ProfilePage:
        """Find users whose id, name, a word of it, or username begins with a text. Raises: Invalid (the cursor)."""
        ...

    async def change_profile(self, user_id: UserId, change: ProfileChange) -> Profile:
        """Change a profile. Raises: NotFound, Conflict (the username is taken)."""
        ...

    async def devices(self, user_id: UserId) -> tuple[Device, ...]:
        """Give the devices a user has signed in with, last seen first."""
        ...

    async def sign_out(self, user_id: UserId, device_id: DeviceId) -> None:
        """End the sessions of a device, and let its tokens from before count no more. Raises: NotFound."""
        ...
