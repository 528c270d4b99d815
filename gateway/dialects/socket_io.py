"""Socket.IO's packets, for the wires that travel in them, and how the first event of a client tells its wire."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from gateway.dialects.base import (
    Answer,
    BadFrame,
    Caller,
    Dialect,
    Frame,
    Habits,
    Hello,
    Kit,
    MakeDialect,
    Pushed,
    Reply,
    Request,
    Telling,
    Upgrade,
    Welcome,
)
from gateway.dialects.reading import UNREADABLE
from gateway.disconnects import Disconnect
from shared.errors import ErrorBody, Invalid

_EVENT = re.compile(r"2(?P<ack>[0-9]{0,20})(?P<data>\[.*)", re.DOTALL)
_BINARY_EVENT = re.compile(r"5[0-9]{1,3}-(?P<ack>[0-9]{0,20})\[")
_ARGUMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_NAME = msgspec.json.Decoder(str)
_ENCODER = msgspec.json.Encoder()


class Connect(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame that a dialect gets: the client is connected, and has given this in `auth`.

    Format::
        0{"sid": "HTkBgpRmeSvOUt0TAAAB", "auth": {"token": "eyJhbGc…"}}
    """

    sid: str
    auth: dict[str, object] = {}

    @property
    def token(self) -> str | None:
        """Give the token, if there is one."""
        token = self.auth.get("token")
        return token if isinstance(token, str) else None


@dataclass(frozen=True, slots=True)
class Event:
    """What a client emits, with the first of its arguments as JSON; with an `ack` it wants exactly one answer.

    Format::
        27["send_message", {"session_id": "s1", "message": "hi"}]
    """

    name: str
    data: msgspec.Raw
    ack: str | None


_CONNECT = msgspec.json.Decoder(Connect)
_NOTHING = msgspec.Raw(b"null")


def connect_frame(socket_id: str, auth: Mapping[str, object]) -> Frame:
    """Write what tells a dialect that its client is connected."""
    return "0" + _ENCODER.encode(Connect(sid=socket_id, auth=dict(auth))).decode()


def event_frame(name: str, data: object) -> Frame:
    """Write an event that asks for no acknowledgement."""
    return "2" + _ENCODER.encode((name, data)).decode()


def ack_frame(ack: str, data: object) -> Frame:
    """Write the acknowledgement of an event."""
    return "3" + ack + _ENCODER.encode((data,)).decode()


def decode(frame: Frame | None) -> Connect | Event:
    """Read a frame. Raises: BadFrame."""
    if frame is None:
        raise BadFrame(Invalid("Packets are text, not binary."), unreadable=True)
    if frame.startswith("0"):
        return _connect(frame)
    found = _EVENT.fullmatch(frame)
    if found is None:
        binary = _BINARY_EVENT.match(frame)
        error = Invalid("Events carry JSON, nothing binary." if binary else "This is no event.")
        raise BadFrame(error, reply_to=(binary["ack"] or None) if binary else None, unreadable=not binary)
    ack = found["ack"] or None
    try:
        arguments = _ARGUMENTS.decode(found["data"])
        name = _NAME.decode(arguments[0]) if arguments else ""
    except UNREADABLE as error:
        raise BadFrame(Invalid(f"The event cannot be read: {error}"), reply_to=ack, unreadable=True) from error
    return Event(name, arguments[1] if len(arguments) > 1 else _NOTHING, ack)


def _connect(frame: Frame) -> Connect:
    """Read what the transport says; what a client says never gets here."""
    try:
        return _CONNECT.decode(frame[1:])
    except UNREADABLE as error:
        raise BadFrame(Invalid("This connects to nothing."), unreadable=True) from error


class FirstEventDialect:
    """The wire whose first event the client emits; until then it is greeted in the words of all of them.

    What is no first event is answered by the first wire, without a choice.
    """

    subprotocols: ClassVar[tuple[str, ...]] = ()

    def __init__(self, dialects: Mapping[str, Dialect]) -> None:
        self._dialects = dialects  # by their first event
        self._chosen = next(iter(dialects.values()))
        self._has_chosen = False

    @classmethod
    def make(cls, wires: Mapping[str, MakeDialect], kit: Kit) -> "FirstEventDialect":
        """Make one for a session, of the wires that are served."""
        return cls({event: make(kit) for event, make in wires.items()})

    @property
    def name(self) -> str:
        """Name the wire."""
        return self._chosen.name

    @property
    def habits(self) -> Habits:
        """Tell what its clients do."""
        return self._chosen.habits

    @property
    def variant(self) -> str:
        """Name how events are written."""
        return self._chosen.variant

    def upgraded(self, upgrade: Upgrade) -> Hello | None:
        """Let all of them see the upgrade; who the client is, an event says."""
        for dialect in self._dialects.values():
            dialect.upgraded(upgrade)
        return None

    def opened(self, caller: Caller) -> None:
        """Take note of who the client turned out to be."""
        self._chosen.opened(caller)

    def receive(self, frame: Frame | None) -> Sequence[Request | Reply]:
        """Decode one frame. Raises: BadFrame."""
        if not self._has_chosen:
            read = decode(frame)
            if isinstance(read, Connect):
                return [item for dialect in self._dialects.values() for item in dialect.receive(frame)]
            if read.name in self._dialects:
                self._chosen = self._dialects[read.name]
                self._has_chosen = True
        return self._chosen.receive(frame)

    def render(self, event: Pushed) -> Sequence[Frame] | Telling:
        """Encode an event."""
        return self._chosen.render(event)

    def answer(self, answer: Answer, *, reply_to: str) -> Sequence[Frame] | Telling:
        """Encode what a request came to."""
        return self._chosen.answer(answer, reply_to=reply_to)

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Encode that the session is open."""
        return self._chosen.welcome(welcome)

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done."""
        return self._chosen.refuse(error, reply_to=reply_to)

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Encode the last words before the close."""
        return self._chosen.close(disconnect, retry_after_ms=retry_after_ms)

    def close_code(self, disconnect: Disconnect) -> int:
        """Give the code of the close frame."""
        return self._chosen.close_code(disconnect)
