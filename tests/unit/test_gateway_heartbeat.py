"""The socket's transport closes who is silent, cuts who breaks the protocol, and spares who lives."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from gateway.heartbeat import HeartbeatProtocol

PATIENCE_S = 5.0
PING_S = 0.02


class Peer(asyncio.Protocol):
    """A client that answers pings with pongs, or with text frames, or not at all."""

    def __init__(self, *, answers: bool, talks: bool = False) -> None:
        self.conn = ClientProtocol(parse_uri("ws://localhost/"))
        self.answers = answers
        self.talks = talks
        self.pings = 0
        self.pinged_thrice = asyncio.Event()
        self.pongs = 0
        self.told = asyncio.Event()
        self.close_code: int | None = None
        self.opened = asyncio.Event()
        self.lost = asyncio.Event()
        self.reset: Exception | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.conn.send_request(self.conn.connect())
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.conn.receive_data(data)
        for event in self.conn.events_received():
            if isinstance(event, Response):
                self.opened.set()
            elif isinstance(event, Frame) and event.opcode is Opcode.PING:
                self._pinged()
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self.pongs += 1
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.told.set()
            elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                self.close_code = self.conn.close_rcvd.code if self.conn.close_rcvd else None
        if self.answers:
            self.flush()
        else:
            self.conn.data_to_send()

    def _pinged(self) -> None:
        self.pings += 1
        if self.pings == 3:
            self.pinged_thrice.set()
        if self.talks:
            self.conn.data_to_send()  # the pong, which is not sent
            self.conn.send_text(b"still here")
            self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.reset = exc
        self.lost.set()

    def flush(self) -> None:
        assert self.transport is not None
        self.transport.write(b"".join(self.conn.data_to_send()))


class App:
    """An endpoint that accepts, and reads to the end from when `reads` is set."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.heard = asyncio.Event()
        self.left: int | None = None
        self.send: Send | None = None
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.send = send
        await self.reads.wait()
        while self.left is None:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.left = message["code"]
            else:
                self.heard.set()
        self.ended.set()


@asynccontextmanager
async def connected(app: App, peer: Peer, *, timeout_s: float) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app, ws_ping_interval=PING_S, ws_ping_timeout=timeout_s, ws_max_size=1000, log_config=None, lifespan="off"
    )
    config.load()
    loop = asyncio.get_running_loop()
    lost = asyncio.Event()

    class Served(HeartbeatProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that what is not read waits in the process
    server = await loop.create_server(lambda: Served(config, ServerState(), {}), sock=listening)
    transport, _ = await loop.create_connection(lambda: peer, *listening.getsockname())
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await peer.opened.wait()
            yield
    finally:
        if not peer.lost.is_set():
            transport.abort()
        await lost.wait()
        server.close()
        await server.wait_closed()


async def test_a_client_that_says_nothing_is_closed_and_told_to_come_back() -> None:
    app, peer = App(), Peer(answers=False)
    async with connected(app, peer, timeout_s=PING_S):
        await peer.lost.wait()
        await app.ended.wait()
    assert (peer.close_code, app.left) == (3002, 3002)


async def test_a_client_that_answers_stays() -> None:
    app, peer = App(), Peer(answers=True)
    async with connected(app, peer, timeout_s=1):
        await peer.pinged_thrice.wait()
        assert not peer.lost.is_set()


async def test_a_client_that_sends_frames_and_no_pongs_stays() -> None:
    app, peer = App(), Peer(answers=False, talks=True)
    async with connected(app, peer, timeout_s=PING_S * 2):
        await peer.pinged_thrice.wait()
        assert not peer.lost.is_set()


async def test_a_client_that_is_not_read_from_is_not_to_blame() -> None:
    app, peer = App(), Peer(answers=False)
    app.reads.clear()
    async with connected(app, peer, timeout_s=PING_S):
        peer.conn.send_text(b"waits to be read")
        peer.flush()
        await peer.pinged_thrice.wait()
        app.reads.set()
        await peer.lost.wait()


async def test_a_frame_over_the_transports_limit_closes_with_its_code() -> None:
    app, peer = App(), Peer(answers=True)
    async with connected(app, peer, timeout_s=1):
        assert app.send is not None
        peer.conn.send_text(b"x" * 1001)
        peer.flush()
        await app.ended.wait()
        with pytest.raises(OSError):  # noqa: PT011  # uvicorn's ClientDisconnected: what a session takes for gone
            await app.send({"type": "websocket.send", "text": "late"})
        await peer.lost.wait()
    assert (peer.close_code, app.left) == (CloseCode.MESSAGE_TOO_BIG, CloseCode.MESSAGE_TOO_BIG)


async def test_a_client_that_is_still_writing_a_frame_that_is_far_too_long_reads_why_it_is_closed() -> None:
    app, peer = App(), Peer(answers=True)
    async with connected(app, peer, timeout_s=PATIENCE_S):
        peer.conn.send_text(b"x" * 8_000_000)  # far more than the sockets' buffers hold
        peer.flush()
        await peer.lost.wait()
    assert (peer.close_code, peer.reset) == (CloseCode.MESSAGE_TOO_BIG, None)


async def test_the_pongs_of_a_client_that_does_not_read_do_not_pile_up() -> None:
    app, peer = App(), Peer(answers=True)
    async with connected(app, peer, timeout_s=PATIENCE_S):
        assert peer.transport is not None
        assert app.send is not None
        peer.transport.pause_reading()
        pings = 3_000  # several times what may wait
        for _ in range(pings):
            peer.conn.send_ping(b"x" * 125)
        peer.conn.send_text(b"that was the last")
        peer.flush()
        await app.heard.wait()
        peer.transport.resume_reading()
        await app.send({"type": "websocket.send", "text": "told behind the pongs"})
        await peer.told.wait()
    assert 0 < peer.pongs < pings
