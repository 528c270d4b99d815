"""The flutter wire: JSON strings in Socket.IO's `message` event, each with a type and the client's `msg_id`."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import ClassVar, assert_never

from gateway.dialects import flutter_frames as frames
from gateway.dialects.base import (
    Accepted,
    Answer,
    BadFrame,
    Caller,
    Errand,
    Frame,
    Habits,
    Hello,
    Kit,
    Pushed,
    Reply,
    Request,
    Telling,
    Upgrade,
    Welcome,
    standard_code,
)
from gateway.dialects.flutter_errands import Errands
from gateway.dialects.flutter_reading import (
    Asked,
    check_sender,
    command,
    decode,
    direct,
    group_of,
    peer_of,
    plain,
)
from gateway.dialects.flutter_writing import (
    answered,
    message_view,
    place_view,
    pushed,
    receipt_view,
    refused,
    safe_view,
    typing_view,
)
from gateway.dialects.socket_io import Connect
from gateway.dialects.socket_io import decode as decode_packet
from gateway.dialects.world import SocketWorld
from gateway.disconnects import Disconnect
from shared.commands import SetTyping
from shared.errors import ErrorBody, ErrorCode, Forbidden, Invalid, TooLarge, Unauthenticated
from shared.events import (
    DeviceInfo,
    Message,
    MessageFailed,
    MessageStored,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.ids import DeviceId, NewId, UserId, is_direct

MESSAGE = "cs_cp2p_s"
PAGE = "cs_gcds_sr"
PING_S = 30  # how often clients are meant to ping
_ERRORS = {
    Disconnect.UNAUTHENTICATED: ErrorCode.UNAUTHENTICATED,
    Disconnect.TOKEN_EXPIRED: ErrorCode.UNAUTHENTICATED,
    Disconnect.PROTOCOL_ERRORS: ErrorCode.INVALID,
}


class FlutterDialect:
    """Its clients keep their own store by `msg_id`, ping every 30 s, and acknowledge nothing."""

    name: ClassVar[str] = "flutter"
    subprotocols: ClassVar[tuple[str, ...]] = ()
    habits: ClassVar[Habits] = Habits(resumes=False, acknowledges=False, fetches=False, beats=True)

    def __init__(self, *, new_id: NewId, now: Callable[[], datetime], max_frame_bytes: int) -> None:
        self._new_id = new_id
        self._now = now
        self._max_frame_bytes = max_frame_bytes
        self._errands = Errands(now, new_id)
        self._token: str | None = None
        self._caller: Caller | None = None

    @classmethod
    def make(cls, kit: Kit) -> "FlutterDialect":
        """Make one for a session."""
        return cls(new_id=kit.new_id, now=kit.now, max_frame_bytes=kit.max_frame_bytes)

    @property
    def variant(self) -> str:
        """Name how events are written: whom a message is to depends on the reader."""
        return f"{self.name}:{self._caller.user_id if self._caller is not None else ''}"

    def upgraded(self, upgrade: Upgrade) -> Hello | None:
        """Take note of a token; `enter` says who the client is."""
        self._token = upgrade.token
        return None

    def opened(self, caller: Caller) -> None:
        """Take note of who the client turned out to be."""
        self._caller = caller

    # --- client → server

    def receive(self, frame: Frame | None) -> Sequence[Request | Reply]:
        """Decode one packet. Raises: BadFrame."""
        packet = decode_packet(frame)
        if isinstance(packet, Connect):
            return (self._connected(packet),)
        message, asked = decode(packet, max_bytes=self._max_frame_bytes)
        try:
            return (self._taken(message, asked),)
        except (Invalid, TooLarge, Forbidden) as error:
            raise BadFrame(error, reply_to=asked.reply_to) from error

    def _connected(self, connect: Connect) -> Reply:
        self._token = connect.token or self._token
        info = {"socket_id": connect.sid, "ping_interval": PING_S}
        return Reply((pushed("connect_info", info, now=self._now()),))

    def _taken(self, message: frames.ClientMessage, asked: Asked) -> Request | Reply:
        match message:
            case frames.Ping():
                return Reply(answered(asked, {}, now=self._now()))
            case frames.Enter(payload=payload):
                return self._enter(payload, asked)
        if self._caller is None:
            refusal = Unauthenticated("Enter first, with a token.").body()
            return Reply(refused(asked, refusal, now=self._now()))
        match message:
            case frames.SendMessage(payload=sent):
                return self._send(sent, asked, self._caller)
            case frames.PlainMessage():
                return self._send(plain(message), asked, self._caller)
            case frames.GetMessages(payload=page):
                return Request(Errand(partial(self._errands.page, page, asked)), asked.reply_to)
            case frames.EnterChat(payload=chat) | frames.LeaveChat(payload=chat):
                return Request(Errand(partial(self._errands.look, chat, asked), free=True), asked.reply_to)
            case frames.SetTyping(payload=typing):
                return self._typing(typing, asked, self._caller)
        assert_never(message)

    def _enter(self, entrance: frames.Entrance, asked: Asked) -> Request:
        user, extra = entrance.user or frames.User(), entrance.extra or frames.Extra()
        token = entrance.token or self._token
        if token is None:
            raise BadFrame(Unauthenticated("A token is needed."), reply_to=asked.reply_to)
        device = DeviceInfo(
            id=DeviceId(extra.device_id or self.name),
            name=user.name or "",
            type="mobile",
            platform=extra.pt or "",
            app_version="" if extra.v is None else str(extra.v),
        )
        claims = UserId(str(user.id)) if user.id not in (None, "") else None
        hello = Hello(token=token, claims=claims, device=device, echo=False)
        if self._caller is None:
            self._token = token
            return Request(hello, asked.reply_to)
        if claims not in (None, self._caller.user_id):
            raise Forbidden("Somebody else has entered on this connection: connect again.")
        return Request(Errand(partial(self._enter_again, hello, asked)), asked.reply_to)

    async def _enter_again(self, hello: Hello, asked: Asked, world: SocketWorld) -> Sequence[Request | Reply]:
        """Let the same user enter again, with another token too. Raises: Unauthenticated, Forbidden, Unavailable."""
        assert hello.token is not None
        if hello.token != self._token:
            await world.check_token(hello.token)
            self._token = hello.token
        return (Request(hello, asked.reply_to),)

    def _send(self, sent: frames.Sent, asked: Asked, caller: Caller) -> Request:
        check_sender(sent, caller)
        client_id = self._new_id() if asked.msg_id in (None, "") else str(asked.msg_id)
        msg_type = sent.cd.data.attrs.MSG_TYPE if sent.cd is not None else None
        peer, group = peer_of(sent, msg_type), group_of(sent, msg_type)
        if peer is None:
            if group is None and sent.tid is None:
                raise Invalid("Name a user or a group in tid.")
            return Request(Errand(partial(self._errands.send, sent, asked, client_id)), asked.reply_to)
        message = command(sent, caller, direct(caller, peer), peer, client_id=client_id, new_id=self._new_id)
        return Request(message, asked.reply_to)

    def _typing(self, typing: frames.Typing, asked: Asked, caller: Caller) -> Request:
        peer, group = peer_of(typing), group_of(typing)
        if peer is None and group is None:
            raise Invalid("Name a user in to_id, or a conversation in session_id.")
        conversation_id = direct(caller, peer) if peer is not None else group
        assert conversation_id is not None
        wish = SetTyping(
            conversation_id=conversation_id,
            user_id=caller.user_id,
            name=caller.name,
            active=typing.is_typing,
            to=peer,
        )
        return Request(wish, asked.reply_to)

    # --- server → client

    def render(self, event: Pushed) -> Sequence[Frame] | Telling:
        """Encode an event; edits, deletions and reactions have no words here."""
        assert self._caller is not None
        own = self._caller.user_id
        match event:
            case MessageStored(message=message) if message.deleted_at is None:
                return self._message(message, event.audience, own)
            case ReceiptAdvanced(user_id=reader) if reader != own:
                return (pushed("receipt", receipt_view(event), now=event.at),)
            case TypingChanged(user_id=writer) if writer != own:
                return (pushed("typing", typing_view(event), now=self._now()),)
            case MessageFailed(sender_id=sender) if sender == own:
                return refused(Asked(type="cs_cp2p", msg_id=event.client_id), event.error, now=event.at)
            case _:
                return ()

    def _message(self, message: Message, audience: Sequence[UserId], own: UserId) -> Sequence[Frame] | Telling:
        if not is_direct(message.conversation_id):
            return (self._pushed(message, message.conversation_id),)
        if message.sender_id != own:
            return (self._pushed(message, own),)
        if audience:
            return (self._pushed(message, next((user for user in audience if user != own), own)),)

        async def tell(world: SocketWorld) -> Sequence[Frame]:
            room = await world.room(message.conversation_id)
            return (self._pushed(message, room.peer_of(own) or own),)

        return Telling(tell)

    def _pushed(self, message: Message, to_id: str) -> Frame:
        """Push a message; an own one, from another device, as a page: as news it would open a chat with oneself."""
        view = message_view(message, to_id)
        if self._caller is not None and message.sender_id == self._caller.user_id:
            return pushed(PAGE, {"datas": (view,)}, now=message.created_at)
        return pushed(MESSAGE, view, now=message.created_at, msg_id=view.id)

    def answer(self, answer: Answer, *, reply_to: str) -> Sequence[Frame]:
        """Encode what a request came to."""
        asked = Asked.of(reply_to)
        match answer:
            case Welcome():
                payload: object = self._welcome_view(answer)
            case Stored():
                payload = place_view(asked, answer)
            case Accepted():
                client_id = answer.message_id if asked.msg_id is None else str(asked.msg_id)
                payload = safe_view(asked, client_id, answer.message_id, answer.conversation_id)
            case _:
                payload = {}
        return answered(asked, payload, now=self._now())

    def _welcome_view(self, welcome: Welcome) -> dict[str, object]:
        name = self._caller.name if self._caller is not None else welcome.user_id
        return {
            "user": {"id": welcome.user_id, "name": name},
            "socket_id": welcome.session_id,
            "device_id": welcome.device_id,
            "ping_interval": PING_S,
        }

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Say nothing: the answer to `enter` says it."""
        return ()

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done; the packet's own reader names an acknowledgement alone."""
        if reply_to is None:
            asked = Asked(type="error")
        else:
            asked = Asked(type="error", ack=reply_to) if reply_to.isdecimal() else Asked.of(reply_to)
        return refused(asked, error, now=self._now())

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Say why, where the client is not to come back as it does by itself."""
        if disconnect.reconnect:
            return ()
        code = _ERRORS.get(disconnect, ErrorCode.FORBIDDEN)
        body = ErrorBody(code=code.value, message=disconnect.reason)
        return refused(Asked(type="error"), body, now=self._now())

    def close_code(self, disconnect: Disconnect) -> int:
        """Give the code of the close frame."""
        return standard_code(disconnect)
