"""What a client's frame of the huddle wire asks for, decoded and checked."""

import re
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import msgspec

from gateway.dialects.base import BadFrame, Caller, Frame
from gateway.dialects.huddle_frames import NULL, ClientFrame, Data, Name, SendData, TypingData
from gateway.dialects.huddle_views import Attachment
from gateway.dialects.reading import UNREADABLE
from shared.errors import Forbidden, Invalid, InvalidField, UnknownType, WarrenError

DataT = TypeVar("DataT", bound=Data)

NOTHING = Attachment()

_DECODER = msgspec.json.Decoder(ClientFrame)
_MISSING = re.compile("Object missing required field `(.+)`")
_CHANNEL_PATH = "$.channel_id"


@dataclass(frozen=True, slots=True)
class Open:
    """Show a channel; `channel` is its number or id, as in all wishes here."""

    channel: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Show a channel no more."""

    channel: str


@dataclass(frozen=True, slots=True)
class Type:
    """Tell the others that the client is typing, or has stopped."""

    channel: str
    active: bool


@dataclass(frozen=True, slots=True)
class Say:
    """Send a message; `client_id` None: it has no name of its own."""

    channel: str
    content: str
    parent: str | None = None
    client_id: str | None = None
    attachment: Attachment = NOTHING


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask for a pong with the same data."""

    data: msgspec.Raw


Asked: TypeAlias = Open | Leave | Type | Say | Ping
# The published client joins and leaves with the frames that the server tells of it with.
_OPEN = frozenset(("join_channel", "join", "user_online"))
_LEAVE = frozenset(("leave_channel", "leave", "user_offline"))
_TYPE = frozenset(("user_typing", "typing"))
_SAY = frozenset(("send_message", "message"))


def decode(frame: Frame, caller: Caller | None) -> Asked:
    """Read a frame. Raises: BadFrame; `reply_to` is the channel that it names."""
    read = _frame(frame)
    named = None if read.channel_id is None else str(read.channel_id)
    try:
        return _asked(read, caller)
    except WarrenError as error:
        raise BadFrame(error, reply_to=named, unreadable=isinstance(error, UnknownType)) from error


def _asked(read: ClientFrame, caller: Caller | None) -> Asked:
    if read.type == "ping":
        return Ping(msgspec.Raw(bytes(read.data)))  # a Raw is a window on its whole frame: a copy lets go of it
    if read.type in _TYPE:
        typing = _data(read, TypingData, caller)
        return Type(_channel(read, typing), typing.is_typing)
    if read.type in _SAY:
        return _say(read, _data(read, SendData, caller))
    if read.type in _OPEN:
        return Open(_channel(read, _data(read, Data, caller)))
    if read.type in _LEAVE:
        return Leave(_channel(read, _data(read, Data, caller)))
    raise UnknownType(f"No frame has the type {read.type[:64]!r}.")


def _say(read: ClientFrame, data: SendData) -> Say:
    attachment = Attachment(
        attachment_url=data.attachment_url,
        attachment_type=data.attachment_type,
        attachment_name=data.attachment_name,
        attachment_size=data.attachment_size,
    )
    parent = None if data.parent_id is None else str(data.parent_id)
    return Say(_channel(read, data), data.content, parent, data.client_id, attachment)


def _frame(frame: Frame) -> ClientFrame:
    try:
        return _DECODER.decode(frame)
    except UNREADABLE as error:
        refusal = _invalid(error, "")
        path = refusal.details.get("path", "$")
        raise BadFrame(refusal, unreadable=path in ("$", "$.type")) from error


def _data(read: ClientFrame, kind: type[DataT], caller: Caller | None) -> DataT:
    """Read the data of a frame. Raises: InvalidField, Forbidden (it is signed by somebody else)."""
    text = b"{}" if bytes(read.data) == bytes(NULL) else read.data
    try:
        data = msgspec.json.decode(text, type=kind)
    except UNREADABLE as error:
        raise _invalid(error, ".data") from error
    for claimed in (read.user_id, data.user_id, data.author_id):
        if claimed is not None and (caller is None or str(claimed) != caller.user_id):
            raise Forbidden("A frame speaks for the authenticated user alone.")
    return data


def _channel(read: ClientFrame, data: Data) -> str:
    named: set[Name] = {name for name in (read.channel_id, data.channel_id) if name is not None}
    names = {str(name) for name in named}
    if not names:
        raise InvalidField(f"Name a channel at {_CHANNEL_PATH}.", path=_CHANNEL_PATH)
    if len(names) > 1:
        raise InvalidField(f"The data name another channel than {_CHANNEL_PATH}.", path=_CHANNEL_PATH)
    return names.pop()


def _invalid(error: Exception, below: str) -> Invalid:
    if not isinstance(error, msgspec.ValidationError):
        return Invalid("A frame is one JSON object, with a type.")
    what, _, rest = str(error).partition(" - at `")
    path = "$" + below + rest.rstrip("`").removeprefix("$")
    if missing := _MISSING.match(what):
        path = f"{path}.{missing[1]}"
    return InvalidField(f"{what} at {path}.", path=path)
