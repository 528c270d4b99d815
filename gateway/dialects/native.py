"""Warren's own protocol, version 1: one JSON object a text frame, `{"type", "id"?, "data"}`."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar, assert_never

import msgspec

from gateway.content import check_content, metadata_object
from gateway.dialects import native_frames as frames
from gateway.dialects.base import (
    Accepted,
    Answer,
    BadFrame,
    Caller,
    Done,
    FetchHistory,
    Frame,
    Hello,
    Lagged,
    Pushed,
    Reply,
    Request,
    StoredLate,
    Synchronise,
    Welcome,
    Wish,
)
from gateway.disconnects import Disconnect
from gateway.views import accepted_view, changed_view, conversation_view, message_view, messages_view, stored_view
from shared.clock import rfc3339
from shared.commands import Acknowledge, SendMessage, SetTyping
from shared.errors import ErrorBody, Forbidden, Invalid, InvalidField, TooLarge, Unauthenticated, UnknownType
from shared.events import (
    Changed,
    ConversationCreated,
    DeviceInfo,
    MessageFailed,
    MessageStored,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.history_api import Changes, MessagePage, SyncAnswer
from shared.ids import ConversationId, DeviceId, MessageId, NewId, UserId, direct_conversation_id

_DECODER = msgspec.json.Decoder(frames.ClientFrame)
_HEADER = msgspec.json.Decoder(frames.Header)
_ENCODER = msgspec.json.Encoder()
_MISSING = re.compile("Object missing required field `(.+)`")
# What msgspec raises for a frame that is not one: also for text that has no UTF-8, and for JSON nested too deep.
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


class NativeDialect:
    """The native wire. The sender of every command is the authenticated user, whatever the frame says."""

    name: ClassVar[str] = "native"
    subprotocols: ClassVar[tuple[str, ...]] = ("warren.v1", "websocket")
    variant: ClassVar[str] = "native"

    def __init__(self, *, new_id: NewId, now: Callable[[], datetime], max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._new_id = new_id
        self._now = now
        self._caller: Caller | None = None

    def opened(self, caller: Caller) -> None:
        """Take note of who the client turned out to be."""
        self._caller = caller

    # --- client → server

    def receive(self, frame: Frame | None) -> Sequence[Request | Reply]:
        """Decode one frame. Raises: BadFrame."""
        if frame is None:
            raise BadFrame(Invalid("Frames are text, not binary."), unreadable=True)
        if _longer(frame, self._max_frame_bytes):
            raise BadFrame(TooLarge("The frame is too long.", limit=self._max_frame_bytes), reply_to=_frame_id(frame))
        try:
            read = _DECODER.decode(frame)
        except _UNREADABLE as error:
            raise _bad_frame(frame, error) from error
        try:
            if isinstance(read, frames.PingFrame):
                return (Reply(self._pong(read)),)
            return (Request(self._wish(read), read.id),)
        except (Invalid, TooLarge, Forbidden, Unauthenticated) as error:
            raise BadFrame(error, reply_to=read.id) from error

    def _wish(
        self,
        read: frames.SendFrame
        | frames.AckFrame
        | frames.TypingFrame
        | frames.HelloFrame
        | frames.HistoryFrame
        | frames.SyncFrame,
    ) -> Wish:
        if isinstance(read, frames.HelloFrame):
            return _hello(read.data)
        if self._caller is None:
            raise Unauthenticated("Say hello with a token first.")
        match read:
            case frames.SendFrame():
                return self._send(read, self._caller)
            case frames.AckFrame(data=data):
                _check_signature(data, self._caller)
                return Acknowledge(
                    conversation_id=ConversationId(data.conversation_id),
                    user_id=self._caller.user_id,
                    stage=data.stage,
                    seq=data.seq,
                )
            case frames.TypingFrame(data=data):
                _check_signature(data, self._caller)
                return SetTyping(
                    conversation_id=_conversation(data, self._caller),
                    user_id=self._caller.user_id,
                    name=self._caller.name,
                    active=data.active,
                    to=UserId(data.to) if data.to else None,
                )
            case frames.HistoryFrame(data=data):
                if data.before is not None and data.after is not None:
                    raise Invalid("Give before or after, not both.")
                return FetchHistory(
                    conversation_id=ConversationId(data.conversation_id),
                    before=data.before,
                    after=data.after,
                    limit=data.limit,
                )
            case frames.SyncFrame(data=data):
                versions = {ConversationId(known): version for known, version in (data.conversations or {}).items()}
                return Synchronise(since=data.since, versions=versions)
        assert_never(read)

    def _send(self, read: frames.SendFrame, caller: Caller) -> SendMessage:
        data = read.data
        _check_signature(data, caller)
        check_content(data.content, data.metadata, data.attachments)
        return SendMessage(
            message_id=MessageId(self._new_id()),
            conversation_id=_conversation(data, caller),
            sender_id=caller.user_id,
            sender_name=caller.name,
            client_id=data.client_id or self._new_id(),
            to=UserId(data.to) if data.to else None,
            type=data.type,
            content=data.content,
            metadata=metadata_object(data.metadata),
            reply_to=MessageId(data.reply_to) if data.reply_to else None,
            mentions=tuple(UserId(mention) for mention in data.mentions or ()),
        )

    def _pong(self, ping: frames.PingFrame) -> Sequence[Frame]:
        if ping.id is None:
            return (self._push("pong", ping.data),)
        return (self._reply(ping.id, ping.data),)

    # --- server → client

    def render(self, event: Pushed) -> Sequence[Frame]:
        """Encode an event."""
        match event:
            case MessageStored(message=message):
                return (self._push("message", message_view(message)),)
            case ReceiptAdvanced() | MessageFailed() | StoredLate():
                return (self._push("receipt", _receipt(event)),)
            case TypingChanged():
                return (self._push("typing", _typing(event)),)
            case Lagged():
                return (self._push("lagged", _lagged(event)),)
        assert_never(event)

    def answer(self, answer: Answer, *, reply_to: str) -> Sequence[Frame]:
        """Encode what a request came to."""
        return (self._reply(reply_to, self._answer_view(answer)),)

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Encode that the session is open."""
        return (self._push("welcome", self._welcome_view(welcome)),)

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done."""
        return (_encode(frames.ErrorFrame(id=reply_to, error=error, timestamp=rfc3339(self._now()))),)

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Encode the last words before the close."""
        bye = frames.ByeView(
            code=disconnect.code,
            reason=disconnect.reason,
            reconnect=disconnect.reconnect,
            retry_after_ms=retry_after_ms,
        )
        return (self._push("bye", bye),)

    def _answer_view(self, answer: Answer) -> object:
        match answer:
            case Stored():
                return stored_view(answer)
            case Accepted():
                return accepted_view(answer.message_id, answer.conversation_id)
            case MessagePage():
                return messages_view(answer)
            case SyncAnswer():
                return _sync_view(answer)
            case Welcome():
                return self._welcome_view(answer)
            case Changed():
                return changed_view(answer)
            case ConversationCreated():
                return frames.CreatedView(conversation_id=answer.conversation_id, created=answer.created)
            case Done():
                return {}
        assert_never(answer)

    def _welcome_view(self, welcome: Welcome) -> frames.WelcomeView:
        return frames.WelcomeView(
            connection_id=welcome.session_id,
            user_id=welcome.user_id,
            device_id=welcome.device_id,
            heartbeat_s=welcome.heartbeat_s,
            since=welcome.since,
            limits=frames.LimitsView(
                max_frame_bytes=welcome.limits.max_frame_bytes,
                max_content_bytes=welcome.limits.max_content_bytes,
                max_metadata_bytes=welcome.limits.max_metadata_bytes,
                max_in_flight=welcome.limits.max_in_flight,
            ),
            server_time=rfc3339(self._now()),
        )

    def _reply(self, frame_id: str, view: object) -> Frame:
        return _encode(frames.ReplyFrame(id=frame_id, data=view, timestamp=rfc3339(self._now())))

    def _push(self, type_: str, view: object) -> Frame:
        return _encode(frames.PushFrame(type=type_, data=view, timestamp=rfc3339(self._now())))


