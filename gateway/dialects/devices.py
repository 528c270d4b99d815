"""The wire of chats between devices: one JSON object a text frame, `{"type", …}`; what is sent comes over REST."""

import re
from collections.abc import Sequence
from functools import partial
from typing import ClassVar
from unicodedata import category

import msgspec
from msgspec.structs import replace

from gateway.dialects.base import (
    Answer,
    BadFrame,
    Caller,
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
from gateway.dialects.devices_names import in_room, name_of, names_of, to_device
from gateway.dialects.devices_reading import PingFrame, check_signature, decode, errand_of
from gateway.dialects.devices_views import (
    ConnectionFrame,
    DeviceMessage,
    ErrorFrame,
    MessageFrame,
    PongFrame,
    ReceiptFrame,
    TypingFrame,
    device_message,
)
from gateway.dialects.pairs import pair_name
from gateway.dialects.reading import longer
from gateway.dialects.receipts import Receipts, Told
from gateway.dialects.world import SocketWorld
from gateway.disconnects import Disconnect
from shared.clock import rfc3339
from shared.errors import ErrorBody, Invalid, TooLarge, WarrenError
from shared.events import (
    ConversationChanged,
    DeviceInfo,
    Message,
    MessageFailed,
    MessageStored,
    ReceiptAdvanced,
    TypingChanged,
)
from shared.ids import ID_PATTERN, DeviceId, UserId, is_direct
from shared.position import Position

MAX_NAME_CHARS = 128
DEFAULT_TYPE = "client"
DEFAULT_PLATFORM = "unknown"

_ID = re.compile(ID_PATTERN)
_NOT_SHOWN = ("Cc", "Cs")  # control characters, halves of characters
_ENCODER = msgspec.json.Encoder()


def device_named(name: str) -> UserId:
    """Check what a client calls its device. Raises: Invalid."""
    if not _ID.match(name):
        raise Invalid("A device id is 1 to 128 characters of A-Z a-z 0-9 _ . @ : + -.")
    return UserId(name)


class DevicesDialect:
    """The devices wire. A device is a user; the id in the path names it."""

    name: ClassVar[str] = "devices"
    subprotocols: ClassVar[tuple[str, ...]] = ("websocket",)
    habits: ClassVar[Habits] = Habits(resumes=False, acknowledges=False, fetches=False, beats=True)

    def __init__(self, kit: Kit) -> None:
        self.variant = f"devices:{kit.new_id()}"  # which receipts were told is each session's own
        self._now = kit.now
        self._max_frame_bytes = kit.max_frame_bytes
        self._caller = Caller(UserId(""), "", DeviceId(""))
        self._receipts = Receipts(UserId(""), since=kit.now())

    def upgraded(self, upgrade: Upgrade) -> Hello:
        """Read the device id, which a token must speak for. Raises: BadFrame."""
        try:
            device_id = device_named(upgrade.path.get("device_id", ""))
        except Invalid as error:
            raise BadFrame(error) from error
        name, type_, platform = (_label(upgrade, key) for key in ("name", "type", "platform"))
        device = DeviceInfo(
            id=DeviceId(device_id),
            name=name_of(device_id, name),
            type=type_ or DEFAULT_TYPE,
            platform=platform or DEFAULT_PLATFORM,
        )
        return Hello(token=upgrade.token, claims=device_id, device=device, takes_over=True)

    def opened(self, caller: Caller) -> None:
        """Take note of who the client turned out to be."""
        self._caller = caller

    # --- client → server

    def receive(self, frame: Frame | None) -> Sequence[Request | Reply]:
        """Decode one frame. Raises: BadFrame."""
        if frame is None:
            raise BadFrame(Invalid("Frames are text, not binary."), unreadable=True)
        if longer(frame, self._max_frame_bytes):
            raise BadFrame(TooLarge("The frame is too long.", limit=self._max_frame_bytes))
        read = decode(frame)
        try:
            if not isinstance(read, PingFrame):
                return (Request(errand_of(read, self._caller, partial(self.refuse, reply_to=None))),)
            check_signature(read, self._caller)
        except WarrenError as error:
            raise BadFrame(error) from error
        return (Reply((_encode(PongFrame(timestamp=self._time())),)),)

    # --- server → client

    def render(self, event: Pushed) -> Sequence[Frame] | Telling:
        """Encode an event."""
        match event:
            case MessageStored(message=message):
                return self._message(message)
            case ReceiptAdvanced():
                return self._receipt(event)
            case MessageFailed():
                frame = ReceiptFrame(message_id=event.message_id, status="failed", timestamp=rfc3339(event.at))
                return (_encode(frame),)
            case TypingChanged():
                return (_encode(self._typing(event)),)
            case ConversationChanged():
                self._receipts.changed(event.conversation_id)
        return ()

    def answer(self, answer: Answer, *, reply_to: str) -> Sequence[Frame]:
        """Say nothing: no frame of this wire waits for an answer."""
        return ()

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Encode that the session is open."""
        self._receipts = Receipts(welcome.user_id, since=Position.from_history(welcome.since).floor)
        frame = ConnectionFrame(status="connected", device_id=welcome.user_id, timestamp=self._time())
        return (_encode(frame),)

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done."""
        frame = ErrorFrame(
            code=error.code,
            message=error.message,
            timestamp=self._time(),
            retry_after_ms=error.retry_after_ms,
            details=error.details,
        )
        return (_encode(frame),)

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Encode the last words before the close."""
        frame = ConnectionFrame(
            status="closed",
            device_id=self._caller.user_id,
            timestamp=self._time(),
            code=self.close_code(disconnect),
            reason=disconnect.reason,
        )
        return (_encode(frame),)

    def close_code(self, disconnect: Disconnect) -> int:
        """Give the code of the close frame."""
        return standard_code(disconnect)

    def _message(self, message: Message) -> Sequence[Frame] | Telling:
        """Show a message: what comes in from one device at once, anything else once its conversation is known."""
        if message.deleted_at is not None:
            return ()
        caller = self._caller
        if message.sender_id == caller.user_id or not is_direct(message.conversation_id):
            return Telling(partial(self._shown, message))
        to = to_device(message.sender_id, caller.user_id, {caller.user_id: name_of(caller.user_id, caller.name)})
        return self._frames_of(self._arrived(device_message(message, to)))

    async def _shown(self, message: Message, world: SocketWorld) -> Sequence[Frame]:
        room = await world.room(message.conversation_id)
        peer = room.peer_of(message.sender_id)
        names = {} if peer is None else await names_of(world, (peer,))
        shown = device_message(message, in_room(room, message.sender_id, names))
        if message.sender_id != self._caller.user_id:
            return self._frames_of(self._arrived(shown))
        return (*self._frames_of(shown), *_receipt_frames(self._receipts.sent(message, self._now())))

    def _arrived(self, message: DeviceMessage) -> DeviceMessage:
        return replace(message, status="delivered", delivered_at=self._time())

    def _typing(self, event: TypingChanged) -> TypingFrame:
        direct = is_direct(event.conversation_id)
        session = pair_name(event.user_id, self._caller.user_id) if direct else event.conversation_id
        return TypingFrame(sender_id=event.user_id, session_id=session, is_typing=event.active, timestamp=self._time())

    def _frames_of(self, message: DeviceMessage) -> Sequence[Frame]:
        return (_encode(MessageFrame(message=message, timestamp=self._time())),)

    def _receipt(self, event: ReceiptAdvanced) -> Sequence[Frame] | Telling:
        if event.user_id == self._caller.user_id:
            return ()
        if self._receipts.knows(event.conversation_id):
            return _receipt_frames(self._receipts.advanced(event))
        return Telling(partial(self._learnt, event))

    async def _learnt(self, event: ReceiptAdvanced, world: SocketWorld) -> Sequence[Frame]:
        await self._receipts.learn(event.conversation_id, world, event.at)
        return _receipt_frames(self._receipts.advanced(event))

    def _time(self) -> str:
        return rfc3339(self._now())


def _label(upgrade: Upgrade, key: str) -> str:
    """Read what a client says of its device, as far as it can be shown."""
    label = "".join(each for each in upgrade.query.get(key, "") if category(each) not in _NOT_SHOWN)
    return label.strip()[:MAX_NAME_CHARS]


def _receipt_frames(told: Sequence[Told]) -> Sequence[Frame]:
    return [
        _encode(ReceiptFrame(message_id=each.message_id, status=each.stage.value, timestamp=rfc3339(each.at)))
        for each in told
    ]


def _encode(frame: msgspec.Struct) -> Frame:
    return _ENCODER.encode(frame).decode()
