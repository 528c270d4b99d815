"""What clients of the service wire ask for: the data of their events. Integers and strings stand for each other in ids.

A field that is not named here is left alone.
"""

import re
from typing import Annotated, TypeAlias

import msgspec

from gateway.dialects.base import Caller
from gateway.dialects.finding import is_id
from gateway.dialects.numbers import MAX_INTEGER
from gateway.dialects.reading import UNREADABLE
from gateway.dialects.socket_io import Event
from shared.errors import Forbidden, Invalid, InvalidField, UnknownType
from shared.ids import is_number

MAX_LABEL_CHARS = 128
MAX_PAGE = 200

Name: TypeAlias = (
    Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)] | Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
)
Reference: TypeAlias = (  # of which an empty one counts as none
    Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)] | Annotated[str, msgspec.Meta(max_length=128)]
)
Label = Annotated[str, msgspec.Meta(max_length=MAX_LABEL_CHARS)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]
_MISSING = re.compile("Object missing required field `(.+)`")


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Data that may be signed: a user who is not the one of the token is refused."""

    user_id: Name | None = None
    from_user_id: Name | None = None
    token: str | None = None


class DeviceData(msgspec.Struct, frozen=True, kw_only=True):
    """What a client says of its device."""

    device_name: Label | None = None
    device_type: Label | None = None
    platform: Label | None = None
    browser: Label | None = None
    os_version: Label | None = None
    app_version: Label | None = None


class Register(Data, frozen=True, kw_only=True):
    """Say who one is.

    Format::
        {"user_id": 123, "token": "xxx", "connection_id": "uuid", "device_id": "device-uuid", "device_info": {…}}
    """

    user_id: Name
    connection_id: Reference | None = None
    device_id: Reference | None = None
    device_info: DeviceData | None = None


class Heartbeat(Data, frozen=True, kw_only=True):
    """Say that one is there."""

    connection_id: Reference | None = None


class Send(Data, frozen=True, kw_only=True):
    """Say something.

    Format::
        {"session_id": "session-uuid", "from_user_id": 123, "message": "Hello", "role": "user", "token": "xxx",
         "message_type": "text", "reply_to_message_id": 456}

    `client_id` (or `msg_id`) makes it safe to send once more; `to_user_id` says with whom a new session is.
    """

    session_id: Name
    message: str
    role: Label | None = None
    message_type: Label | None = None
    reply_to_message_id: Reference | None = None
    to_user_id: Reference | None = None
    client_id: Reference | None = None
    msg_id: Reference | None = None


class Delivered(Data, frozen=True, kw_only=True):
    """Say that a message has come, and those before it."""

    message_id: Name


class Read(Data, frozen=True, kw_only=True):
    """Say that a message was read, and those before it."""

    message_id: Name


class Page(Data, frozen=True, kw_only=True):
    """Ask for the newest messages of a session."""

    session_id: Name
    limit: PageSize | None = None


class Recall(Data, frozen=True, kw_only=True):
    """Take a message of one's own back."""

    message_id: Name


class Edit(Data, frozen=True, kw_only=True):
    """Let a message of one's own say something else."""

    message_id: Name
    message: str | None = None
    content: str | None = None
    new_content: str | None = None
    text: str | None = None


class Typing(Data, frozen=True, kw_only=True):
    """Say that one is typing, or has stopped."""

    session_id: Name
    is_typing: bool | None = None


class MatchAgent(Data, frozen=True, kw_only=True):
    """Ask for an agent."""

    session_id: Name


class AcceptSession(Data, frozen=True, kw_only=True):
    """Take a session that waits for an agent."""

    session_id: Name


class Devices(Data, frozen=True, kw_only=True):
    """Ask for one's devices."""


class Kick(Data, frozen=True, kw_only=True):
    """Sign a device of one's own out."""

    device_id: Name


Errand: TypeAlias = Page | Recall | MatchAgent | AcceptSession | Devices | Kick  # what always takes questions
Question: TypeAlias = Send | Delivered | Read | Typing | Edit | Errand
Asked: TypeAlias = Register | Heartbeat | Question

KINDS: dict[str, type[Asked]] = {
    "register": Register,
    "heartbeat": Heartbeat,
    "send_message": Send,
    "message_delivered": Delivered,
    "message_read": Read,
    "get_session_messages": Page,
    "recall_message": Recall,
    "edit_message": Edit,
    "typing": Typing,
    "match_agent": MatchAgent,
    "accept_session": AcceptSession,
    "get_devices": Devices,
    "kick_device": Kick,
}
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in KINDS.items()}


def read(event: Event) -> Asked:
    """Read an event's data; nothing counts as an empty object. Raises: UnknownType, InvalidField, Invalid."""
    decoder = _DECODERS.get(event.name)
    if decoder is None:
        raise UnknownType(f"No event is called {event.name[:64]!r}.")
    data = bytes(event.data)
    try:
        return decoder.decode(b"{}" if data == b"null" else data)
    except UNREADABLE as error:
        raise _invalid(error) from error


def id_of(name: Name, field: str) -> str:
    """Give an id or a number as text. Raises: InvalidField, where it can be neither."""
    text = str(name)
    if not (is_id(text) or is_number(text)):
        raise InvalidField(f"An id is 1 to 128 characters of A-Z a-z 0-9 _ . @ : + -: {field}.", path=field)
    return text


def check_signature(data: Data, caller: Caller) -> None:
    """Refuse what is signed by somebody else. Raises: Forbidden."""
    for claimed in (data.user_id, data.from_user_id):
        if claimed is not None and str(claimed) != caller.user_id:
            raise Forbidden("An event speaks for the registered user alone.")


def _invalid(error: Exception) -> Invalid:
    if not isinstance(error, msgspec.ValidationError):
        return Invalid("The data of an event is one JSON object.")
    what, _, rest = str(error).partition(" - at `$.")
    path = rest.rstrip("`") or "data"
    if missing := _MISSING.match(what):
        path = missing[1] if path == "data" else f"{path}.{missing[1]}"
    return InvalidField(f"{what}: {path}.", path=path)
