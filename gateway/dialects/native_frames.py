"""The frames of Warren's own protocol, version 1, as types: what clients may send, and what they are sent."""

from typing import Annotated, Any, TypeAlias

import msgspec

from gateway.content import MAX_MENTIONS
from gateway.views import ConversationView, MessageView
from shared.commands import EMPTY_OBJECT, MessageType, Stage
from shared.ids import ConversationId, Id, MessageId, UserId

MAX_SEQ = 2**53 - 1  # what a JavaScript number holds exactly

FrameId = Annotated[str, msgspec.Meta(max_length=128)]
ClientId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Name = Annotated[str, msgspec.Meta(max_length=128)]
Seq = Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQ)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=200)]


# --- client → server


class SpokenFor(msgspec.Struct, frozen=True, kw_only=True):
    """Data that clients may not sign: the sender is the authenticated user. A name that contradicts it is refused."""

    sender_id: object = None
    user_id: object = None


class SendData(SpokenFor, frozen=True, kw_only=True):
    """`send`: to a conversation, or to a user."""

    conversation_id: Id | None = None
    to: Id | None = None
    client_id: ClientId | None = None
    type: MessageType = MessageType.TEXT
    content: str = ""
    metadata: msgspec.Raw = EMPTY_OBJECT
    reply_to: Id | None = None
    mentions: Annotated[tuple[Id, ...], msgspec.Meta(max_length=MAX_MENTIONS)] | None = None
    attachments: list[Any] | None = None


class AckData(SpokenFor, frozen=True, kw_only=True):
    """`ack`: everything up to `seq` is received or read."""

    conversation_id: Id
    seq: Seq
    stage: Stage


class TypingData(SpokenFor, frozen=True, kw_only=True):
    """`typing`: started or stopped."""

    conversation_id: Id | None = None
    to: Id | None = None
    active: bool = True


class DeviceData(msgspec.Struct, frozen=True, kw_only=True):
    """The device in a `hello`."""

    id: Id | None = None
    name: Name | None = None
    type: Name | None = None
    platform: Name | None = None
    browser: Name | None = None
    os_version: Name | None = None
    app_version: Name | None = None


class HelloData(msgspec.Struct, frozen=True, kw_only=True):
    """`hello`: the first frame where the upgrade carried no token."""

    token: str | None = None
    device: DeviceData | None = None
    since: str | None = None
    echo: bool = True


class HistoryData(msgspec.Struct, frozen=True, kw_only=True):
    """`history`: a page before or after a seq, the newest without one."""

    conversation_id: Id
    before: Seq | None = None
    after: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)] | None = None
    limit: PageSize = 50


class SyncData(msgspec.Struct, frozen=True, kw_only=True):
    """`sync`: what changed since a token; `conversations` says more exactly what is had of some."""

    since: str | None = None
    conversations: dict[Id, Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]] | None = None


class _ClientFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    id: FrameId | None = None


class HelloFrame(_ClientFrame, frozen=True, tag="hello"):
    """Who the client is."""

    data: HelloData = HelloData()


class SendFrame(_ClientFrame, frozen=True, kw_only=True, tag="send"):
    """A message."""

    data: SendData


class AckFrame(_ClientFrame, frozen=True, kw_only=True, tag="ack"):
    """A receipt."""

    data: AckData


class TypingFrame(_ClientFrame, frozen=True, kw_only=True, tag="typing"):
    """A sign of life from a keyboard."""

    data: TypingData


class HistoryFrame(_ClientFrame, frozen=True, kw_only=True, tag="history"):
    """A question for old messages."""

    data: HistoryData


class SyncFrame(_ClientFrame, frozen=True, tag="sync"):
    """A question for everything that is new."""

    data: SyncData = SyncData()


class PingFrame(_ClientFrame, frozen=True, tag="ping"):
    """A question whether somebody is there; anything in `data` comes back."""

    data: msgspec.Raw = EMPTY_OBJECT


ClientFrame: TypeAlias = SendFrame | AckFrame | TypingFrame | HelloFrame | HistoryFrame | SyncFrame | PingFrame


class Header(msgspec.Struct, frozen=True):
    """What can be read of a frame that is wrong otherwise."""

    type: object = None
    id: object = None


# --- server → client: data


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far something came. With stage stored or failed: of one accepted message, named by its ids."""

    conversation_id: ConversationId
    user_id: UserId
    stage: str
    at: str
    seq: int | None = None
    message_id: MessageId | None = None
    client_id: str | None = None
    version: int | None = None
    number: int | None = None
    code: str | None = None
    message: str | None = None


class TypingView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is typing, or stopped."""

    conversation_id: ConversationId
    user_id: UserId
    name: str
    active: bool


class LaggedView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which messages are left out of the pushes: fetch them from there."""

    conversation_id: ConversationId
    from_seq: int
    before: int | None = None


class LimitsView(msgspec.Struct, frozen=True, kw_only=True):
    """What the server takes at most."""

    max_frame_bytes: int
    max_content_bytes: int
    max_metadata_bytes: int
    max_in_flight: int


class WelcomeView(msgspec.Struct, frozen=True, kw_only=True):
    """The session is open."""

    connection_id: str
    user_id: UserId
    device_id: str
    heartbeat_s: float
    since: str
    limits: LimitsView
    server_time: str


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event inside a `sync` reply, in the shape of the frame that would have carried it."""

    type: str
    data: MessageView


class ChangesView(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in one conversation."""

    conversation_id: ConversationId
    version: int
    conversation: ConversationView
    events: list[EventView]
    limited: bool
    before: int | None


class SyncView(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to `sync`."""

    conversations: list[ChangesView]
    since: str
    has_more: bool


class CreatedView(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the creation of a conversation."""

    conversation_id: ConversationId
    created: bool


class ByeView(msgspec.Struct, frozen=True, kw_only=True):
    """The last frame before the close."""

    code: int
    reason: str
    reconnect: bool
    retry_after_ms: int | None


# --- server → client: frames


class ReplyFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="reply"):
    """The one answer to a frame with an id."""

    id: str
    ok: bool = True
    data: object
    timestamp: str


class ErrorFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="error"):
    """The one answer to a frame with an id that came to nothing, or to one whose id could not be read."""

    id: str | None = None
    error: object
    timestamp: str


class PushFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Everything else that the server says."""

    type: str
    data: object
    timestamp: str
