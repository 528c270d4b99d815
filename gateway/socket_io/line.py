"""What reaches Engine.IO: packets alone, so that what is none never gets where nobody could answer it."""

import re

from starlette.types import Message, Receive, Send

SEPARATOR = "\x1e"  # between the packets of one request
# Of a client: close, the probe of an upgrade, pong, upgrade, and what carries a Socket.IO packet.
_PACKET = re.compile(r"1|2probe|3(probe)?|5|4[0-6].*", re.DOTALL)
_POSTED = re.compile(r"1|3|4[0-6].*|b[A-Za-z0-9+/]*={0,2}", re.DOTALL)  # over HTTP; b: base64 of binary data
PROTOCOL_ERROR = 1002
_MAX_REASON_BYTES = 123  # of a close frame: RFC 6455 §5.5


def is_posted(body: str) -> bool:
    """Tell whether the body of a request holds packets."""
    return all(_POSTED.fullmatch(packet) for packet in body.split(SEPARATOR))


class Line:
    """A WebSocket of one Engine.IO connection, which ends at the first frame that is no packet."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._code, self._reason = 1000, ""
        self._closed = False

    def close_with(self, code: int, reason: str) -> None:
        """Let the close frame say why, whenever it is sent."""
        self._code, self._reason = code, reason

    async def receive(self) -> Message:
        """Read a frame; behind one that is no packet, nothing."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._closed = True
        elif message["type"] == "websocket.receive" and not _is_packet(message):
            self.close_with(PROTOCOL_ERROR, "This is no Engine.IO packet.")
            return {"type": "websocket.disconnect", "code": PROTOCOL_ERROR}
        return message

    async def send(self, message: Message) -> None:
        """Send; a close frame says why."""
        if message["type"] == "websocket.close":
            if self._closed:
                return
            self._closed = True
            message = {**message, "code": self._code, "reason": self._reason}
        await self._send(message)

    async def finish(self) -> None:
        """Close, where nobody did."""
        await self.send({"type": "websocket.close"})


def _is_packet(message: Message) -> bool:
    text = message.get("text")
    return text is None or _PACKET.fullmatch(text) is not None
