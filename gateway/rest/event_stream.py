"""The transport of server-sent events: a session's frames, each an event, as one HTTP answer that does not end."""

from collections.abc import Callable, Sequence

from starlette.types import Message, Receive, Send

from gateway.dialects.base import Frame
from shared.clock import Clock
from shared.position import Position

COMMENT_S = 15.0  # the standard's advice: proxies drop what is silent for long (HTML, §9.2.7)
MAX_ID_CHARS = 6 * 1024  # it comes back as a header, and proxies commonly let 8 KiB of them pass
SHORTEN_S = 30.0
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for its buffer to fill
]
_COMMENT = b":\n\n"


class EventStream:
    """A `Transport` that the client cannot write to.

    Entries of conversations bring the `id` from which the client resumes behind them. The last event of what is written
    together has one where it brings none, the position behind all of it: so what has none is sent again to a client
    that got no further, and nothing is left out.
    """

    def __init__(self, receive: Receive, send: Send, *, clock: Clock, preface: Sequence[Frame] = ()) -> None:
        self.shorten: Callable[[], None] | None = None  # asks for a position that says the same in less
        self._receive = receive
        self._send = send
        self._clock = clock
        self._shortened_at = -SHORTEN_S
        self._preface = preface  # frames outside of the order of events
        self._started = False
        self._since = ""

    async def receive(self) -> Message:
        """Wait for the client to leave; what the request says in its body is nothing to us."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        return {"type": "websocket.disconnect"}

    async def write(self, frames: Sequence[Frame], position: Position | None) -> None:
        """Write each frame, which is an event."""
        *earlier, last = frames
        mark = "" if position is None or last.startswith("id: ") else self._mark(position)
        await self._put("".join((*earlier, mark, last)).encode())

    def _mark(self, position: Position) -> str:
        """Name the position, where it has moved; of one that is too long for a header, the last name must do."""
        since = position.token()
        if len(since) > MAX_ID_CHARS:
            now = self._clock.monotonic()
            if self.shorten is not None and now >= self._shortened_at + SHORTEN_S:
                self._shortened_at = now
                self.shorten()
            return ""
        if since == self._since:
            return ""
        self._since = since
        return f"id: {since}\n"

    async def comment(self) -> None:
        """Write a comment now and then, so that nobody on the way takes the stream for dead."""
        while True:
            await self._clock.sleep(COMMENT_S)
            await self._put(_COMMENT)

    async def close(self, code: int, reason: str) -> None:
        """End the answer; the reason was said by the last frame."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _put(self, body: bytes) -> None:
        if not self._started:
            self._started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            body = "".join(self._preface).encode() + body
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
