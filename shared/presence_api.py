"""Presence's query API as a port: who is there, who they are, and on which devices."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Protocol

import msgspec

from shared.events import DeviceInfo
from shared.ids import DeviceId, UserId
from shared.position import MAX_TOKEN_BYTES

MAX_USERS = 500
MAX_POSITIONS = 500  # at a time
SESSIONS_END = timedelta(seconds=10)  # after a sign-out; they are seen up to then


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

    @property
    def signed_in(self) -> bool:
        """Whether it was not signed out, or has come back since."""
        return self.signed_out_at is None or self.online or self.last_seen > self.signed_out_at + SESSIONS_END


class Here(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user who is connected and seen by others, on the device that connected last."""

    user_id: UserId
    name: str
    device: DeviceInfo
    status: str  # online, away or dnd
    since: datetime  # when that device connected


class DevicePosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far a device had come at a time, as a token of `shared.position`."""

    user_id: UserId
    device_id: DeviceId
    since: Annotated[str, msgspec.Meta(max_length=MAX_TOKEN_BYTES)]
    at: datetime


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """An account to be made, for one who signs in with a password; `password_hash` is opaque to presence."""

    username: str
    email: str
    full_name: str
    password_hash: str

    def __repr__(self) -> str:
        """Leave out what nobody may read in a log."""
        return f"Registration(username={self.username!r})"


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """An account: what a gateway checks a password against. The hash is for that alone."""

    user_id: UserId
    username: str
    email: str
    full_name: str
    password_hash: str
    created_at: datetime

    def __repr__(self) -> str:
        """Name the account, and leave out what nobody may read in a log."""
        return f"Login(user_id={self.user_id!r}, username={self.username!r})"


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

    async def sign_out(self, user_id: UserId, device_id: DeviceId, *, known: bool = True) -> None:
        """End the sessions of a device, and let its tokens from before count no more.

        Raises: NotFound, if it must be `known`: a device of which there is a token need not have connected yet.
        """
        ...

    async def online(self, *, limit: int) -> tuple[Here, ...]:
        """Give users who are connected, the invisible apart, the latest connection first; at most MAX_USERS."""
        ...

    async def position(self, user_id: UserId, device_id: DeviceId) -> str | None:
        """Give the position that was kept last for a device; None where there is none, or none of the last 90 days."""
        ...

    async def keep_positions(self, positions: Sequence[DevicePosition]) -> None:
        """Keep positions of devices, at most MAX_POSITIONS; an older one never takes the place of a newer one."""
        ...

    async def register(self, registration: Registration) -> Login:
        """Make an account and its user, with the next free number for an id: 1, 2, 3 …, and a profile.

        Raises: Conflict (the username or the email is taken, without regard to case; `details["field"]` says which),
        Invalid (an address as username, or none as email; with `details["field"]` as well).
        """
        ...

    async def login(self, name: str) -> Login | None:
        """Find an account by its email, or the username that its user has now, without regard to case."""
        ...

    async def login_of(self, user_id: UserId) -> Login | None:
        """Give the account of a user, if they have one."""
        ...
