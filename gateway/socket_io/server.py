"""Socket.IO below the dialects: python-socketio's server takes care of Engine.IO, sessions of all that is said."""

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import parse_qsl

import engineio
import msgspec
import socketio
from engineio.exceptions import EngineIOError
from engineio.payload import Payload
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.dialects.base import Upgrade
from gateway.dialects.socket_io import connect_frame
from gateway.disconnects import Disconnect
from gateway.socket_io.connection import Connection, Sending
from gateway.socket_io.line import Line, is_posted
from gateway.transport import Transport, address_of, upgrade_of

PATHS = ("/socket.io", "/socket.io/", "/connector", "/connector/")
PONG_S = 20.0  # as Engine.IO has it: a client that is pinged answers so soon
MAX_POSTED_PACKETS = 1000  # a browser that was offline posts all that waits at once; the library's 16 are too few
_LINE = "gateway.socket_io.line"  # in the scope
_BACKGROUND = "socket_io.background"
# A packet that connects to a namespace: the main one has no name.
_CONNECT = re.compile(r"0(?P<namespace>/[^,]*,?)?(?P<auth>\{.*\})?", re.DOTALL)

_log = logging.getLogger("engineio")


class Serve(Protocol):
    """What serves one connection to its end, whoever ends it."""

    async def __call__(self, upgrade: Upgrade, transport: Transport, *, address: str) -> None:
        """Serve; it has logged what went wrong."""
        ...


class _Engine(engineio.AsyncServer):  # type: ignore[misc]  # it has no types
    """An Engine.IO server whose tasks have an owner, and whose queues tell what was sent."""

    own: Callable[[Coroutine[None, None, None]], asyncio.Task[None]]

    def create_queue(self) -> Sending:
        return Sending()

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> asyncio.Task[None]:
        async def run() -> None:
            with suppress(EngineIOError):  # the connection is closed already
                await target(*args, **kwargs)

        return self.own(run())


class _Server(socketio.AsyncServer):  # type: ignore[misc]
    def _engineio_server_class(self) -> type[_Engine]:
        return _Engine


