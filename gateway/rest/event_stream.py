"""The transport of server-sent events: a session's frames as one HTTP answer that does not end."""

from collections.abc import Sequence

from starlette.types import Message, Receive, Send

from gateway.dialects.base import Frame
from gateway.disconnects import Disconnect
from shared.clock import Clock
from shared.position import Position

COMMENT_S = 15.0  # the standard's advice: proxies drop what is silent for long (HTML, §9.2.7)
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for its buffer to fill
]
_COMMENT = b":\n\n"


class EventStream:
    """A `Transport` that the client cannot write to.

    The last event of what is written together carries the `id` from which the client resumes, the position behind all
    of it: so the events before it are sent again to a client that got no further, and none behind it is left out.
    """

    def __init__(self, receive: Receive, send: Send, *, preface: Sequence[Frame] = ()) -> None:
        self._receive = receive
        self._send = send
        self._preface = preface  # frames outside of the order of events
        self._started = False
        self._since = ""

    async def receive(self) -> Message:
        """Wait for the client to leave; what the request says in its body is nothing to us."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        return {"type": "websocket.disconnect"}

    async def write(self, frames: Sequence[Frame], position: Position) -> None:
        """Write each frame as an event."""
        since = position.token()
        mark = "" if since == self._since else f"id: {since}\n"
        self._since = since
        *earlier, last = map(_event, frames)
        await self._put("".join((*earlier, mark, last)).encode())

    async def comment(self, clock: Clock) -> None:
        """Write a comment now and then, so that nobody on the way takes the stream for dead."""
        while True:
            await clock.sleep(COMMENT_S)
            await self._put(_COMMENT)

    async def close(self, disconnect: Disconnect) -> None:
        """End the answer; the reason was said by the last frame."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _put(self, body: bytes) -> None:
        if not self._started:
            self._started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            body = "".join(map(_event, self._preface)).encode() + body
        await self._send({"type": "http.response.body", "body": body, "more_body": True})


def _event(frame: Frame) -> str:
    return f"data: {frame}\n\n"  # JSON as we write it has no line breaks
