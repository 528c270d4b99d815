"""What the devices wire's REST routes answer."""

from typing import Literal

import msgspec

from gateway.dialects.devices import DEFAULT_PLATFORM, DEFAULT_TYPE
from gateway.dialects.devices_names import name_of
from gateway.dialects.devices_views import DeviceMessage, Status
from shared.http import StructResponse
from shared.ids import MessageId, UserId
from shared.presence_api import Here, Presence, Profile


class DeviceResponse(StructResponse):
    """JSON that says how it is written: some HTTP clients take it for Latin-1 otherwise."""

    media_type = "application/json; charset=utf-8"


class SentView(msgspec.Struct, frozen=True, kw_only=True):
    """A message was taken. `delivered`: the recipient is connected, so that it is on its way there."""

    message_id: MessageId
    status: Status
    delivered: bool
    created_at: str
    session_id: str
    message: DeviceMessage


class MessagesView(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a session's messages, the oldest first."""

    messages: tuple[DeviceMessage, ...]
    count: int
    session_id: str
    has_more: bool


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation of the caller. The others come first among the participants."""

    id: str
    name: str | None
    participant_ids: tuple[UserId, ...]
    participant_names: tuple[str, ...]
    last_message: DeviceMessage | None
    last_activity: str
    unread_count: dict[UserId, int]
    created_at: str
    online_status: dict[UserId, bool]
    is_online: bool


class SessionsView(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's conversations, last activity first."""

    sessions: tuple[SessionView, ...]
    count: int


class ClearedView(msgspec.Struct, frozen=True, kw_only=True):
    """A session is cleared for the caller; `has_more`: not of all its messages yet, ask again."""

    success: Literal[True] = True
    session_id: str
    deleted_count: int
    has_more: bool


class UpdatedView(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages moved on."""

    updated_count: int
    status: str


class UnreadView(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages wait to be read, by the device or group that they are from."""

    total_unread: int
    by_device: dict[str, int]


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """A device that is connected."""

    id: UserId
    name: str
    type: str
    platform: str


class KnownDeviceView(DeviceView, frozen=True, kw_only=True):
    """A device that was seen here."""

    is_online: bool


class OnlineView(msgspec.Struct, frozen=True, kw_only=True):
    """The devices that are connected."""

    online_devices: tuple[DeviceView, ...]
    count: int


def device_view(here: Here) -> DeviceView:
    """Show a device that is connected."""
    return DeviceView(
        id=here.user_id,
        name=name_of(here.user_id, here.name),
        type=here.device.type or DEFAULT_TYPE,
        platform=here.device.platform or DEFAULT_PLATFORM,
    )


def known_view(profile: Profile, here: DeviceView | None, presence: Presence | None) -> KnownDeviceView:
    """Show a device that was seen here; what it runs on is known while it is connected."""
    return KnownDeviceView(
        id=profile.user_id,
        name=name_of(profile.user_id, profile.name),
        type=here.type if here else DEFAULT_TYPE,
        platform=here.platform if here else DEFAULT_PLATFORM,
        is_online=presence is not None and presence.status != "offline",
    )
