"""The bodies of presence's query API over HTTP: one struct a query, posted to its own path."""

from typing import Annotated

import msgspec

from shared.ids import DeviceId, UserId
from shared.presence_api import MAX_POSITIONS, MAX_USERS, DevicePosition, ProfileChange, Registration
from shared.query_http import Query

UserIds = Annotated[tuple[UserId, ...], msgspec.Meta(max_length=MAX_USERS)]


class AskPresence(Query, frozen=True, kw_only=True):
    """Ask who is there."""

    path = "/internal/presence"
    user_ids: UserIds


class AskAccount(Query, frozen=True, kw_only=True):
    """Ask for what a gateway must know of a user, and let the user be known."""

    path = "/internal/presence/account"
    user_id: UserId
    name: str | None


class AskProfiles(Query, frozen=True, kw_only=True):
    """Ask who users are."""

    path = "/internal/presence/profiles"
    user_ids: UserIds


class AskSearch(Query, frozen=True, kw_only=True):
    """Ask for users by the beginning of a name."""

    path = "/internal/presence/search"
    text: str
    limit: int
    cursor: str | None


class AskProfileChange(Query, frozen=True, kw_only=True):
    """Ask that a profile be changed."""

    path = "/internal/presence/change-profile"
    user_id: UserId
    change: ProfileChange


class AskDevices(Query, frozen=True, kw_only=True):
    """Ask for a user's devices."""

    path = "/internal/presence/devices"
    user_id: UserId


class AskSignOut(Query, frozen=True, kw_only=True):
    """Ask that a device be signed out; answered with null."""

    path = "/internal/presence/sign-out"
    user_id: UserId
    device_id: DeviceId
    known: bool = True


class AskOnline(Query, frozen=True, kw_only=True):
    """Ask who is connected, the latest first."""

    path = "/internal/presence/online"
    limit: int


class AskPosition(Query, frozen=True, kw_only=True):
    """Ask how far a device had come."""

    path = "/internal/presence/position"
    user_id: UserId
    device_id: DeviceId


class AskKeepPositions(Query, frozen=True, kw_only=True):
    """Ask that positions of devices be kept; answered with null."""

    path = "/internal/presence/keep-positions"
    positions: Annotated[tuple[DevicePosition, ...], msgspec.Meta(max_length=MAX_POSITIONS)]


class AskRegister(Query, frozen=True, kw_only=True):
    """Ask that an account be made."""

    path = "/internal/presence/register"
    registration: Registration


class AskLogin(Query, frozen=True, kw_only=True):
    """Ask for the account of a username or email; answered with null where there is none."""

    path = "/internal/presence/login"
    name: str


class AskLoginOf(Query, frozen=True, kw_only=True):
    """Ask for the account of a user; answered with null where there is none."""

    path = "/internal/presence/login-of"
    user_id: UserId
