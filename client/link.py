"""Keeps one socket to the server open, again and again, until one side has had enough."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from client import wire
from client.backoff import Ending, delay_s, shuts_out
from client.connection import NotWelcome, open_socket
from client.errors import ClientError, Closed
from client.events import ConnectionChanged, ConnectionState
from client.options import Options

log = logging.getLogger("warren.client")

TokenFactory = Callable[[], Awaitable[str]]


class Talk(Protocol):
    """What is said over a link, whatever socket carries it."""

    @property
    def since(self) -> str | None:
        """What the next hello says of what we have."""
        ...

    def started(self, welcome: wire.Welcome) -> None:
        """A connection is made."""
        ...

    async def run(self) -> None:
        """Do what a new connection calls for; cancelled when it is lost."""
        ...

    def due(self) -> Sequence[bytes]:
        """Take the frames to write now."""
        ...

    def hear(self, frame: wire.Frame) -> None:
        """Take a frame of the server. Raises: msgspec.MsgspecError."""
        ...

    def refused(self, code: str | None) -> None:
        """No connection came about; `code` is the server's error, if any."""
        ...

    def lost(self) -> None:
        """The connection is gone."""
        ...

    def ended(self, error: ClientError) -> None:
        """No connection will follow."""
        ...

    def tell(self, event: ConnectionChanged) -> None:
        """Say where the connection stands."""
        ...

    @property
    def retry_after_ms(self) -> int | None:
        """How long the server wishes us to stay away."""
        ...


class Link:
    """Connects, serves, waits, connects again. `error` says why nothing more will happen, once that is so."""

    def __init__(
        self, url: str, *, token: str | TokenFactory, device: wire.Device, options: Options, talk: Talk
    ) -> None:
        self._url = url
        self._token = token
        self._device = device
        self._options = options
        self._talk = talk
        self._socket: ClientConnection | None = None
        self._wake = asyncio.Event()  # there is something to write
        self._settled = asyncio.Event()  # connected, or closed for good
        self.state = ConnectionState.CONNECTING
        self.error: ClientError | None = None
        self.last_failure: Exception | None = None

    def wake(self) -> None:
        """Look what is due."""
        self._wake.set()

    def drop(self) -> None:
        """Lose the connection as a broken network would."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def connected(self) -> None:
        """Wait for a connection. Raises: Closed, if there will be none."""
        await self._settled.wait()
        self.check_open()

    def check_open(self) -> None:
        """Raises: Closed, if nothing more will happen."""
        if self.error is not None:
            raise self.error

    async def say(self, frames: Sequence[bytes]) -> None:
        """Write frames at once, if there is a connection."""
        if self._socket is not None:
            with contextlib.suppress(ConnectionClosed):
                for frame in frames:
                    await self._socket.send(frame, text=True)

    def end(self, error: Closed) -> None:
        """Nothing more will happen. The first reason stays."""
        if self.error is None:
            self.error = error
            self._lose()
            self._move_to(ConnectionState.CLOSED)
            self._talk.ended(error)

    async def run(self) -> None:
        """Go on until the server shuts us out."""
        attempt = 0
        while True:
            ending = await self._one_connection()
            attempt = 1 if self.state is ConnectionState.CONNECTED else attempt + 1
            self._lose()
            if shuts_out(ending, new_token=not isinstance(self._token, str)):
                self.end(Closed(f"Closed for good by the server: {ending.code} {ending.reason}".rstrip(), ending.code))
                return
            delay = delay_s(attempt, ending, jitter=random.random())
            log.info("no connection (%s %s), next attempt in %.1f s", ending.code, ending.reason, delay)
            self._move_to(ConnectionState.WAITING, delay)
            await asyncio.sleep(delay)
            self._move_to(ConnectionState.CONNECTING)

    async def _one_connection(self) -> Ending:
        """Connect, and serve until the end, which is told."""
        hello: dict[str, Any] = {"device": self._device}
        if self._talk.since is not None:
            hello["since"] = self._talk.since
        try:
            hello["token"] = await self._next_token()
            async with open_socket(
                self._url, hello, timeout_s=self._options.connect_timeout_s, heartbeat_s=self._options.heartbeat_s
            ) as (socket, welcome):
                self._socket = socket
                self._talk.started(welcome)
                self._wake.set()
                self._move_to(ConnectionState.CONNECTED)
                await self._serve(socket)
                return Ending(socket.close_code, socket.close_reason or "", self._talk.retry_after_ms)
        except NotWelcome as error:
            self.last_failure = error
            self._talk.refused(error.code)
            return error.ending

    async def _next_token(self) -> str:
        """Raises: NotWelcome, where the client's own calls for a token came to nothing this time."""
        if isinstance(self._token, str):
            return self._token
        try:
            return await self._token()
        except ClientError as error:
            raise NotWelcome(Ending(None, str(error))) from error

    async def _serve(self, socket: ClientConnection) -> None:
        """Read and write until the connection ends."""
        async with asyncio.TaskGroup() as tasks:
            others = (
                tasks.create_task(self._write(socket), name="warren.client.write"),
                tasks.create_task(self._talk.run(), name="warren.client.talk"),
            )
            await self._read(socket)
            for task in others:
                task.cancel()

    async def _write(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # the reader learns it too, and ends the connection
            while True:
                await self._wake.wait()
                self._wake.clear()
                for frame in self._talk.due():
                    await socket.send(frame, text=True)

    async def _read(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                raw = await socket.recv(decode=False)
                try:
                    self._talk.hear(wire.decode(raw))
                except msgspec.MsgspecError as error:
                    log.warning("a frame cannot be read: %s", error)

    def _move_to(self, state: ConnectionState, retry_in_s: float | None = None) -> None:
        self.state = state
        if state in (ConnectionState.CONNECTED, ConnectionState.CLOSED):
            self._settled.set()
        self._talk.tell(ConnectionChanged(state, retry_in_s))

    def _lose(self) -> None:
        self._socket = None
        self._settled.clear()
        self._talk.lost()
