"""Warren's own protocol, version 1: one JSON object a text frame, `{"type", "id"?, "data"}`."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar, assert_never

import msgspec

from gateway.dialects import native_frames as frames
from gateway.dialects import native_views as views
from gateway.dialects.base import (
    Accepted,
    Answer,
    BadFrame,
    Caller,
    Done,
    Frame,
    Habits,
    Hello,
    Kit,
    Lagged,
    Presences,
    Pushed,
    Reply,
    Request,
    StoredLate,
    Upgrade,
    Welcome,
)
from gateway.dialects.native_reading import decode, wish_of
from gateway.dialects.native_writing import (
    entry_view,
    lagged_view,
    notification_view,
    receipt_view,
    sync_view,
    typing_view,
)
from gateway.dialects.reading import frame_id, longer
from gateway.disconnects import Disconnect
from gateway.views import (
    accepted_view,
    changed_view,
    message_view,
    messages_view,
    presence_view,
    presences_view,
    stored_view,
)
from shared.clock import rfc3339
from shared.errors import ErrorBody, Forbidden, Invalid, TooLarge, Unauthenticated
from shared.events import (
    Changed,
    ConversationCreated,
    MessageFailed,
    MessageStored,
    Notified,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.history_api import MessagePage, SyncAnswer
from shared.ids import NewId
from shared.presence_api import Presence

_ENCODER = msgspec.json.Encoder()


class NativeDialect:
    """The native wire. The sender of every command is the authenticated user, whatever the frame says."""

    name: ClassVar[str] = "native"
    subprotocols: ClassVar[tuple[str, ...]] = ("warren.v1", "websocket")
    variant: str = "native"
    habits: ClassVar[Habits] = Habits()

    def __init__(self, *, new_id: NewId, now: Callable[[], datetime], max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._new_id = new_id
        self._now = now
        self._caller: Caller | None = None

    @classmethod
    def make(cls, kit: Kit) -> "NativeDialect":
        """Make one for a session."""
        return cls(new_id=kit.new_id, now=kit.now, max_frame_bytes=kit.max_frame_bytes)

    def upgraded(self, upgrade: Upgrade) -> Hello | None:
        """Take a token from the upgrade; without one a `hello` brings it."""
        if upgrade.token is None:
            return None
        return Hello(token=upgrade.token, since=upgrade.query.get("since"))

    def opened(self, caller: Caller) -> None:
        """Take note of who the client turned out to be."""
        self._caller = caller

    # --- client → server

    def receive(self, frame: Frame | None) -> Sequence[Request | Reply]:
        """Decode one frame. Raises: BadFrame."""
        if frame is None:
            raise BadFrame(Invalid("Frames are text, not binary."), unreadable=True)
        if longer(frame, self._max_frame_bytes):
            raise BadFrame(TooLarge("The frame is too long.", limit=self._max_frame_bytes), reply_to=frame_id(frame))
        read = decode(frame)
        try:
            if isinstance(read, frames.PingFrame):
                return (Reply(self._pong(read)),)
            return (Request(wish_of(read, self._caller, self._new_id), read.id),)
        except (Invalid, TooLarge, Forbidden, Unauthenticated) as error:
            raise BadFrame(error, reply_to=read.id) from error

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
                return (self._push("receipt", receipt_view(event)),)
            case TypingChanged():
                return (self._push("typing", typing_view(event)),)
            case Presence():
                return (self._push("presence", presence_view(event)),)
            case Lagged():
                return (self._push("lagged", lagged_view(event)),)
            case Notified():
                return (self._push("notification", notification_view(event)),)
            case _:
                shown = entry_view(event)
                return (self._push(views.type_of(shown), shown.data),)

    def answer(self, answer: Answer, *, reply_to: str) -> Sequence[Frame]:
        """Encode what a request came to."""
        return (self._reply(reply_to, self._answer_view(answer)),)

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Encode that the session is open."""
        return (self._push("welcome", self._welcome_view(welcome)),)

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done."""
        return (_encode(views.ErrorFrame(id=reply_to, error=error, timestamp=rfc3339(self._now()))),)

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Encode the last words before the close."""
        bye = views.ByeView(
            code=disconnect.code,
            reason=disconnect.reason,
            reconnect=disconnect.reconnect,
            retry_after_ms=retry_after_ms,
        )
        return (self._push("bye", bye),)

    def close_code(self, disconnect: Disconnect) -> int:
        """Give the code of the close frame: our own table's."""
        return disconnect.code

    def _answer_view(self, answer: Answer) -> object:
        match answer:
            case Stored():
                return stored_view(answer)
            case Accepted():
                return accepted_view(answer.message_id, answer.conversation_id)
            case Changed():
                return changed_view(answer)
            case MessagePage():
                return messages_view(answer)
            case SyncAnswer():
                return sync_view(answer)
            case Presences(presences=presences):
                return presences_view(presences)
            case Welcome():
                return self._welcome_view(answer)
            case ConversationCreated():
                return views.CreatedView(conversation_id=answer.conversation_id, created=answer.created)
            case Done():
                return {}
        assert_never(answer)

    def _welcome_view(self, welcome: Welcome) -> views.WelcomeView:
        return views.WelcomeView(
            connection_id=welcome.session_id,
            user_id=welcome.user_id,
            device_id=welcome.device_id,
            heartbeat_s=welcome.heartbeat_s,
            since=welcome.since,
            limits=views.LimitsView(
                max_frame_bytes=welcome.limits.max_frame_bytes,
                max_content_bytes=welcome.limits.max_content_bytes,
                max_metadata_bytes=welcome.limits.max_metadata_bytes,
                max_in_flight=welcome.limits.max_in_flight,
            ),
            server_time=rfc3339(self._now()),
        )

    def _reply(self, frame_id: str, view: object) -> Frame:
        return _encode(views.ReplyFrame(id=frame_id, data=view, timestamp=rfc3339(self._now())))

    def _push(self, type_: str, view: object) -> Frame:
        return _encode(views.PushFrame(type=type_, data=view, timestamp=rfc3339(self._now())))


def _encode(frame: msgspec.Struct) -> Frame:
    return _ENCODER.encode(frame).decode()
