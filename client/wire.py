"""The frames of the native protocol, as values, with their codec."""

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

SUBPROTOCOL = "warren.v1"

log = logging.getLogger("warren.client")

EMPTY_OBJECT = msgspec.Raw(b"{}")
T = TypeVar("T")


class Stage(StrEnum):
    """How far a message has come with one reader."""

    DELIVERED = "delivered"
    READ = "read"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the server shows it."""

    id: str
    conversation_id: str
    seq: int  # 1, 2, 3 … without gaps in its conversation
    version: int  # of the conversation's log
    sender_id: str
    created_at: datetime
    number: int = 0
    client_id: str = ""
    sender_name: str = ""
    type: str = "text"
    content: str = ""
    raw_metadata: msgspec.Raw = msgspec.field(default=EMPTY_OBJECT, name="metadata")
    reply_to: str | None = None
    mentions: tuple[str, ...] = ()
    reactions: dict[str, tuple[str, ...]] = {}
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    status: str = "stored"
    delivered_at: datetime | None = None
    read_at: datetime | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What the sender's program added; the server passes on any JSON. A number beyond a float's is infinite."""
        metadata: dict[str, Any] = json.loads(bytes(self.raw_metadata))
        return metadata


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client says of the device it runs on."""

    id: str
    name: str = ""
    type: str = "other"  # desktop, mobile, web, other
    platform: str = ""
    browser: str = ""
    os_version: str = ""
    app_version: str = ""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """An error as the server writes it."""

    code: str
    message: str = ""
    retry_after_ms: int | None = None
    details: dict[str, str] = {}


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Any frame of the server; `data` is decoded by its type."""

    type: str
    id: str | None = None
    data: msgspec.Raw = EMPTY_OBJECT
    error: ErrorBody | None = None


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """The server's answer to `hello`."""

    user_id: str
    connection_id: str = ""
    device_id: str = ""
    since: str | None = None


class SendReply(msgspec.Struct, frozen=True, kw_only=True):
    """The server's answer to `send`: stored with its place, or accepted without one."""

    status: str
    message_id: str
    conversation_id: str
    seq: int | None = None
    version: int | None = None
    number: int | None = None
    created_at: datetime | None = None


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """The server's answer to a change: it is so from this version of the conversation's log on."""

    conversation_id: str
    version: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a `receipt` frame, whatever its stage."""

    conversation_id: str
    stage: str
    user_id: str = ""
    seq: int | None = None
    at: datetime | None = None
    message_id: str = ""
    client_id: str = ""
    version: int | None = None
    number: int | None = None
    created_at: datetime | None = None
    code: str = ""
    message: str = ""


class Watermark(msgspec.Struct, frozen=True, kw_only=True):
    """How far one member has received and read."""

    user_id: str
    delivered_seq: int = 0
    delivered_at: datetime | None = None
    read_seq: int = 0
    read_at: datetime | None = None


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as all its members see it; in rooms of more than 500 `members` is empty."""

    id: str
    kind: str = "direct"
    number: int = 0
    name: str | None = None
    members: tuple[str, ...] = ()
    member_count: int = 0
    parent_id: str | None = None
    history: str = "joined"
    join: str = "invite"
    created_at: datetime | None = None
    raw_metadata: msgspec.Raw = msgspec.field(default=EMPTY_OBJECT, name="metadata")

    @property
    def metadata(self) -> dict[str, Any]:
        """What the members' programs added."""
        metadata: dict[str, Any] = json.loads(bytes(self.raw_metadata))
        return metadata


class Conversation(Room, frozen=True, kw_only=True):
    """A conversation as the client's user sees it. `role` None: the user is no member any more, if the server says."""

    last_seq: int = 0
    last_version: int = 0
    last_message: Message | None = None
    unread: int = 0
    watermarks: tuple[Watermark, ...] = ()
    role: str | None = None
    first_seq: int = 1


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in one conversation; `limited`: only the newest page, earlier messages end before seq `before`."""

    conversation: Conversation  # as it is now, which may be further
    version: int  # with the events, and what was pushed on this connection, everything up to it is had
    events: tuple[Frame, ...] = ()
    limited: bool = False
    before: int | None = None


class SyncAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The server's answer to `sync`. `has_more`: ask again with the new `since`."""

    conversations: tuple[Changes, ...]
    since: str
    has_more: bool = False


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Messages in seq order."""

    messages: tuple[Message, ...]
    has_more: bool = False


class UnreadPage(msgspec.Struct, frozen=True, kw_only=True):
    """A `HistoryPage` whose messages are yet to be read."""

    messages: tuple[msgspec.Raw, ...]
    has_more: bool = False


class Bye(msgspec.Struct, frozen=True, kw_only=True):
    """The server's last word before it closes."""

    code: int = 0
    reason: str = ""
    reconnect: bool = True
    retry_after_ms: int | None = None


_ENCODER = msgspec.json.Encoder()
_FRAMES = msgspec.json.Decoder(Frame)


def encode(kind: str, data: dict[str, Any], *, id: str | None = None) -> bytes:
    """Write a client frame."""
    frame: dict[str, Any] = {"type": kind, "data": data}
    if id is not None:
        frame["id"] = id
    return _ENCODER.encode(frame)


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was not given."""
    return {name: value for name, value in values.items() if value is not None}


def decode(raw: bytes | str) -> Frame:
    """Read a server frame. Raises: msgspec.MsgspecError."""
    return _FRAMES.decode(raw)


def read(data: msgspec.Raw, kind: type[T]) -> T:
    """Read the data of a frame. Raises: msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=kind)


def readable(raws: Iterable[msgspec.Raw]) -> list[Message]:
    """Read messages. One that cannot be read is left out: it must not hold up those after it."""
    messages: list[Message] = []
    for raw in raws:
        try:
            messages.append(read(raw, Message))
        except msgspec.MsgspecError as error:
            log.warning("a message cannot be read: %s", error)
    return messages