def _longer(frame: Frame, max_bytes: int) -> bool:
    """Compare a frame's UTF-8 with a limit; a character has one to four bytes, so few frames are encoded for it."""
    return len(frame) > max_bytes or (len(frame) * 4 > max_bytes and len(frame.encode()) > max_bytes)


def _frame_id(frame: Frame) -> str | None:
    try:
        header = _HEADER.decode(frame)
    except _UNREADABLE:
        return None
    return header.id if isinstance(header.id, str) else None


def _bad_frame(frame: Frame, error: Exception) -> BadFrame:
    """Tell what is wrong with a frame: it is no JSON object, has no type that we know, or a field is wrong."""
    try:
        header = _HEADER.decode(frame)
    except _UNREADABLE:
        return BadFrame(Invalid("A frame is one JSON object, with a type."), unreadable=True)
    reply_to = header.id if isinstance(header.id, str) else None
    if not isinstance(header.type, str):
        untyped = InvalidField("A frame needs a type, a string at $.type.", path="$.type")
        return BadFrame(untyped, reply_to=reply_to, unreadable=True)
    what, _, path = str(error).partition(" - at `")
    if path == "$.type`":
        unknown = UnknownType(f"No frame has the type {header.type[:64]!r}.")
        return BadFrame(unknown, reply_to=reply_to, unreadable=True)
    path = path.rstrip("`") or "$"
    if missing := _MISSING.match(what):
        path = f"{path}.{missing[1]}"
    return BadFrame(InvalidField(f"{what} at {path}.", path=path), reply_to=reply_to)


