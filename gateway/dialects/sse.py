"""Server-sent events: a frame is one event's text. Native ones have no name, those of the envelope wire have theirs."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

import msgspec

from gateway.dialects import envelope_views as views
from gateway.dialects.base import Caller, Frame, Habits, Pushed, Welcome
from gateway.dialects.envelope_telling import SYSTEM, Teller
from gateway.dialects.native import NativeDialect
from gateway.disconnects import Disconnect
from shared.errors import ErrorBody
from shared.events import Entry, LogEvent
from shared.ids import NewId
from shared.position import Position

MAX_CONVERSATIONS = 50  # in the id of each event: longer ones take time, and much of what is written
MAX_TOLD = 16  # events that were told by name alone; each takes a stream that was cut off in the middle of one
TOLD = "~"  # parts what an id says; it is in no token and no id
_ENCODER = msgspec.json.Encoder()
# A client's metadata may be written in several lines, and some readers take further characters for the end of one.
# In JSON the first two stand between values, and the others inside of strings alone.
_ONE_LINE = {ord("\n"): " ", ord("\r"): " ", 0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


class Events(StrEnum):
    """Which events a listener is told."""

    NATIVE = "native"
    ENVELOPE = "envelope"
    ALL = "all"


class NativeEvents(NativeDialect):
    """The native frames, as events without a name."""

    name: ClassVar[str] = "sse"

    def __init__(self, *, new_id: NewId, now: Callable[[], datetime], max_frame_bytes: int) -> None:
        super().__init__(new_id=new_id, now=now, max_frame_bytes=max_frame_bytes)
        self.variant = f"sse:{new_id()}"  # each listener has ids of its own
        self.position: Callable[[], Position] | None = (
            None  # how far the listener is, an event that is rendered included
        )

    def render(self, event: Pushed) -> Sequence[Frame]:
        """Encode an event."""
        return _marked(self._native(event), self._behind(event))

    def _native(self, event: Pushed) -> Sequence[Frame]:
        return _unnamed(super().render(event))

    def _behind(self, event: Pushed) -> str | None:
        """Name the position behind an event; a long one is left to the end of what is written together."""
        if self.position is None or not isinstance(event, LogEvent):
            return None
        position = self.position()
        return position.token() if len(position.versions) <= MAX_CONVERSATIONS else None

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Encode that the stream is open."""
        return _unnamed(super().welcome(welcome))

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done."""
        return _unnamed(super().refuse(error, reply_to=reply_to))

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Encode the last words before the end."""
        return _unnamed(super().close(disconnect, retry_after_ms=retry_after_ms))


class AllEvents(NativeEvents):
    """Each thing twice, first as the envelope wire names it: a browser's `onmessage` hears of the native one alone.

    Between the two a listener is behind the one and not behind the other. The id there says so: the position before
    both, and which event was told by its name already. So do the ids that follow, until it is told natively, too: who
    comes back may be told of others first.
    """

    habits: ClassVar[Habits] = Habits(fetches=False, past=False, follows=True)

    def __init__(self, *, new_id: NewId, now: Callable[[], datetime], max_frame_bytes: int) -> None:
        super().__init__(new_id=new_id, now=now, max_frame_bytes=max_frame_bytes)
        self.told: dict[str, None] = {}  # what the listener was told by its name, and not natively yet
        self._teller = Teller()
        self._before: str | None = None

    def opened(self, caller: Caller) -> None:
        """Take note of who the client is."""
        super().opened(caller)
        self._teller.user_id = caller.user_id

    def render(self, event: Pushed) -> Sequence[Frame]:
        """Encode an event."""
        if not isinstance(event, LogEvent):
            return (*self._named(event), *self._native(event))
        named, place = self._named(event), _place(event)
        before, self._before = self._before, self._behind(event)
        self.told[place] = None
        between = self._id(before)
        del self.told[place]
        return (*_marked(named, between), *_marked(self._native(event), self._id(self._before)))

    def _id(self, since: str | None) -> str | None:
        return None if since is None else TOLD.join((since, *self.told))

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Encode that the stream is open."""
        self._before = welcome.since
        return super().welcome(welcome)

    def _named(self, event: Pushed) -> Sequence[Frame]:
        """Encode an event by its names, the chief one last: it has the id."""
        if self.told and isinstance(event, LogEvent) and _place(event) in self.told:
            return ()
        return [_event(saying.kind, saying.data) for saying in reversed(self._teller.sayings(event))]


class EnvelopeEvents(AllEvents):
    """The envelope wire's events alone. Its listeners acknowledge nothing, so what is written counts as delivered."""

    habits: ClassVar[Habits] = Habits(acknowledges=False, fetches=False, past=False, follows=True)

    def render(self, event: Pushed) -> Sequence[Frame]:
        """Encode an event."""
        return _marked(self._named(event), self._behind(event))

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Encode that the stream is open, so that there is an id to resume from."""
        view = views.WelcomeView(user_id=welcome.user_id, device_id=welcome.device_id)
        return (_event(SYSTEM, view),)

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done; browsers keep the event `error` for themselves."""
        return (_event(SYSTEM, msgspec.structs.replace(views.error_view(error), action="error")),)

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Encode the last words before the end."""
        return (_event(SYSTEM, views.bye_view(disconnect, retry_after_ms)),)


KINDS: dict[Events, type[NativeEvents]] = {
    Events.NATIVE: NativeEvents,
    Events.ENVELOPE: EnvelopeEvents,
    Events.ALL: AllEvents,
}


def told_by_name(since: str | None) -> dict[str, None]:
    """Give which events the listener with this id was told by their names alone."""
    return {} if since is None else dict.fromkeys(since.split(TOLD)[1:][-MAX_TOLD:])


def _place(event: Entry) -> str:
    return f"{event.version}:{event.conversation_id}"


def _marked(frames: Sequence[Frame], id_: str | None) -> Sequence[Frame]:
    """Give the last one an id."""
    if id_ is None or not frames:
        return frames
    *earlier, last = frames
    return (*earlier, f"id: {id_}\n{last}")


def _unnamed(frames: Sequence[Frame]) -> Sequence[Frame]:
    return [f"data: {frame.translate(_ONE_LINE)}\n\n" for frame in frames]


def _event(name: str, data: msgspec.Struct) -> Frame:
    text = _ENCODER.encode(data).decode().translate(_ONE_LINE)
    return f"event: {name}\ndata: {text}\n\n"
