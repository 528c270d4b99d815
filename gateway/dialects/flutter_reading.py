"""What a client of the flutter wire asks for: the JSON in its `message` events."""

import msgspec

from gateway.content import check_content, encode_metadata
from gateway.dialects import flutter_frames as frames
from gateway.dialects.base import BadFrame, Caller, Frame
from gateway.dialects.reading import UNREADABLE, bad_frame, longer
from gateway.dialects.socket_io import Event
from shared.commands import MessageType, SendMessage
from shared.errors import Forbidden, Invalid, TooLarge, UnknownType
from shared.ids import ConversationId, MessageId, NewId, UserId, direct_conversation_id

EVENT = "message"
MAX_ID_CHARS = 128
WIRE = "flutter"  # the key of the metadata
_SAYS_NOTHING = "A message says something."

_DECODER: msgspec.json.Decoder[frames.ClientMessage] = msgspec.json.Decoder(frames.ClientMessage)
_TEXT = msgspec.json.Decoder(str)
_ENCODER = msgspec.json.Encoder()


class Asked(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What an answer must say of its question; as JSON, it is the id by which the gateway answers."""

    type: str
    msg_id: frames.MsgId | None = None
    ack: str | None = None

    @property
    def reply_to(self) -> str:
        """Write it."""
        return _ENCODER.encode(self).decode()

    @classmethod
    def of(cls, reply_to: str) -> "Asked":
        """Read what `reply_to` wrote."""
        return _ASKED.decode(reply_to)


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the metadata keeps of a message of this wire, under its name: then it has an `mType`."""

    mType: int | None = None
    text: str | None = None  # beside a file
    sex: str | None = None
    icon: str | None = None


class _Header(msgspec.Struct, frozen=True):
    type: object = None
    msg_id: object = None


_ASKED = msgspec.json.Decoder(Asked)
_HEADER = msgspec.json.Decoder(_Header)


def decode(event: Event, *, max_bytes: int) -> tuple[frames.ClientMessage, Asked]:
    """Read an event. Raises: BadFrame."""
    if event.name != EVENT:
        unknown = UnknownType(f"This wire has no event {event.name[:64]!r}.")
        raise BadFrame(unknown, reply_to=Asked(type="error", ack=event.ack).reply_to)
    text = _text(event)
    asked = _asked(text, event.ack)
    if longer(text, max_bytes):
        raise BadFrame(TooLarge("The message is too long.", limit=max_bytes), reply_to=asked.reply_to)
    try:
        return _DECODER.decode(text), asked
    except UNREADABLE as error:
        bad = bad_frame(text, error)
        raise BadFrame(bad.error, reply_to=asked.reply_to, unreadable=bad.unreadable) from error


def _text(event: Event) -> Frame:
    """Give the JSON that an event carries: in a string, as the wire has it, or as it is."""
    data = bytes(event.data)
    try:
        return _TEXT.decode(data) if data.startswith(b'"') else data.decode()
    except UNREADABLE as error:
        no_text = Invalid("A message is one JSON object, with a type, in a string.")
        raise BadFrame(no_text, reply_to=Asked(type="error", ack=event.ack).reply_to, unreadable=True) from error


def _asked(text: Frame, ack: str | None) -> Asked:
    """Tell how a message that may be wrong is answered."""
    try:
        header = _HEADER.decode(text)
    except UNREADABLE:
        return Asked(type="error", ack=ack)
    type_ = header.type if isinstance(header.type, str) and len(header.type) <= 64 else "error"
    msg_id = header.msg_id
    if isinstance(msg_id, str):
        return Asked(type=type_, msg_id=msg_id[:MAX_ID_CHARS] or None, ack=ack)
    if isinstance(msg_id, int) and not isinstance(msg_id, bool) and abs(msg_id) < 2**63:
        return Asked(type=type_, msg_id=msg_id, ack=ack)
    return Asked(type=type_, ack=ack)


# --- sending


def plain(message: frames.PlainMessage) -> frames.Sent:
    """Give what a plain message sends, wherever its fields stand."""
    inside = message.payload or frames.Sent()
    return frames.Sent(
        tid=inside.tid,
        to_id=inside.to_id if message.to_id is None else message.to_id,
        session_id=inside.session_id if message.session_id is None else message.session_id,
        cType=inside.cType,
        cd=inside.cd,
        content=inside.content if message.content is None else message.content,
        from_id=inside.from_id if message.from_id is None else message.from_id,
    )


def check_sender(sent: frames.Sent, caller: Caller) -> None:
    """Refuse who speaks for others. Raises: Forbidden."""
    attrs = sent.cd.data.attrs if sent.cd is not None else frames.Attrs()
    for claimed in (attrs.USER_ID, sent.from_id):
        if claimed is not None and claimed != "" and str(claimed) != caller.user_id:
            raise Forbidden("A message speaks for the user who entered alone.")


def command(
    sent: frames.Sent,
    caller: Caller,
    conversation_id: ConversationId,
    to: UserId | None,
    *,
    client_id: str,
    new_id: NewId,
) -> SendMessage:
    """Write a message as a command. Raises: Invalid, InvalidField, TooLarge."""
    type_, content, kept = _content(sent)
    metadata = encode_metadata({WIRE: kept})
    check_content(content, metadata, None)
    return SendMessage(
        message_id=MessageId(new_id()),
        conversation_id=conversation_id,
        sender_id=caller.user_id,
        sender_name=caller.name,
        client_id=client_id,
        to=to,
        type=type_,
        content=content,
        metadata=metadata,
    )


def _content(sent: frames.Sent) -> tuple[MessageType, str, Kept]:
    if sent.cd is None:
        if sent.content is None:
            raise Invalid("A message needs cd, or content.")
        if not sent.content:
            raise Invalid(_SAYS_NOTHING)
        return MessageType.TEXT, sent.content, Kept(mType=frames.TEXT)
    data, attrs = sent.cd.data, sent.cd.data.attrs
    kept = Kept(
        mType=sent.cd.mType,
        text=data.text if data.file is not None else None,
        sex=None if attrs.USER_SEX is None else str(attrs.USER_SEX),
        icon=attrs.USER_ICON or None,
    )
    if data.file is not None:
        type_ = MessageType.IMAGE if sent.cd.mType == frames.IMAGE else MessageType.FILE
        return type_, data.file.url, kept
    if data.text is None or sent.cd.mType == frames.IMAGE:
        raise Invalid("A text needs data.text, a picture data.file.url.")
    if not data.text:
        raise Invalid(_SAYS_NOTHING)
    return MessageType.TEXT, data.text, kept


# --- conversations


def group_of(chat: frames.Chat, msg_type: str | None = None) -> ConversationId | None:
    """Name the conversation where the client says that it is one's id or number; None: it may be a user."""
    if chat.session_id is not None:
        return ConversationId(str(chat.session_id))
    is_group = chat.cType == frames.GROUP or (chat.cType is None and (msg_type or "").upper() == "GROUP")
    return ConversationId(str(chat.tid)) if is_group and chat.tid is not None and chat.to_id is None else None


def peer_of(chat: frames.Chat, msg_type: str | None = None) -> UserId | None:
    """Name the user where the client says that it is one; None: it may be a conversation.

    Who chooses a conversation's id could else let it be a user's, and get what is meant for them.
    """
    if chat.to_id is not None:
        return UserId(str(chat.to_id))
    is_single = chat.cType == frames.SINGLE or (chat.cType is None and (msg_type or "").upper() == "SINGLE")
    if chat.tid is not None and (is_single or str(chat.tid).isdecimal()):
        return UserId(str(chat.tid))
    return None


def direct(caller: Caller, peer: UserId) -> ConversationId:
    """Name the conversation with a user."""
    return direct_conversation_id(caller.user_id, peer)