def _hello(data: frames.HelloData) -> Hello:
    return Hello(token=data.token, device=_device(data.device), since=data.since, echo=data.echo)


def _device(data: frames.DeviceData | None) -> DeviceInfo | None:
    if data is None:
        return None
    return DeviceInfo(
        id=DeviceId(data.id or ""),
        name=data.name or "",
        type=data.type or "other",
        platform=data.platform or "",
        browser=data.browser or "",
        os_version=data.os_version or "",
        app_version=data.app_version or "",
    )


def _check_signature(data: frames.SpokenFor, caller: Caller) -> None:
    for claimed in (data.sender_id, data.user_id):
        if claimed is not None and claimed != caller.user_id:
            raise Forbidden("A frame speaks for the authenticated user alone.")


def _conversation(data: frames.SendData | frames.TypingData, caller: Caller) -> ConversationId:
    if data.to is None and data.conversation_id is not None:
        return ConversationId(data.conversation_id)
    if data.to is not None and data.conversation_id is None:
        return direct_conversation_id(caller.user_id, UserId(data.to))
    raise Invalid("Name a conversation_id or a user in to, one of the two.")


def _receipt(event: ReceiptAdvanced | MessageFailed | StoredLate) -> frames.ReceiptView:
    match event:
        case ReceiptAdvanced():
            return frames.ReceiptView(
                conversation_id=event.conversation_id,
                user_id=event.user_id,
                stage=event.stage.value,
                seq=event.seq,
                at=rfc3339(event.at),
            )
        case MessageFailed():
            return frames.ReceiptView(
                conversation_id=event.conversation_id,
                user_id=event.sender_id,
                stage="failed",
                at=rfc3339(event.at),
                message_id=event.message_id,
                client_id=event.client_id,
                code=event.error.code,
                message=event.error.message,
            )
        case StoredLate(stored=stored):
            return frames.ReceiptView(
                conversation_id=stored.conversation_id,
                user_id=event.sender_id,
                stage="stored",
                at=rfc3339(event.at),
                seq=stored.seq,
                message_id=stored.message_id,
                client_id=stored.client_id,
                version=stored.version,
                number=stored.number,
            )
    assert_never(event)


def _typing(event: TypingChanged) -> frames.TypingView:
    return frames.TypingView(
        conversation_id=event.conversation_id, user_id=event.user_id, name=event.name, active=event.active
    )


def _lagged(event: Lagged) -> frames.LaggedView:
    return frames.LaggedView(conversation_id=event.conversation_id, from_seq=event.from_seq, before=event.before)


def _sync_view(answer: SyncAnswer) -> frames.SyncView:
    conversations = [_changes_view(changes) for changes in answer.conversations]
    return frames.SyncView(conversations=conversations, since=answer.since, has_more=answer.has_more)


def _changes_view(changes: Changes) -> frames.ChangesView:
    conversation = changes.conversation
    messages = (message_view(event.message, conversation.watermarks) for event in changes.events)
    return frames.ChangesView(
        conversation_id=conversation.id,
        version=changes.version,
        conversation=conversation_view(conversation),
        events=[frames.EventView(type="message", data=message) for message in messages],
        limited=changes.limited,
        before=changes.before,
    )


def _encode(frame: msgspec.Struct) -> Frame:
    return _ENCODER.encode(frame).decode()
