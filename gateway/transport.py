"""The connection under a session: who reads the client's frames and writes the server's."""

from collections.abc import Sequence
from typing import Protocol

from starlette.types import Receive, Send

from gateway.dialects.base import Frame
from gateway.disconnects import Disconnect
from shared.position import Position


class Transport(Protocol):
    """One connection. What the client sends comes in ASGI's words for websockets, also where there is none below."""

    @property
    def receive(self) -> Receive:
        """Wait for a frame, or for the client to leave."""
        ...

    async def write(self, frames: Sequence[Frame], position: Position) -> None:
        """Write all that waits; with it the client has everything up to `position` as it is at the call.

        Raises: OSError (the client is gone).
        """
        ...

    async def close(self, disconnect: Disconnect) -> None:
        """Close, after the last words. Raises: OSError."""
        ...


class WebSocket:
    """A `Transport`: the ASGI server's WebSocket."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive = receive
        self._send = send

    async def write(self, frames: Sequence[Frame], position: Position) -> None:
        """Write each frame as a message."""
        send = self._send
        for frame in frames:
            await send({"type": "websocket.send", "text": frame})

    async def close(self, disconnect: Disconnect) -> None:
        """Send the close frame."""
        await self._send({"type": "websocket.close", "code": disconnect.code, "reason": disconnect.reason})
