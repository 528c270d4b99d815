"""What clients of the service wire are told: the data of the server's events and acknowledgements."""

from collections.abc import Iterable
from datetime import datetime, tzinfo
from hashlib import blake2b

import msgspec

from gateway.dialects.base import Caller
from gateway.dialects.numbers import ShownId, shown_user_id
from gateway.dialects.own_parts import own_part, with_part
from gateway.dialects.service_sessions import AGENT, WIRE
from gateway.dialects.world import Person
from shared.commands import EMPTY_OBJECT, MessageType
from shared.errors import ErrorBody, ErrorCode
from shared.events import Message
from shared.presence_api import Device

REGISTERED = "连接注册成功"  # as clients of this wire know it
_MARK_BYTES = 6  # a user has few devices
_FORBIDDEN = (ErrorCode.NOT_A_MEMBER,)  # clients of this wire know one word for it


class MessagePart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What this wire keeps in a message's metadata."""

    role: str | None = None  # agent
    type: str | None = None  # the client's own word for what Warren has no type for
    session: str | None = None  # the pair of users by which the sender called a direct conversation
    device: str | None = None  # the mark of the sender's device


class NewMessageView(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`new_message`: a message, and who wrote it."""

    id: str
    session_id: str | int
    from_: str
    from_user_id: ShownId
    from_user_name: str
    to_user_id: ShownId | None
    text: str
    time: str
    avatar: str
    message_type: str
    reply_to_message_id: int | None
    status: str
    offline: bool
    timestamp: str


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """`message_status`: how far a message has come."""

    message_id: str
    status: str
    timestamp: str


class RecalledView(msgspec.Struct, frozen=True, kw_only=True):
    """`message_recalled`: a message is gone."""

    message_id: str
    session_id: str | int
    timestamp: str


class EditedView(msgspec.Struct, frozen=True, kw_only=True):
    """`message_edited`: a message says something else."""

    message_id: str
    session_id: str | int
    text: str
    message: str
    timestamp: str


class TypingView(msgspec.Struct, frozen=True, kw_only=True):
    """`typing`: somebody is typing, or has stopped."""

    session_id: str | int
    user_id: ShownId
    user_name: str
    is_typing: bool


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """An agent."""

    id: ShownId
    name: str


class AcceptedView(msgspec.Struct, frozen=True, kw_only=True):
    """`session_accepted_for_user`: an agent takes part in the session now."""

    session_id: str | int
    agent: AgentView


class KickedView(msgspec.Struct, frozen=True, kw_only=True):
    """`kicked`: this device has to go."""

    reason: str
    code: str


class ConnectedView(msgspec.Struct, frozen=True, kw_only=True):
    """`connect_success`: the connection is there."""

    success: bool = True
    socket_id: str


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """A request was carried out."""

    success: bool = True


class RegisteredView(Success, frozen=True, kw_only=True):
    """The answer to `register`."""

    connection_id: str | int
    socket_id: str
    message: str = REGISTERED


class BeatView(Success, frozen=True, kw_only=True):
    """The answer to `heartbeat`."""

    timestamp: str


class SentView(Success, frozen=True, kw_only=True):
    """The answer to `send_message`."""

    message_id: int
    time: str


class MessagesView(Success, frozen=True, kw_only=True):
    """The answer to `get_session_messages`, the oldest first."""

    session_id: str | int
    messages: list[NewMessageView]


class MatchedView(Success, frozen=True, kw_only=True):
    """The answer to `match_agent`."""

    session_id: str | int
    agent: AgentView


class SessionView(Success, frozen=True, kw_only=True):
    """The answer to `accept_session`, and to who makes one."""

    session_id: str | int


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """A device of the user's."""

    device_id: str
    device_name: str
    device_type: str
    platform: str
    browser: str
    os_version: str
    app_version: str
    is_active: bool
    last_login: str


class DevicesView(Success, frozen=True, kw_only=True):
    """The answer to `get_devices`, last seen first."""

    devices: list[DeviceView]


class FailureView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request was not carried out."""

    success: bool
    message: str
    code: str
    retry_after_ms: int | None = None
    details: dict[str, str] = {}


def failure(error: ErrorBody) -> FailureView:
    """Show why something was not done."""
    code = ErrorCode.FORBIDDEN.value if error.code in _FORBIDDEN else error.code
    return FailureView(
        success=False,
        message=error.message,
        code=code,
        retry_after_ms=error.retry_after_ms,
        details=error.details,
    )


def agent_view(person: Person) -> AgentView:
    """Show an agent."""
    return AgentView(id=shown_user_id(person.user_id), name=person.name)


def devices_view(devices: Iterable[Device], zone: tzinfo) -> DevicesView:
    """Show those devices that are signed in."""
    return DevicesView(devices=[_device_view(device, zone) for device in devices if device.signed_in])


def _device_view(device: Device, zone: tzinfo) -> DeviceView:
    info = device.info
    return DeviceView(
        device_id=info.id,
        device_name=info.name,
        device_type=info.type,
        platform=info.platform,
        browser=info.browser,
        os_version=info.os_version,
        app_version=info.app_version,
        is_active=device.online,
        last_login=moment(device.last_seen, zone),
    )


def moment(at: datetime, zone: tzinfo) -> str:
    """Write a time as clients of this wire know it: to the second, without a zone."""
    return at.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")


def clock_time(at: datetime, zone: tzinfo) -> str:
    """Write the time of day."""
    return f"{at.astimezone(zone):%H:%M}"


_TYPES = {"voice": MessageType.AUDIO, **{kind.value: kind for kind in MessageType}}


def typed(word: str | None) -> tuple[MessageType, str | None]:
    """Give the type that a client's word stands for, and the word itself where it must be kept."""
    kind = _TYPES.get(word or MessageType.TEXT.value, MessageType.CUSTOM)
    return kind, None if kind.value == (word or kind.value) else word


def message_metadata(part: MessagePart) -> msgspec.Raw:
    """Write what this wire keeps with a message."""
    return with_part(EMPTY_OBJECT, WIRE, part)


def part_of(message: Message) -> MessagePart:
    """Read what this wire keeps with a message."""
    return own_part(message.metadata, WIRE, MessagePart)


def device_mark(caller: Caller) -> str:
    """Give what tells the caller's device from the user's others, and nobody else anything."""
    device = f"{caller.user_id}/{caller.device_id}"
    return blake2b(device.encode(), digest_size=_MARK_BYTES).hexdigest()


def says_agent(part: MessagePart) -> bool:
    """Tell whether it was sent as an agent's; whether it was one is to be checked."""
    return part.role == AGENT
