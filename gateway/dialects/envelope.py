"""The envelope wire: `{"type", "data", "id", "timestamp"}` in both directions, seven types of frames."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import ClassVar, TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from gateway.dialects import envelope_frames as frames
from gateway.dialects import envelope_views as views
from gateway.dialects.base import (
    Answer,
    BadFrame,
    Caller,
    ChooseStatus,
    Done,
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
from gateway.dialects.envelope_channels import Channels
from gateway.dialects.envelope_reading import check_signature, decode, hello_of, message_of, ping_data
from gateway.dialects.envelope_telling import CHAT, NOTIFICATION, SYSTEM, USER_STATUS, Saying, Teller
from gateway.dialects.reading import frame_id, longer
from gateway.dialects.world import SocketWorld
from gateway.disconnects import Disconnect
from shared.clock import rfc3339
from shared.commands import Acknowledge, SendMessage, SetTyping, Stage
from shared.errors import ErrorBody, Invalid, TooLarge, Unauthenticated, WarrenError
from shared.events import (
    ConversationChange,
    ConversationChanged,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageStored,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.ids import ConversationId, MessageId, UserId
from shared.presence_api import Presence

MAX_PROMISED = 1_000  # far more than are on their way at once
_ENCODER = msgspec.json.Encoder()
_OWN_TYPES = (CHAT, NOTIFICATION, USER_STATUS)  # all else is said by system messages
_OnChannel: TypeAlias = frames.SubscribeData | frames.UnsubscribeData | frames.TypingData
_MUTABLE = (MessageStored, MessageEdited, MessageDeleted, ReceiptAdvanced, TypingChanged)


class EnvelopeDialect:
    """The envelope wire. A client's message comes back to it as a `chat` once it is stored, with the client's id."""

    name: ClassVar[str] = "envelope"
    subprotocols: ClassVar[tuple[str, ...]] = ("websocket",)
    habits: ClassVar[Habits] = Habits(resumes=False, acknowledges=False, fetches=False, past=False, follows=True)

    def __init__(self, kit: Kit) -> None:
        self.variant = f"envelope:{kit.new_id()}"  # each client has its own names for channels
        self._kit = kit
        self._caller: Caller | None = None
        self._channels = Channels()
        self._teller = Teller(self._channels.name_of)
        self._sending: dict[str, MessageId] = {}  # by the client's ids of what is not answered yet
        self._promised: dict[MessageId, bool] = {}  # what answers when it comes back, also from a silenced channel

    @classmethod
    def make(cls, kit: Kit) -> "EnvelopeDialect":
        """Make one for a session."""
        return cls(kit)

    def upgraded(self, upgrade: Upgrade) -> Hello | None:
        """Take the token from the upgrade; no frame could bring it."""
        return hello_of(upgrade)

    def opened(self, caller: Caller) -> None:
        """Take note of who the client turned out to be."""
        self._caller = caller
        self._teller.user_id = caller.user_id

    # --- client → server

    def receive(self, frame: Frame | None) -> Sequence[Request | Reply]:
        """Decode one frame. Raises: BadFrame."""
        if frame is None:
            raise BadFrame(Invalid("Frames are text, not binary."), unreadable=True)
        if longer(frame, self._kit.max_frame_bytes):
            limit = self._kit.max_frame_bytes
            raise BadFrame(TooLarge("The frame is too long.", limit=limit), reply_to=frame_id(frame))
        read = decode(frame)
        try:
            return self._asked(read)
        except WarrenError as error:
            raise BadFrame(error, reply_to=read.id) from error

    def _asked(self, read: frames.ClientFrame) -> Sequence[Request | Reply]:
        match read:  # what comes often is looked for first
            case frames.PingFrame():
                return (Reply((self._frame("pong", ping_data(read), read.id),)),)
            case frames.PongFrame():
                return ()
        caller = self._caller
        if caller is None:
            raise Unauthenticated("A token is needed.")
        check_signature(read.data, caller)
        match read:
            case frames.ChatFrame():
                return (self._send(read, message_of(read, caller, self._kit.new_id)),)
            case frames.StatusFrame(data=data):
                return (Request(ChooseStatus(status=data.status, text=data.text or ""), read.id),)
            case frames.SystemFrame(data=data):
                return (Request(self._errand(data, read.id), read.id),)
        assert_never(read)

    def _send(self, frame: frames.ChatFrame, message: SendMessage) -> Request:
        reply_to = frame.id or None
        if reply_to is not None:
            sent = self._sending.setdefault(reply_to, message.message_id)  # of one sent twice the first is stored
            self._promise(sent)
        if frame.data.channel_id is None:
            return Request(message, reply_to)
        channel = str(frame.data.channel_id)
        found = self._channels.known(channel)
        if found is not None:
            return Request(replace(message, conversation_id=found), reply_to)
        return Request(Errand(partial(self._place, message, channel, reply_to)), reply_to)

    def _promise(self, sent: MessageId) -> None:
        if len(self._promised) >= MAX_PROMISED:
            del self._promised[next(iter(self._promised))]
        self._promised[sent] = True

    def _unpromise(self, sent: MessageId | None) -> None:
        if sent is not None:
            self._promised.pop(sent, None)

    async def _place(
        self, message: SendMessage, channel: str, reply_to: str | None, world: SocketWorld
    ) -> Sequence[Request]:
        conversation_id, peer = await self._channels.place(world, channel)
        return (Request(replace(message, conversation_id=conversation_id, to=peer), reply_to),)

    def _errand(self, data: frames.SystemData, id_: str | None) -> Errand:
        if isinstance(data, frames.ReadData):
            return Errand(partial(self._read, data, id_), free=True)
        return Errand(partial(self._system, data, id_))

    async def _system(self, data: _OnChannel, id_: str | None, world: SocketWorld) -> Sequence[Request | Reply]:
        try:
            return await self._on_channel(data, id_, world)
        except WarrenError as error:
            refused = replace(views.error_view(error.body()), action=_action(data), channel=data.channel, ok=False)
            return (Reply((self._frame("error", refused, id_),)),)

    async def _on_channel(self, data: _OnChannel, id_: str | None, world: SocketWorld) -> Sequence[Request | Reply]:
        """Do what is asked of a channel. Raises: WarrenError."""
        channel = str(data.channel)
        match data:
            case frames.SubscribeData():
                conversation_id, presences = await self._channels.subscribe(world, channel)
                told = self._statuses(presences)
                return (self._done(data, id_, data.channel, conversation_id), Reply(told))
            case frames.UnsubscribeData():
                conversation_id = await self._channels.unsubscribe(world, channel)
                return (self._done(data, id_, data.channel, conversation_id),)
            case frames.TypingData():
                conversation_id = await self._channels.find(world, channel)
                caller = world.caller
                typing = SetTyping(
                    conversation_id=conversation_id, user_id=caller.user_id, name=caller.name, active=data.is_typing
                )
                return (Request(typing), self._done(data, id_, data.channel, conversation_id))
        assert_never(data)

    async def _read(self, data: frames.ReadData, id_: str | None, world: SocketWorld) -> Sequence[Request | Reply]:
        """Acknowledge what is read. Raises: WarrenError."""
        if data.message_id is not None:
            place = await world.message(str(data.message_id))
            conversation_id, seq = place.conversation_id, place.seq
        elif data.channel is not None and data.seq is not None:
            conversation_id, seq = await self._channels.find(world, str(data.channel)), data.seq
        else:
            raise Invalid("Name a messageId, or a channel and a seq.")
        read = Acknowledge(conversation_id=conversation_id, user_id=world.caller.user_id, stage=Stage.READ, seq=seq)
        channel = data.channel or self._channels.name_of(conversation_id)
        return (Request(read), self._done(data, id_, channel, conversation_id))

    def _done(
        self, data: frames.SystemData, id_: str | None, channel: str | int, conversation_id: ConversationId
    ) -> Reply:
        done = views.ChannelDoneView(action=_action(data), channel=channel, conversation_id=conversation_id)
        return Reply((self._frame(SYSTEM, done, id_),))

    # --- server → client

    def render(self, event: Pushed) -> Sequence[Frame] | Telling:
        """Encode an event; those who write directly, or come into a channel, are followed from then on."""
        if isinstance(event, MessageFailed):
            return (self._frame("error", views.error_view(event.error), event.client_id),)
        if isinstance(event, Presence):
            self._channels.told(event.user_id)
        told = self._encoded(self._sayings(event))
        newcomers = self._channels.newcomers(event, self._teller.user_id)
        if newcomers:
            return Telling(partial(self._with_statuses, told, event, newcomers))
        if (left := self._left(event)) is not None:
            return Telling(partial(self._leave, told, left))
        return told

    def _sayings(self, event: Pushed) -> Sequence[Saying]:
        if not isinstance(event, _MUTABLE):
            return self._teller.sayings(event)
        conversation_id = event.conversation_id
        if self._is_promised(event) or not self._channels.mutes(conversation_id):
            return self._teller.sayings(event, looks=self._channels.looks_at(conversation_id))
        return [saying for saying in self._teller.sayings(event) if saying.kind == NOTIFICATION]

    def _is_promised(self, event: Pushed) -> bool:
        """Tell whether an event is the answer to a frame of this client; once."""
        return isinstance(event, MessageStored) and self._promised.pop(event.message.id, False)

    async def _with_statuses(
        self, told: Sequence[Frame], event: Pushed, newcomers: Collection[UserId], world: SocketWorld
    ) -> Sequence[Frame]:
        return (*told, *self._statuses(await self._channels.follow(world, event, newcomers)))

    def _left(self, event: Pushed) -> ConversationId | None:
        """Name the channel that the user is taken out of, where the client listens to it."""
        match event:
            case ConversationChanged(change=ConversationChange.MEMBER_REMOVED, user_ids=user_ids):
                gone = self._teller.user_id in user_ids and self._channels.looks_at(event.conversation_id)
                return event.conversation_id if gone else None
            case _:
                return None

    async def _leave(
        self, told: Sequence[Frame], conversation_id: ConversationId, world: SocketWorld
    ) -> Sequence[Frame]:
        self._channels.drop(world, conversation_id)
        return told

    def answer(self, answer: Answer, *, reply_to: str) -> Sequence[Frame] | Telling:
        """Say what no event says: that a status is chosen, and a message that is a repeat."""
        sent = self._sending.pop(reply_to, None)
        match answer:
            case Stored(message_id=stored) if stored != sent:
                self._unpromise(sent)
                return Telling(partial(self._read_again, stored))
            case Done():
                return (self._frame(SYSTEM, views.DoneView(action=USER_STATUS), reply_to),)
            case _:
                return ()

    async def _read_again(self, message_id: MessageId, world: SocketWorld) -> Sequence[Frame]:
        return self._encoded((self._teller.chat(await world.read_message(message_id)),))

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Say nothing: the clients wait for no greeting."""
        return ()

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done."""
        if reply_to is not None:
            self._unpromise(self._sending.pop(reply_to, None))
        return (self._frame("error", views.error_view(error), reply_to),)

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Encode the last words before the close."""
        return (self._frame(SYSTEM, views.bye_view(disconnect, retry_after_ms), None),)

    def close_code(self, disconnect: Disconnect) -> int:
        """Give the code of the close frame."""
        return standard_code(disconnect)

    def _statuses(self, presences: Sequence[Presence]) -> Sequence[Frame]:
        return [frame for presence in presences for frame in self._encoded(self._teller.sayings(presence))]

    def _encoded(self, sayings: Sequence[Saying]) -> Sequence[Frame]:
        return tuple(
            self._frame(saying.kind if saying.kind in _OWN_TYPES else SYSTEM, saying.data, saying.id)
            for saying in sayings
        )

    def _frame(self, type_: str, data: object, id_: str | None) -> Frame:
        frame = views.ServerFrame(type=type_, data=data, id=id_, timestamp=rfc3339(self._kit.now()))
        return _ENCODER.encode(frame).decode()


def _action(data: frames.SystemData) -> str:
    action = data.__struct_config__.tag
    assert isinstance(action, str)
    return action
