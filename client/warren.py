"""The client of Warren's native protocol: one socket that heals itself, and nothing lost or doubled over it."""

import asyncio
import contextlib
import logging
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from client import sending, wire
from client.backoff import Ending, delay_s, shuts_out
from client.catch_up import CatchUp
from client.connection import NotWelcome, open_socket
from client.errors import ClientError, Closed, ConnectionLost, Unreachable
from client.events import (
    ConnectionChanged,
    ConnectionState,
    E,
    Event,
    EventBuffer,
    MessageFailed,
    MessageReceived,
    PresenceChanged,
    ReceiptAdvanced,
    Typing,
)
from client.options import Options
from client.requests import Requests
from client.sending import Sending, Sent
from client.timeline import Timeline
from client.watermarks import Watermarks
from client.wire import Device, Frame, HistoryPage, Stage

log = logging.getLogger("warren.client")

T = TypeVar("T")
TokenFactory = Callable[[], Awaitable[str]]


class WarrenClient:
    """One user's connection to Warren.

    `async with WarrenClient(url, token=…) as alice:` connects; inside, `async for event in alice` gives the events, and
    every other method may be called from any task of the same event loop. A lost connection is made again for as long
    as the context is open; messages wait meanwhile. After `Closed` was raised nothing more happens.
    """

    def __init__(
        self, url: str, *, token: str | TokenFactory, device: Device | None = None, options: Options | None = None
    ) -> None:
        self._url = url
        self._token = token
        self._device = device or Device(id=f"py-{uuid.uuid4().hex[:12]}", platform="python")
        self._options = options or Options()
        self._state = ConnectionState.CONNECTING
        self._user_id = ""
        self._error: ClientError | None = None  # why nothing more will happen
        self._last_failure: Exception | None = None
        self._socket: ClientConnection | None = None
        self._retry_after_ms: int | None = None
        self._wake = asyncio.Event()  # there is something to write
        self._posted: list[bytes] = []  # frames of this connection that are neither messages nor acknowledgements
        self._ack_timer: asyncio.TimerHandle | None = None
        self._connected = asyncio.Event()  # or closed for good
        self._events = EventBuffer(self._options.max_events)
        self._sending = Sending(limit=self._options.max_unsettled, wake_in=self._wake_in)
        self._requests = Requests(self._post)
        self._watermarks = Watermarks()
        self._timeline = Timeline()
        self._catch_up = CatchUp(self._timeline, self._requests, tell=self._tell, drop=self.drop)
        self._tasks = asyncio.TaskGroup()
        self._running: asyncio.Task[None] | None = None

    # --- life

    async def __aenter__(self) -> Self:
        """Connect. Raises: Unreachable, Closed (the token is refused)."""
        await self._tasks.__aenter__()
        self._running = self._tasks.create_task(self._run(), name="warren.client")
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._connected.wait()
            if self._error is not None:
                raise self._error
        except TimeoutError as error:
            await self.__aexit__(None, None, None)
            raise Unreachable(f"No connection to {self._url}: {self._last_failure or 'no answer'}") from error
        except (ClientError, asyncio.CancelledError):
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Say the last acknowledgements, then close. Messages without an answer fail with Closed."""
        if self._socket is not None:
            with contextlib.suppress(ConnectionClosed):
                for frame in self._acks():
                    await self._socket.send(frame, text=True)
        if self._running is not None:
            self._running.cancel()
        await self._tasks.__aexit__(None, None, None)  # an error of the body goes on as it is, in no group
        self._end(Closed("The client is closed."))

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._state

    @property
    def user_id(self) -> str:
        """Who the server says we are; empty before the first welcome."""
        return self._user_id

    def drop(self) -> None:
        """Lose the connection as a broken network would; the client then makes a new one. For tests."""
        if self._socket is not None:
            self._socket.transport.abort()

    # --- events

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """Take the next event. Cancelling loses nothing. Raises: Closed, with the close code where there is one."""
        return await self._events.get()

    async def next(self, kind: type[E]) -> E:
        """Take the next event of one kind; those of other kinds before it are dropped. Raises: Closed."""
        while True:
            event = await self._events.get()
            if isinstance(event, kind):
                return event

    # --- what a user does

    async def send(
        self,
        content: str = "",
        *,
        to: str | None = None,
        conversation_id: str | None = None,
        client_id: str | None = None,
        **fields: Any,
    ) -> Sent:
        """Send a message, to a user or a conversation, and wait for the server's answer. Calls may overlap.

        `fields`: type, metadata, reply_to, mentions. The message is sent again, in order, until it is answered, however
        often the connection is lost. Cancelled, it may or may not be stored: send the same `client_id` again to know.
        Raises: ServerError (refused), OutboxFull, Closed.
        """
        self._check_open()
        client_id = client_id or uuid.uuid4().hex
        data = {**_target(to, conversation_id), "client_id": client_id, "content": content, **fields}
        return await self._sending.send(client_id, data)

    def ack(self, conversation_id: str, seq: int, stage: Stage = Stage.DELIVERED) -> None:
        """Say that everything up to `seq` is delivered or read. Coalesced; said again after a lost connection."""
        if self._watermarks.advance(conversation_id, seq, stage) and self._ack_timer is None:
            self._ack_timer = asyncio.get_running_loop().call_later(self._options.ack_every_s, self._ack_now)

    def typing(self, *, to: str | None = None, conversation_id: str | None = None, active: bool = True) -> None:
        """Say that we are typing, or have stopped; lost where there is no connection."""
        with contextlib.suppress(ConnectionLost):
            self._post(wire.encode("typing", {**_target(to, conversation_id), "active": active}))

    async def history(
        self, conversation_id: str, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> HistoryPage:
        """Get a page of messages in seq order: the newest, just before a seq, or just after one.

        Raises: ServerError, TimeoutError, Closed.
        """
        bounds = {name: seq for name, seq in (("before", before), ("after", after)) if seq is not None}
        return await self._ask("history", {"conversation_id": conversation_id, "limit": limit, **bounds}, HistoryPage)

    async def sync(self) -> None:
        """Bring what is missing as events; the client does this by itself after a lost connection and on a gap.

        Returns when it is done. Raises: TimeoutError.
        """
        self._catch_up.fall_behind()
        async with asyncio.timeout(self._options.request_timeout_s):
            await self._catch_up.up_to_date()

    async def ping(self) -> None:
        """Go to the gateway and back. Raises: TimeoutError, Closed."""
        await self._ask("ping", {}, msgspec.Raw)

    async def _ask(self, kind: str, data: dict[str, Any], answer: type[T]) -> T:
        async with asyncio.timeout(self._options.request_timeout_s):
            while True:
                await self._connected.wait()
                self._check_open()
                try:
                    return await self._requests.ask(kind, data, answer)
                except ConnectionLost:
                    continue  # a question may be asked again

    # --- the connection

    async def _run(self) -> None:
        attempt = 0
        while True:
            ending = await self._one_connection()
            attempt = 1 if self._state is ConnectionState.CONNECTED else attempt + 1
            self._lose_connection()
            if shuts_out(ending, new_token=not isinstance(self._token, str)):
                self._end(Closed(f"Closed for good by the server: {ending.code} {ending.reason}".rstrip(), ending.code))
                return
            delay = delay_s(attempt, ending, jitter=random.random())
            log.info("no connection (%s %s), next attempt in %.1f s", ending.code, ending.reason, delay)
            self._move_to(ConnectionState.WAITING, delay)
            await asyncio.sleep(delay)
            self._move_to(ConnectionState.CONNECTING)

    async def _one_connection(self) -> Ending:
        """Connect, and serve until the end, which is told."""
        hello: dict[str, Any] = {"device": self._device}
        if self._timeline.since is not None:
            hello["since"] = self._timeline.since
        try:
            hello["token"] = self._token if isinstance(self._token, str) else await self._token()
            async with open_socket(
                self._url, hello, timeout_s=self._options.connect_timeout_s, heartbeat_s=self._options.heartbeat_s
            ) as (socket, welcome):
                self._start(socket, welcome)
                await self._serve(socket)
                return Ending(socket.close_code, socket.close_reason or "", self._retry_after_ms)
        except NotWelcome as error:
            self._last_failure = error
            if error.code == "invalid":  # the token of what we have; the sync then asks for everything
                self._timeline.since = None
            return error.ending

    def _start(self, socket: ClientConnection, welcome: wire.Welcome) -> None:
        resumed = bool(self._user_id)
        self._socket = socket
        self._user_id = welcome.user_id
        self._retry_after_ms = None
        if resumed:
            self._catch_up.lost()
        else:
            self._timeline.since = welcome.since
        self._sending.lost()
        self._watermarks.again()
        self._posted.extend(self._acks())
        self._wake.set()
        self._move_to(ConnectionState.CONNECTED)

    async def _serve(self, socket: ClientConnection) -> None:
        """Read and write until the connection ends."""
        async with asyncio.TaskGroup() as tasks:
            others = (
                tasks.create_task(self._write(socket), name="warren.client.write"),
                tasks.create_task(self._catch_up.run(), name="warren.client.catch_up"),
            )
            await self._read(socket)
            for task in others:
                task.cancel()

    async def _write(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # the reader learns it too, and ends the connection
            while True:
                await self._wake.wait()
                self._wake.clear()
                posted, self._posted = self._posted, []
                for frame in (*posted, *self._sending.due()):
                    await socket.send(frame, text=True)

    async def _read(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                raw = await socket.recv(decode=False)
                try:
                    self._handle(wire.decode(raw))
                except msgspec.MsgspecError as error:
                    log.warning("a frame cannot be read: %s", error)

    def _handle(self, frame: Frame) -> None:
        match frame.type:
            case "reply" | "error":
                is_message = frame.id is not None and frame.id.startswith(sending.PREFIX)
                (self._sending if is_message else self._requests).answered(frame)
            case "message":
                self._catch_up.take(wire.read(frame.data, wire.Message))
            case "receipt":
                self._on_receipt(wire.read(frame.data, wire.Receipt))
            case "typing":
                self._events.put(wire.read(frame.data, Typing))
            case "presence":
                self._events.put(wire.read(frame.data, PresenceChanged))
            case "lagged":
                self._catch_up.fall_behind()
            case "bye":
                self._retry_after_ms = wire.read(frame.data, wire.Bye).retry_after_ms
            case other:
                log.debug("unknown frame type %s", other)

    def _on_receipt(self, receipt: wire.Receipt) -> None:
        match receipt.stage:
            case "stored":
                self._sending.stored(receipt.client_id, receipt.message_id, receipt)
            case "failed":
                self._sending.failed(receipt)
                self._events.put(
                    MessageFailed(
                        conversation_id=receipt.conversation_id,
                        message_id=receipt.message_id,
                        client_id=receipt.client_id,
                        code=receipt.code,
                    )
                )
            case Stage.DELIVERED | Stage.READ:
                advanced = ReceiptAdvanced(
                    conversation_id=receipt.conversation_id,
                    user_id=receipt.user_id,
                    stage=Stage(receipt.stage),
                    seq=receipt.seq or 0,
                    at=receipt.at,
                )
                self._tell(self._timeline.advance(advanced))
            case other:
                log.debug("unknown receipt stage %s", other)

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, MessageReceived) and event.message.sender_id == self._user_id:
                self._sending.stored(event.message.client_id, event.message.id, event.message)
            self._events.put(event)

    # --- what we write

    def _post(self, frame: bytes) -> None:
        if self._state is not ConnectionState.CONNECTED:
            raise ConnectionLost("There is no connection.")
        self._posted.append(frame)
        self._wake.set()

    def _wake_in(self, seconds: float) -> None:
        if seconds > 0:
            asyncio.get_running_loop().call_later(seconds, self._wake.set)
        else:
            self._wake.set()

    def _acks(self) -> Sequence[bytes]:
        return [
            wire.encode("ack", {"conversation_id": conversation_id, "stage": stage.value, "seq": seq})
            for (conversation_id, stage), seq in self._watermarks.take().items()
        ]

    def _ack_now(self) -> None:
        self._ack_timer = None
        if self._state is ConnectionState.CONNECTED:  # else said as soon as there is a connection
            self._posted.extend(self._acks())
            self._wake.set()

    # --- state

    def _check_open(self) -> None:
        if self._error is not None:
            raise self._error

    def _move_to(self, state: ConnectionState, retry_in_s: float | None = None) -> None:
        self._state = state
        if state in (ConnectionState.CONNECTED, ConnectionState.CLOSED):
            self._connected.set()
        self._events.put(ConnectionChanged(state, retry_in_s))

    def _lose_connection(self) -> None:
        self._socket = None
        self._connected.clear()
        self._posted.clear()
        self._requests.lost()

    def _end(self, error: Closed) -> None:
        """Nothing more will happen: tell everyone who waits. The first reason stays."""
        if self._error is None:
            self._error = error
            self._lose_connection()
            self._sending.end(error)
            self._move_to(ConnectionState.CLOSED)
            self._events.end(error)


def _target(to: str | None, conversation_id: str | None) -> dict[str, Any]:
    if (to is None) == (conversation_id is None):
        raise ValueError("Give either to or conversation_id.")
    return {"to": to} if to is not None else {"conversation_id": conversation_id}
