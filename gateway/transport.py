"""The connection under a session: who reads the client's frames and writes the server's."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from gateway.dialects.base import Frame, Upgrade
from shared.position import Position


class Transport(Protocol):
    """One connection. What the client sends comes in ASGI's words for websockets, also where there is none below."""

    @property
    def receive(self) -> Receive:
        """Wait for a frame, or for the client to leave."""
        ...

    async def write(self, frames: Sequence[Frame], position: Position | None) -> None:
        """Write all that waits; with it the client has everything up to `position` as it is at the call.

        None: the client is not in yet, or something more is on its way already.

        Raises: OSError (the client is gone).
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close, after the last words. Raises: OSError."""
        ...


class WebSocket:
    """A `Transport`: the ASGI server's WebSocket."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive = receive
        self._send = send

    async def write(self, frames: Sequence[Frame], position: Position | None) -> None:
        """Write each frame as a message."""
        send = self._send
        for frame in frames:
            await send({"type": "websocket.send", "text": frame})

    async def close(self, code: int, reason: str) -> None:
        """Send the close frame."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


def upgrade_of(scope: Scope) -> Upgrade:
    """Read what the request that opens a connection says."""
    query = dict(reversed(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)))  # the first wins
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    path: Mapping[str, str] = scope.get("path_params", {})
    return Upgrade(token=query.get("token", _token(headers)), path=path, query=query)


def address_of(scope: Scope) -> str:
    """Give the client's network address."""
    client = scope.get("client")
    return client[0] if client else ""


def _token(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return headers.get("x-access-token")
