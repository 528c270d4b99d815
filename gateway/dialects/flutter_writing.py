"""How the flutter wire writes: JSON strings in `message` events, each with a type, a code and a time."""

from datetime import datetime

import msgspec

from gateway.dialects import flutter_frames as frames
from gateway.dialects.base import Frame
from gateway.dialects.flutter_reading import EVENT, WIRE, Asked, Kept
from gateway.dialects.own_parts import own_part
from gateway.dialects.socket_io import ack_frame, event_frame
from shared.clock import rfc3339
from shared.commands import MessageType, Stage
from shared.errors import ErrorBody, ErrorCode
from shared.events import Message, ReceiptAdvanced, Stored, TypingChanged
from shared.ids import ConversationId, UserId, is_direct

OK = 1000
RESPONSE = "response"  # the event in which clients look for a pong
ANSWERED_BY = {
    "enter": "enter_server",
    "ping": "pong",
    **{type_: f"{type_}_sr" for type_ in ("cs_cp2p", "chat", "cs_gcds", "cs_ain", "cs_alv", "typing")},
}
_REFUSED_AS = {type_: name for type_, name in ANSWERED_BY.items() if name.endswith("_sr")}
_CODES = {
    ErrorCode.UNAUTHENTICATED.value: 1002,
    ErrorCode.TOKEN_EXPIRED.value: 1002,
    ErrorCode.FORBIDDEN.value: 1003,
    ErrorCode.NOT_A_MEMBER.value: 1003,
    ErrorCode.NOT_FOUND.value: 1004,
    ErrorCode.RATE_LIMITED.value: 1029,
    ErrorCode.INTERNAL.value: 1500,
    ErrorCode.UNAVAILABLE.value: 1500,
}
_INVALID = 1001
_PICTURE = "[图片]"  # what clients show of a picture in their list of chats
_NO_SEX = "0"
_UNIQUE_CHARS = 16  # ids that clients make as UUIDs are longer; counters, which others use too, are shorter

_ENCODER = msgspec.json.Encoder()


class ServerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What every message of the server has; `msg_id` is that of the question it answers.

    Format::
        {"type": "pong", "code": 1000, "msg": "", "msg_id": 1628160085000, "payload": {}, "msg_time": 1628160085123}
    """

    type: str
    code: int = OK
    msg: str = ""
    msg_id: frames.MsgId | None = None
    payload: object = {}
    msg_time: int


class PlaceView(msgspec.Struct, frozen=True, kw_only=True):
    """A message is stored: `doc_id` is the id that its sender gave it, `r_id` by which others know it.

    Clients mark the row `doc_id` as sent, the published one the row `r_id`: where the message's own id is unique
    enough to be everybody's, both are the same.
    """

    doc_id: frames.MsgId
    r_id: str
    session_id: ConversationId
    seq: int | None = None
    created_at: str | None = None


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message. `to_id` is the other user, or the group.

    Format::
        {"_id": "6f3c…", "from_id": "42", "to_id": "43", "session_id": "d-…", "cType": 1, "seq": 7,
         "created_at": "2026-01-01T00:00:00.000Z", "content": "hi",
         "cov_data": {"data": {"attrs": {…}, "text": "hi"}, "mType": -1}}
    """

    id: str = msgspec.field(name="_id")
    from_id: UserId
    to_id: str
    session_id: ConversationId
    cType: int
    seq: int
    created_at: str
    content: str
    cov_data: "CovView"


class AttrsView(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks. Every value is a string: clients take nothing else."""

    MSG_TYPE: str
    USER_ID: UserId
    USER_NAME: str
    USER_SEX: str
    USER_ICON: str
    CHAT_TIME: str  # in milliseconds


class DataView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of a message; a text is always there."""

    attrs: AttrsView
    text: str
    file: frames.File | None = None


class CovView(msgspec.Struct, frozen=True, kw_only=True):
    """The content, and how it is shown."""

    data: DataView
    mType: int


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True):
    """Another user has received or read everything up to `seq`."""

    tid: str
    session_id: ConversationId
    from_id: UserId
    status: Stage
    seq: int
    timestamp: str


class TypingView(msgspec.Struct, frozen=True, kw_only=True):
    """Another user is typing, or has stopped."""

    tid: str
    session_id: ConversationId
    from_id: UserId
    name: str
    is_typing: bool


def written(message: ServerMessage) -> str:
    """Write a message as the string that travels."""
    return _ENCODER.encode(message).decode()


def pushed(type_: str, payload: object, *, now: datetime, msg_id: frames.MsgId | None = None) -> Frame:
    """Write something that nobody asked for."""
    return event_frame(EVENT, written(ServerMessage(type=type_, payload=payload, msg_id=msg_id, msg_time=millis(now))))


def answered(asked: Asked, payload: object, *, now: datetime) -> tuple[Frame, ...]:
    """Write what a question came to; where it wants an acknowledgement, the same is in that."""
    type_ = ANSWERED_BY.get(asked.type, "error")
    return _both(asked, ServerMessage(type=type_, payload=payload, msg_id=asked.msg_id, msg_time=millis(now)))


