"""The service wire: Socket.IO events of users and the agents that help them, each answered by its acknowledgement."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import ClassVar

import msgspec

from gateway.dialects.base import (
    Accepted,
    Answer,
    BadFrame,
    Caller,
    Confirms,
    Frame,
    Habits,
    Hello,
    Kit,
    Pushed,
    Reply,
    Request,
    StoredLate,
    Telling,
    Upgrade,
    Welcome,
    Wish,
    standard_code,
)
from gateway.dialects.numbers import shown_user_id
from gateway.dialects.own_parts import own_part
from gateway.dialects.reading import longer
from gateway.dialects.receipts import Receipts, Told
from gateway.dialects.service_agents import enlist
from gateway.dialects.service_frames import (
    Asked,
    DeviceData,
    Heartbeat,
    Reference,
    Register,
    check_signature,
    id_of,
    read,
)
from gateway.dialects.service_known import Known
from gateway.dialects.service_reading import Reading
from gateway.dialects.service_sessions import AGENT, WIRE, SessionPart
from gateway.dialects.service_telling import shown_message
from gateway.dialects.service_views import (
    AcceptedView,
    BeatView,
    ConnectedView,
    EditedView,
    KickedView,
    RecalledView,
    RegisteredView,
    SentView,
    StatusView,
    Success,
    TypingView,
    agent_view,
    clock_time,
    device_mark,
    failure,
    moment,
    part_of,
)
from gateway.dialects.socket_io import Connect, Event, ack_frame, decode, event_frame
from gateway.dialects.world import SocketWorld
from gateway.disconnects import Disconnect
from shared.errors import ErrorBody, ErrorCode, TooLarge, Unauthenticated, WarrenError
from shared.events import (
    ConversationChange,
    ConversationChanged,
    DeviceInfo,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageStored,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.ids import ConversationId, DeviceId, UserId
from shared.position import Position

_TYPES = ("desktop", "mobile", "web")
_KICKS = {Disconnect.KICKED: "kicked", Disconnect.REPLACED: "replaced"}
_ERRORS = {
    Disconnect.UNAUTHENTICATED: ErrorCode.UNAUTHENTICATED,
    Disconnect.TOKEN_EXPIRED: ErrorCode.TOKEN_EXPIRED,
    Disconnect.BANNED: ErrorCode.FORBIDDEN,
    Disconnect.PROTOCOL_ERRORS: ErrorCode.INVALID,
}


class ServiceDialect:
    """The service wire. A client connects, registers within seconds, and then asks and is told."""

    name: ClassVar[str] = WIRE
    subprotocols: ClassVar[tuple[str, ...]] = ()
    habits: ClassVar[Habits] = Habits(resumes=False, confirms=Confirms.ACKS, fetches=False, beats=True)

    def __init__(self, kit: Kit) -> None:
        self.variant = f"{WIRE}:{kit.new_id()}"  # how sessions are called is each client's own
        self._kit = kit
        self._known = Known()
        self._caller: Caller | None = None
        self._opened_at = kit.now()
        self._receipts = Receipts(UserId(""), since=self._opened_at)
        self._token: str | None = None
        self._socket_id = ""
        self._connection_id: Reference = ""
        self._is_named = False  # its device

    @classmethod
    def make(cls, kit: Kit) -> "ServiceDialect":
        """Make one for a session."""
        return cls(kit)

    def upgraded(self, upgrade: Upgrade) -> Hello | None:
        """Take a token; who the client is, it says when it registers."""
        self._token = upgrade.token
        return None

    def opened(self, caller: Caller) -> None:
        """Take note of who the client turned out to be."""
        if self._caller is None:
            self._opened_at = self._kit.now()
        self._caller = caller

    # --- client → server

    def receive(self, frame: Frame | None) -> Sequence[Request | Reply]:
        """Decode one packet. Raises: BadFrame."""
        said = decode(frame)
        if isinstance(said, Connect):
            return (Reply(self._greet(said)),)
        ack = said.ack or ""
        try:
            if frame is not None and longer(frame, self._kit.max_frame_bytes):
                raise TooLarge("The event is too long.", limit=self._kit.max_frame_bytes)
            return (self._asked(said, ack),)
        except WarrenError as error:
            if self._caller is None:
                return (Reply(self.refuse(error.body(), reply_to=ack)),)
            raise BadFrame(error, reply_to=ack) from error

    def _greet(self, connect: Connect) -> Sequence[Frame]:
        self._socket_id = connect.sid
        self._token = connect.token or self._token
        return (event_frame("connect_success", ConnectedView(socket_id=connect.sid)),)

    def _asked(self, event: Event, ack: str) -> Request | Reply:
        data = read(event)
        if self._caller is None:
            if not isinstance(data, Register):
                raise Unauthenticated("Register first.")
            return Request(self._hello(data), ack)
        check_signature(data, self._caller)
        then = self._then(data, self._caller, ack)
        if data.token is not None and not self._known.trusts(data.token):
            return Request(self._reading(self._caller).once_trusted(data.token, then, ack), ack)
        return then if isinstance(then, Reply) else Request(then, ack)

    def _then(self, data: Asked, caller: Caller, ack: str) -> Wish | Reply:
        if isinstance(data, Register):  # once more: it is so already
            return Reply(_acked(ack, self._registered(data.connection_id)))
        if isinstance(data, Heartbeat):
            return Reply(_acked(ack, BeatView(timestamp=self._moment(self._kit.now()))))
        return self._reading(caller).wish(data, ack)

    def _reading(self, caller: Caller) -> Reading:
        return Reading(caller, self._known, new_id=self._kit.new_id, zone=self._kit.zone)

    def _hello(self, data: Register) -> Hello:
        user_id = id_of(data.user_id, "user_id")
        device_id = id_of(data.device_id, "device_id") if data.device_id else ""
        token = data.token or self._token
        if token is None:
            raise Unauthenticated("A token is needed to register.")
        self._known.trust(token)
        self._is_named = bool(device_id)
        self._connection_id = data.connection_id or self._kit.new_id()
        device = _device(data, DeviceId(device_id))
        return Hello(token=token, claims=UserId(user_id), device=device, takes_over=bool(device_id))

    # --- server → client

    def render(self, event: Pushed) -> Sequence[Frame] | Telling:
        """Encode an event."""
        match event:
            case MessageStored(message=message):
                return self._message(message)
            case ReceiptAdvanced():
                return self._receipt(event)
            case TypingChanged():
                return self._typing(event)
            case MessageEdited(message=message):
                return (event_frame("message_edited", self._edited(message)),)
            case MessageDeleted(message=message):
                return (event_frame("message_recalled", self._recalled(event)),)
            case ConversationChanged():
                return self._changed(event)
            case StoredLate(stored=stored):
                ack = self._known.late_ack(stored.message_id)
                return () if ack is None else self.answer(stored, reply_to=ack)
            case MessageFailed():
                return self.refuse(event.error, reply_to=self._known.late_ack(event.message_id))
        return ()

    def _message(self, message: Message) -> Sequence[Frame] | Telling:
        if message.sender_id == self._user_id and self._is_from_here(message):
            return self._status_frames(self._receipts.sent(message, self._kit.now()))
        return () if message.deleted_at is not None else Telling(partial(self._shown, message))

    def _is_from_here(self, message: Message) -> bool:
        """Tell whether an own message was sent on this socket, or on an earlier one of this device."""
        assert self._caller is not None
        return self._known.was_sent(message.client_id) or part_of(message).device == device_mark(self._caller)

    async def _shown(self, message: Message, world: SocketWorld) -> Sequence[Frame]:
        view = await shown_message(world, message, self._known, zone=self._kit.zone, since=self._opened_at)
        frames = [event_frame("new_message", view)]
        if message.sender_id == self._user_id:
            frames += self._status_frames(self._receipts.sent(message, self._kit.now()))
        return frames

    def _receipt(self, event: ReceiptAdvanced) -> Sequence[Frame] | Telling:
        if event.user_id == self._user_id:
            return ()
        if self._receipts.knows(event.conversation_id):
            return self._status_frames(self._receipts.advanced(event))
        return Telling(partial(self._learnt, event))

    async def _learnt(self, event: ReceiptAdvanced, world: SocketWorld) -> Sequence[Frame]:
        await self._receipts.learn(event.conversation_id, world, event.at)
        return self._status_frames(self._receipts.advanced(event))

    def _status_frames(self, told: Sequence[Told]) -> Sequence[Frame]:
        return [
            event_frame(
                "message_status",
                StatusView(message_id=str(each.number), status=each.stage.value, timestamp=self._moment(each.at)),
            )
            for each in told
        ]

    def _typing(self, event: TypingChanged) -> Sequence[Frame]:
        if event.user_id == self._user_id:
            return ()
        view = TypingView(
            session_id=self._known.name(event.conversation_id),
            user_id=shown_user_id(event.user_id),
            user_name=event.name,
            is_typing=event.active,
        )
        return (event_frame("typing", view),)

    def _edited(self, message: Message) -> EditedView:
        return EditedView(
            message_id=str(message.number),
            session_id=self._known.name(message.conversation_id),
            text=message.content,
            message=message.content,
            timestamp=self._moment(message.edited_at or self._kit.now()),
        )

    def _recalled(self, event: MessageDeleted) -> RecalledView:
        return RecalledView(
            message_id=str(event.message.number),
            session_id=self._known.name(event.conversation_id),
            timestamp=self._moment(event.at),
        )

    def _changed(self, event: ConversationChanged) -> Sequence[Frame] | Telling:
        """Follow who is in a session, and tell its user that an agent has come."""
        self._receipts.changed(event.conversation_id)
        if event.change is ConversationChange.MEMBER_REMOVED and self._user_id in event.user_ids:
            self._known.left(event.conversation_id)
        if event.change is not ConversationChange.UPDATED or event.actor_id is not None:
            return ()
        part = own_part(event.conversation.metadata, WIRE, SessionPart)
        if part.state != "open" or part.agent in (None, self._user_id):
            return ()
        return Telling(partial(self._accepted, event.conversation_id, UserId(str(part.agent))))

    async def _accepted(self, conversation_id: ConversationId, agent_id: UserId, world: SocketWorld) -> Sequence[Frame]:
        agent = (await world.people((agent_id,)))[agent_id]
        view = AcceptedView(session_id=self._known.name(conversation_id), agent=agent_view(agent))
        return (event_frame("session_accepted_for_user", view),)

    def answer(self, answer: Answer, *, reply_to: str) -> Sequence[Frame] | Telling:
        """Encode what a request came to; nothing where the client does not wait for it."""
        match answer:
            case Welcome():
                return Telling(partial(self._listed, _acked(reply_to, self._registered(self._connection_id))))
            case Stored():
                time = clock_time(answer.created_at, self._kit.zone)
                return _acked(reply_to, SentView(message_id=answer.number, time=time))
            case Accepted():  # its number is known when it is stored
                if reply_to:
                    self._known.accepted(answer.message_id, reply_to)
                return ()
        return _acked(reply_to, Success())

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Say nothing yet: registering has an answer."""
        self._receipts = Receipts(welcome.user_id, since=Position.from_history(welcome.since).floor)
        return ()

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done: to who does not wait for an answer, as an event."""
        return _acked(reply_to, failure(error)) if reply_to else (event_frame("error", failure(error)),)

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Encode the last words before the close."""
        if disconnect in _KICKS:
            return (event_frame("kicked", KickedView(reason=disconnect.reason, code=_KICKS[disconnect])),)
        if disconnect in _ERRORS:
            body = ErrorBody(code=_ERRORS[disconnect].value, message=disconnect.reason)
            return (event_frame("error", failure(body)),)
        return ()

    def close_code(self, disconnect: Disconnect) -> int:
        """Give the code of the close frame."""
        return standard_code(disconnect)

    async def _listed(self, frames: Sequence[Frame], world: SocketWorld) -> Sequence[Frame]:
        """Answer a registration: by now the others find the device, or the agent, that asks for it."""
        if world.caller.role == AGENT:
            await enlist(world)
        if self._is_named:
            await world.arrived()
        return frames

    @property
    def _user_id(self) -> UserId | None:
        return None if self._caller is None else self._caller.user_id

    def _registered(self, connection_id: Reference | None) -> RegisteredView:
        return RegisteredView(connection_id=connection_id or self._connection_id, socket_id=self._socket_id)

    def _moment(self, at: datetime) -> str:
        return moment(at, self._kit.zone)


def _acked(ack: str, view: msgspec.Struct) -> Sequence[Frame]:
    return (ack_frame(ack, view),) if ack else ()


def _device(data: Register, device_id: DeviceId) -> DeviceInfo:
    info = data.device_info or DeviceData()
    type_ = (info.device_type or "").lower()
    return DeviceInfo(
        id=device_id,
        name=info.device_name or "",
        type=type_ if type_ in _TYPES else "other",
        platform=info.platform or "",
        browser=info.browser or "",
        os_version=info.os_version or "",
        app_version=info.app_version or "",
    )