class SocketIo:
    """An ASGI app and a Runner: each connection is a `Transport`, served like a WebSocket from its first byte on.

    Packets come to the sessions in the order in which they were sent: python-socketio's own events would each have a
    task. What the library does: transports, upgrades, pings, connecting to the namespace.
    """

    name = "socket_io"

    def __init__(self, serve: Serve, *, max_read_bytes: int, ping_s: float, pong_s: float = PONG_S) -> None:
        self._serve_connection = serve
        self._connections: dict[str, Connection] = {}
        self._tasks: asyncio.TaskGroup | None = None  # while it runs
        self._children: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        Payload.max_decode_packets = MAX_POSTED_PACKETS
        self._server = _Server(
            async_mode="asgi",
            always_connect=True,  # the client knows that it is connected before it is told anything
            namespaces=["/"],
            cors_allowed_origins=[],  # the app's middleware knows whom to let in
            max_http_buffer_size=max_read_bytes,
            http_compression=False,
            ping_interval=ping_s,
            ping_timeout=pong_s,
            logger=_log,
            engineio_logger=_log,
        )
        self._engine: _Engine = self._server.eio
        self._engine.own = self._own
        self._connect, self._message, self._disconnect = (
            self._engine.handlers[event] for event in ("connect", "message", "disconnect")
        )
        self._engine.on("connect", self._opened)
        self._engine.on("message", self._received)
        self._engine.on("disconnect", self._lost)
        self._app: ASGIApp = socketio.ASGIApp(self._server, socketio_path=None)

    @property
    def connected(self) -> int:
        """Count the connections."""
        return len(self._connections)

    # --- its life

    async def run(self) -> None:
        """Let connections come until `stop`."""
        async with asyncio.TaskGroup() as self._tasks:
            await self._stopping.wait()

    async def stop(self) -> None:
        """Take no connection any more, and end those that are left: whose client never said who it is."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        for connection in tuple(self._connections.values()):
            connection.left()
        await self._server.shutdown()
        for child in tuple(self._children):
            if child.get_name() == _BACKGROUND:
                child.cancel()

    def _own(self, coroutine: Coroutine[None, None, None], name: str = _BACKGROUND) -> asyncio.Task[None]:
        assert self._tasks is not None
        task = self._tasks.create_task(coroutine, name=name)
        self._children.add(task)
        task.add_done_callback(self._children.discard)
        return task

    # --- requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a WebSocket."""
        if self._tasks is None or self._stopping.is_set():
            await _answer(503, scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_line(Line(receive, send), scope)
        elif scope["method"] == "POST":
            await self._take_body(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve_line(self, line: Line, scope: Scope) -> None:
        """Serve a WebSocket: of a new connection, or of one that has polled so far."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        connection = self._connections.get(query.get("sid", ""))
        if connection is not None:
            connection.line = line
        await self._app({**scope, _LINE: line}, line.receive, line.send)
        await line.finish()

    async def _take_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a body on that holds packets; the library would answer others as if it had taken them."""
        body = await Request(scope, receive).body()
        try:
            good = is_posted(body.decode())
        except UnicodeDecodeError:
            good = False
        if not good:
            await _answer(400, scope, receive, send)
            return
        scope = {**scope, "headers": [*scope["headers"]]}
        MutableHeaders(scope=scope)["content-length"] = str(len(body))  # else the library reads nothing of it

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    # --- what Engine.IO tells

    async def _opened(self, sid: str, environ: dict[str, Any]) -> None:
        """Serve a new connection, from here on: who does not say in time who it is, has to go."""
        await self._connect(sid, environ)
        scope: Scope = environ["asgi.scope"]
        connection = self._connections[sid] = Connection(self._server, sid, scope.get(_LINE))
        self._own(self._serve(connection, scope), "socket_io.connection")

    async def _serve(self, connection: Connection, scope: Scope) -> None:
        try:
            await self._serve_connection(upgrade_of(scope), connection, address=address_of(scope))
        finally:
            await connection.end()
            del self._connections[connection.sid]

    async def _lost(self, sid: str, reason: str) -> None:
        await self._disconnect(sid, reason)
        connection = self._connections.get(sid)
        if connection is not None:
            connection.left()

    async def _received(self, sid: str, data: str | bytes) -> None:
        """Take a Socket.IO packet, in its turn; waiting here stops the reading of this connection alone."""
        connection = self._connections.get(sid)
        if connection is None:
            return
        if isinstance(data, bytes):
            await connection.take_binary()
        elif data[0] == "0":
            await self._take_connect(connection, data)
        elif data[0] == "1":
            await self._message(sid, data)
            connection.left()
        elif connection.socket_id is None:
            connection.left()  # it has to connect first
        elif data[0] not in "36":  # nothing is asked of clients that they could acknowledge
            await connection.take(data)

    async def _take_connect(self, connection: Connection, data: str) -> None:
        """Connect a client to the main namespace, which is told to the session as the first frame."""
        found = _CONNECT.fullmatch(data)
        auth = _object(found["auth"]) if found is not None else None
        if found is None or auth is None:
            connection.left()
            return
        await self._message(connection.sid, data)
        socket_id: str | None = self._server.manager.sid_from_eio_sid(connection.sid, "/")
        if connection.socket_id is None and socket_id is not None:
            connection.socket_id = socket_id
            await connection.inbox.put(connect_frame(socket_id, auth))


def _object(text: str | None) -> dict[str, object] | None:
    """Read a JSON object; of nothing, an empty one; None: it is none."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


async def _answer(status: int, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": Disconnect.DRAIN.code})
    else:
        await PlainTextResponse("This is no Engine.IO request." if status == 400 else "", status)(scope, receive, send)