def refused(asked: Asked, error: ErrorBody, *, now: datetime) -> tuple[Frame, ...]:
    """Write why something was not done, in the shape in which the answer would have come."""
    type_ = _REFUSED_AS.get(asked.type, "error")
    message = ServerMessage(
        type=type_,
        code=_CODES.get(error.code, _INVALID),
        msg=error.message,
        msg_id=asked.msg_id,
        payload=_nothing(type_),
        msg_time=millis(now),
    )
    return _both(asked, message)


def _nothing(type_: str) -> object:
    """Give a payload that changes nothing: clients look for these keys before they look at the code."""
    match type_:
        case "cs_cp2p_sr" | "chat_sr":
            return {"doc_id": "", "r_id": ""}
        case "cs_gcds_sr":
            return {"datas": []}
        case _:
            return {}


def _both(asked: Asked, message: ServerMessage) -> tuple[Frame, ...]:
    text = written(message)
    said: tuple[Frame, ...] = (event_frame(EVENT, text),)
    if message.type == ANSWERED_BY["ping"]:
        said = (event_frame(RESPONSE, text), *said)
    return said if asked.ack is None else (*said, ack_frame(asked.ack, text))


def millis(moment: datetime) -> int:
    """Write a time as this wire does."""
    return round(moment.timestamp() * 1000)


# --- messages


def place_view(asked: Asked, stored: Stored) -> PlaceView:
    """Tell where a message of this wire is."""
    return PlaceView(
        doc_id=stored.client_id if asked.msg_id is None else asked.msg_id,
        r_id=_shown_id(stored.client_id, str(stored.number), stored.conversation_id),
        session_id=stored.conversation_id,
        seq=stored.seq,
        created_at=rfc3339(stored.created_at),
    )


def safe_view(asked: Asked, client_id: str, server_id: str, conversation_id: ConversationId) -> PlaceView:
    """Tell that a message of this wire is safe, but has no place yet."""
    doc_id = client_id if asked.msg_id is None else asked.msg_id
    return PlaceView(doc_id=doc_id, r_id=_shown_id(client_id, server_id, conversation_id), session_id=conversation_id)


def message_id(message: Message) -> str:
    """Give the id by which clients of this wire know a message."""
    if _kept(message).mType is None:
        return str(message.number)
    return _shown_id(message.client_id, str(message.number), message.conversation_id)


def _shown_id(client_id: str, server_id: str, conversation_id: ConversationId) -> str:
    """Choose the sender's own id between two users; among many, somebody could choose what another has chosen."""
    return client_id if is_direct(conversation_id) and len(client_id) >= _UNIQUE_CHARS else server_id


def message_view(message: Message, to_id: str) -> MessageView:
    """Show a message, from whichever wire it is."""
    kept = _kept(message)
    type_ = _shown_type(message, kept)
    is_single = is_direct(message.conversation_id)
    attrs = AttrsView(
        MSG_TYPE="SINGLE" if is_single else "GROUP",
        USER_ID=message.sender_id,
        USER_NAME=message.sender_name,
        USER_SEX=kept.sex or _NO_SEX,
        USER_ICON=kept.icon or "",
        CHAT_TIME=str(millis(message.created_at)),
    )
    has_file = type_ != frames.TEXT and message.type not in (MessageType.TEXT, MessageType.SYSTEM)
    data = DataView(
        attrs=attrs,
        text=(kept.text or _PICTURE) if has_file else message.content,
        file=frames.File(url=message.content) if has_file else None,
    )
    return MessageView(
        id=message_id(message),
        from_id=message.sender_id,
        to_id=to_id,
        session_id=message.conversation_id,
        cType=frames.SINGLE if is_single else frames.GROUP,
        seq=message.seq,
        created_at=rfc3339(message.created_at),
        content=message.content,
        cov_data=CovView(data=data, mType=type_),
    )


def _kept(message: Message) -> Kept:
    return own_part(message.metadata, WIRE, Kept)


def _shown_type(message: Message, kept: Kept) -> int:
    """Choose how a message is shown: as its sender did, or as what it is on other wires."""
    has_file = message.type not in (MessageType.TEXT, MessageType.SYSTEM)
    if kept.mType is not None:
        return kept.mType if has_file or kept.mType != frames.IMAGE else frames.TEXT
    is_picture = message.type is MessageType.IMAGE and message.content.startswith(("http://", "https://"))
    return frames.IMAGE if is_picture else frames.TEXT


# --- signals


def receipt_view(event: ReceiptAdvanced) -> ReceiptView:
    """Show a receipt."""
    return ReceiptView(
        tid=event.user_id if is_direct(event.conversation_id) else event.conversation_id,
        session_id=event.conversation_id,
        from_id=event.user_id,
        status=event.stage,
        seq=event.seq,
        timestamp=rfc3339(event.at),
    )


def typing_view(event: TypingChanged) -> TypingView:
    """Show that somebody is typing."""
    return TypingView(
        tid=event.user_id if is_direct(event.conversation_id) else event.conversation_id,
        session_id=event.conversation_id,
        from_id=event.user_id,
        name=event.name,
        is_typing=event.active,
    )
