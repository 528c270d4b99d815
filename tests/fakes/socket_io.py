"""A Socket.IO server on a port, and clients that say each Engine.IO packet themselves."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
import uvicorn
import websockets
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from gateway.heartbeat import HeartbeatProtocol

SEPARATOR = "\x1e"


@asynccontextmanager
async def listening(app: ASGIApp, *, max_read_bytes: int = 1024 * 1024) -> AsyncIterator[str]:
    """Serve an app over HTTP; gives its host and port."""
    config = uvicorn.Config(
        app, http="httptools", ws=HeartbeatProtocol, ws_max_size=max_read_bytes, log_config=None, lifespan="off"
    )
    config.load()
    state = ServerState()
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # of which asyncio sends small packets at once
    listener.bind(("127.0.0.1", 0))
    loop = asyncio.get_running_loop()
    protocol: Any = config.http_protocol_class
    server = await loop.create_server(lambda: protocol(config, state, {}), sock=listener)
    host, port = listener.getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        while state.connections or state.tasks:  # noqa: ASYNC110  # uvicorn tells nobody
            await asyncio.sleep(0.005)


class PollingClient:
    """A client that polls, and may upgrade."""

    def __init__(self, address: str, path: str = "/socket.io/", query: str = "") -> None:
        self.address = address
        self.path = path
        self.sid = ""
        self.waiting: list[str] = []
        self.http = httpx.AsyncClient(base_url=f"http://{address}", timeout=10)
        self._query = f"EIO=4&transport=polling{query}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.http.aclose()

    @property
    def url(self) -> str:
        return f"{self.path}?{self._query}" + (f"&sid={self.sid}" if self.sid else "")

    async def open(self, connect: str = "40") -> dict[str, Any]:
        """Open, and connect to the namespace; gives what the open packet says."""
        [opened, *self.waiting] = await self.poll()
        said: dict[str, Any] = msgspec.json.decode(opened.removeprefix("0"))
        self.sid = said["sid"]
        if connect:
            assert (await self.post(connect)).status_code == 200
        return said

    async def post(self, *packets: str) -> httpx.Response:
        return await self.http.post(self.url, content=SEPARATOR.join(packets).encode())

    async def poll(self) -> list[str]:
        answer = await self.http.get(self.url)
        assert answer.status_code == 200, answer.text
        return answer.text.split(SEPARATOR)

    async def next(self) -> str:
        """Take the next packet, pings apart."""
        while not self.waiting:
            packets = await self.poll()
            if "2" in packets:
                await self.post("3")
            self.waiting = [packet for packet in packets if packet not in ("2", "6")]
        return self.waiting.pop(0)


class WebSocketClient:
    """A client with a WebSocket."""

    def __init__(self, line: websockets.ClientConnection) -> None:
        self.line = line
        self.opened: dict[str, Any] = {}

    @classmethod
    @asynccontextmanager
    async def dial(
        cls, address: str, path: str = "/socket.io/", query: str = "", connect: str = "40"
    ) -> AsyncIterator[Self]:
        """Open, and connect to the namespace."""
        url = f"ws://{address}{path}?EIO=4&transport=websocket{query}"
        async with websockets.connect(url, max_size=None) as line:
            client = cls(line)
            opened = await line.recv()
            assert isinstance(opened, str)
            client.opened = msgspec.json.decode(opened.removeprefix("0"))
            if connect:
                await line.send(connect)
            yield client

    async def send(self, *packets: str | bytes) -> None:
        for packet in packets:
            await self.line.send(packet)

    async def next(self) -> str:
        """Take the next packet, pings apart."""
        while True:
            async with asyncio.timeout(10):
                packet = await self.line.recv()
            assert isinstance(packet, str)
            if packet == "2":
                await self.line.send("3")
            elif packet != "6":
                return packet

    async def rest(self) -> list[str]:
        """Take what comes up to the close frame, what answers nothing apart."""
        packets: list[str] = []
        async with asyncio.timeout(10):
            while True:
                try:
                    packets.append(str(await self.line.recv()))
                except websockets.ConnectionClosed:
                    return [packet for packet in packets if packet not in ("2", "6")]

    async def closed(self) -> int | None:
        """Wait for the close frame; gives its code."""
        async with asyncio.timeout(10):
            await self.line.wait_closed()
        return self.line.close_code
