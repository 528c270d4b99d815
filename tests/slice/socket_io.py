"""A client's end of a Socket.IO connection over one ASGI WebSocket."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp

from tests.fakes.clock import settle
from tests.slice.sockets import Closed, FakeSocket

Event = tuple[str, Any]


class IoSocket(FakeSocket):
    """Speaks Engine.IO 4; gives the events that the server emits."""

    def __init__(self, app: ASGIApp, path: str, query: str, headers: Mapping[str, str]) -> None:
        super().__init__(app, path, f"EIO=4&transport=websocket&{query}")
        self._scope["headers"] = [
            *((b"host", b"testserver"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket")),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ]
        self._scope["subprotocols"] = []
        self.acks: dict[str, Any] = {}
        self.close_code: int | None = None
        self.is_disconnected = False  # told by the server not to come back
        self._events: list[Event] = []

    async def open(self, auth: Mapping[str, Any] | None = None) -> None:
        """Connect to the namespace."""
        await settle()
        self.send_text("40" + (json.dumps(auth) if auth is not None else ""))
        await settle()

    def emit(self, event: str, data: Any, ack: str = "") -> None:
        """Emit an event; with an `ack` it is to be acknowledged."""
        self.send_text(f"42{ack}" + json.dumps([event, data]))

    def events(self) -> list[Event]:
        """Take the events that have come."""
        while not self._to_client.empty():
            message = self._to_client.get_nowait()
            if message["type"] == "websocket.close":
                self.close_code = message["code"]
            elif message["type"] == "websocket.send":
                self._take(message["text"])
        events, self._events = self._events, []
        return events

    def _take(self, packet: str) -> None:
        kind, data = packet[:2], packet[2:]
        if packet == "2":
            self.send_text("3")
        elif kind == "42":
            name, *arguments = json.loads(data)
            self._events.append((name, arguments[0] if arguments else None))
        elif kind == "43":
            ack = data[: data.index("[")]
            assert ack not in self.acks, "An event is acknowledged once."
            [self.acks[ack]] = json.loads(data[len(ack) :])
        elif kind == "41":
            self.is_disconnected = True

    async def ended(self) -> int:
        """Wait for the server to close; give the code."""
        await settle()
        self.events()
        if self.close_code is None:
            raise Closed(0)
        return self.close_code
