"""One Socket.IO connection as the `Transport` of a session, whether it polls or has a WebSocket."""

import asyncio
import re
from collections import deque
from collections.abc import Sequence

from engineio.packet import NOOP, Packet
from socketio import AsyncServer
from starlette.types import Message

from gateway.dialects.base import Frame
from gateway.disconnects import RECONNECT
from gateway.socket_io.line import Line
from shared.position import Position

MAX_UNREAD = 64  # frames that wait for the session; then the connection is not read from
MAX_AT_ONCE = 16  # packets in the answer to a poll: clients built on python-engineio break at more
_DISCONNECT = "1"  # of Socket.IO: the client does not come back by itself
_ATTACHED = re.compile(r"5([0-9]{1,3})-")
_LEFT: Message = {"type": "websocket.disconnect", "code": 1005}


class Sending(asyncio.Queue[Packet | None]):
    """What Engine.IO has to send on one connection.

    It takes what waits, sends it, and asks for more: then what it took before was sent. A client that polls has it
    for sure then, as it asks once more.
    """

    def __init__(self) -> None:
        super().__init__()
        self._number = 0  # of packets put so far
        self._taken = 0
        self._at_once = 0  # of these, those that are sent together
        self._sent = 0
        self._moved = asyncio.Event()
        self._ended = False

    async def get(self) -> Packet | None:
        """Take a packet. Cancelling loses nothing."""
        self._sent = self._taken
        self._at_once = 0
        self._moved.set()
        return await super().get()

    def get_nowait(self) -> Packet | None:
        """Take one more packet to send together with those before it. Raises: QueueEmpty, also where they are many."""
        if self._at_once >= MAX_AT_ONCE:
            raise asyncio.QueueEmpty
        return super().get_nowait()

    def end(self) -> None:
        """Let nobody wait any more: nothing is sent after what is there."""
        self._ended = True
        self._moved.set()

    async def all_sent(self) -> None:
        """Wait until what was put up to now was sent, or never will be."""
        number = self._number
        while self._sent < number and not self._ended:
            await self._next_move()

    async def all_taken(self) -> None:
        """Wait until what was put up to now is on its way, or never will be."""
        number = self._number
        while self._taken < number and not self._ended:
            await self._next_move()

    async def _next_move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _put(self, item: Packet | None) -> None:
        self._number += 1
        super()._put(item)

    def _get(self) -> Packet | None:
        self._taken += 1
        self._at_once += 1
        self._moved.set()
        return super()._get()


class Inbox:
    """What a client sent and the session has not read: bounded, who puts waits. What came before the end is read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._frames: deque[Frame | None] = deque()
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, frame: Frame | None) -> None:
        """Add a frame; behind the end it is dropped."""
        while len(self._frames) >= self._size and not self._ended:
            self._room.clear()
            await self._room.wait()
        if not self._ended:
            self._frames.append(frame)
            self._news.set()

    def end(self) -> None:
        """Add nothing any more."""
        self._ended = True
        self._news.set()
        self._room.set()

    async def take(self) -> Message:
        """Give the next frame, or that there is none any more, in ASGI's words."""
        while not self._frames:
            if self._ended:
                return _LEFT
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return {"type": "websocket.receive", "text": self._frames.popleft()}


class Connection:
    """A `Transport`. A frame is the text of a Socket.IO packet, without Engine.IO's type before it."""

    def __init__(self, server: AsyncServer, sid: str, line: Line | None) -> None:
        self.inbox = Inbox(MAX_UNREAD)
        self.line = line  # its WebSocket, once it has one
        self.sid = sid
        self.socket_id: str | None = None  # once it has connected to the namespace
        self._attachments = 0  # binary packets that are still to come
        self._server = server
        self._socket = server.eio.sockets[sid]
        self._sending: Sending = self._socket.queue

    async def take(self, frame: Frame) -> None:
        """Take a packet of the client, and count the binary ones that belong to it: they are not for sessions."""
        attached = _ATTACHED.match(frame)
        if attached is not None:
            self._attachments = int(attached[1])
        await self.inbox.put(frame)

    async def take_binary(self) -> None:
        """Drop a binary packet that belongs to the one before; any other is a frame that cannot be read."""
        if self._attachments:
            self._attachments -= 1
        else:
            await self.inbox.put(None)

    async def receive(self) -> Message:
        """Give the next frame."""
        return await self.inbox.take()

    async def write(self, frames: Sequence[Frame], position: Position | None) -> None:
        """Send packets, and wait until they were sent."""
        if self._socket.closed:
            raise ConnectionResetError("The client is gone.")
        for frame in frames:
            await self._server.eio.send(self.sid, frame)
        await self._sending.all_sent()
        if self._socket.closed:
            raise ConnectionResetError("The client is gone.")

    async def close(self, code: int, reason: str) -> None:
        """Close; a client that shall not come back is told, others take a lost connection for a reason to reconnect."""
        if self.line is not None:
            self.line.close_with(code, reason)
        if code not in RECONNECT and not self._socket.closed:
            await self._server.eio.send(self.sid, _DISCONNECT)
            await self._sending.all_taken()
        await self.end()

    def left(self) -> None:
        """Take note that the client is gone."""
        self.inbox.end()
        self._sending.end()

    async def end(self) -> None:
        """Let the connection be no more; never waits for the client."""
        if not self._socket.closed:
            await self._socket.close(wait=False, abort=True)
        self._sending.put_nowait(Packet(NOOP))  # answers a poll
        self._sending.put_nowait(None)  # ends the WebSocket
