"""Users, devices and members as the REST API shows them."""

from datetime import datetime

import msgspec

from client.events import PresenceChanged


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a conversation."""

    user_id: str
    role: str
    joined_at: datetime | None = None


class MemberPage(msgspec.Struct, frozen=True, kw_only=True):
    """Members, by user id."""

    members: tuple[Member, ...]
    next_cursor: str | None = None


class MessageReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """How far a message has come with one member."""

    user_id: str
    delivered: bool = False
    delivered_at: datetime | None = None
    read: bool = False
    read_at: datetime | None = None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Who a user is."""

    user_id: str
    name: str
    username: str | None = None
    avatar_url: str | None = None
    bio: str | None = None
    time_zone: str | None = None
    created_at: datetime | None = None


class UserPage(msgspec.Struct, frozen=True, kw_only=True):
    """Users, by user id."""

    users: tuple[User, ...]
    next_cursor: str | None = None


class KnownDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device that the user has signed in with."""

    id: str
    name: str = ""
    type: str = "other"
    platform: str = ""
    browser: str = ""
    os_version: str = ""
    app_version: str = ""
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    online: bool = False


class Receipts(msgspec.Struct, frozen=True):
    """How far a message has come with each other member, at most 500."""

    receipts: tuple[MessageReceipt, ...]


class Devices(msgspec.Struct, frozen=True):
    """The user's devices, last seen first."""

    devices: tuple[KnownDevice, ...]


class PresenceOf(msgspec.Struct, frozen=True):
    """The presence of users."""

    presence: tuple[PresenceChanged, ...]
