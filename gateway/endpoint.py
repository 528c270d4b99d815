"""The ASGI endpoint of a wire's socket: upgrade, authentication, then the session until it ends."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

import structlog
from msgspec.structs import replace as replaced
from starlette.types import Receive, Scope, Send

from gateway import metrics
from gateway.announcer import Announcer
from gateway.dialects.base import BadFrame, Dialect, Frame, Hello, Reply, Request
from gateway.disconnects import Disconnect
from gateway.drain import Drain
from gateway.hub import Hub
from gateway.requests import Beginning, Services
from gateway.session import MAX_BAD_FRAMES, Session
from shared import events
from shared.auth import Authenticator, Identity
from shared.errors import Invalid, TokenExpired, Unauthenticated, Unavailable
from shared.events import DeviceInfo
from shared.ids import DeviceId, GatewayId, NewId, SessionId, UserId
from shared.position import SETTLE, Position

CLOSE_PATIENCE_S = 5.0
POSITION_PATIENCE_S = 2.0  # then the session opens without history's word on what there is

log = structlog.get_logger()


class _Refused(Exception):
    """The client is not let in; the frames say why, besides the close code."""

    def __init__(self, disconnect: Disconnect, frames: Sequence[Frame] = ()) -> None:
        super().__init__(disconnect.reason)
        self.disconnect = disconnect
        self.frames = frames


class _Gone(Exception):
    """The client left during the handshake."""


@dataclass(frozen=True, slots=True)
class _Connection:
    """One upgrade: what the request says, and the two ends of the socket."""

    address: str
    token: str | None
    since: str | None
    subprotocols: Sequence[str]
    dialect: Dialect
    receive: Receive
    send: Send

    async def accept(self) -> None:
        chosen = next((known for known in self.dialect.subprotocols if known in self.subprotocols), None)
        await self.receive()  # websocket.connect
        await self.send({"type": "websocket.accept", "subprotocol": chosen})

    async def read(self) -> Frame | None:
        message = await self.receive()
        if message["type"] == "websocket.disconnect":
            raise _Gone
        text: str | None = message.get("text")
        return text

    async def write(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            await self.send({"type": "websocket.send", "text": frame})

    async def close(self, disconnect: Disconnect, frames: Sequence[Frame] = ()) -> None:
        retry_after_ms = 1000 if disconnect.reconnect else None
        # The client may be gone, may read nothing, or its socket may be closed already (a RuntimeError by ASGI).
        with suppress(OSError, RuntimeError):
            async with asyncio.timeout(CLOSE_PATIENCE_S):
                await self.write((*frames, *self.dialect.close(disconnect, retry_after_ms=retry_after_ms)))
                await self.send({"type": "websocket.close", "code": disconnect.code, "reason": disconnect.reason})


class Endpoint:
    """Serves one wire. A client that is refused still gets an upgrade: a browser sees close codes, no HTTP status."""

    def __init__(
        self,
        make_dialect: Callable[[], Dialect],
        *,
        gateway_id: GatewayId,
        authenticator: Authenticator,
        hub: Hub,
        announcer: Announcer,
        drain: Drain,
        services: Services,
        new_id: NewId,
    ) -> None:
        self._make_dialect = make_dialect
        self._gateway_id = gateway_id
        self._authenticator = authenticator
        self._hub = hub
        self._announcer = announcer
        self._drain = drain
        self._services = services
        self._new_id = new_id
        self._handshakes: dict[asyncio.Timeout, float] = {}  # when each must be over, the oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket, from its upgrade to its end."""
        connection = _connection(scope, receive, send, self._make_dialect())
        try:
            await connection.accept()
            with self._hub.connected(connection.address) as of_address:
                at_most = self._services.settings.max_address_sessions
                if at_most is not None and of_address > at_most:
                    raise _Refused(Disconnect.CROWDED)
                await self._serve(connection)
        except _Refused as refused:
            log.info("session_refused", code=refused.disconnect.code, address=connection.address)
            await connection.close(refused.disconnect, refused.frames)
        except (_Gone, OSError):
            log.debug("client_left", address=connection.address)
        except Exception:
            metrics.CRASHES.inc()
            log.exception("session_crashed", address=connection.address)
            await connection.close(Disconnect.INTERNAL)

    async def _serve(self, connection: _Connection) -> None:
        session = await self._open(connection)
        self._hub.add(session)
        metrics.OPENED.inc()
        opened_at = self._services.clock.monotonic()
        log.info("session_opened", session_id=session.id, user_id=session.user_id, device_id=session.about.device.id)
        try:
            self._announcer.opened(session.about)
            await session.run()
        finally:
            self._hub.remove(session)
            self._announcer.closed(session.about)
            by = session.closed_by
            metrics.CLOSED.labels("client" if by is None else "server").inc()
            seconds = round(self._services.clock.monotonic() - opened_at, 1)
            log.info("session_closed", session_id=session.id, code=by.code if by else None, seconds=seconds)

    async def _open(self, connection: _Connection) -> Session:
        """Let the client in. Raises: _Refused, _Gone."""
        if self._drain.draining:
            raise _Refused(Disconnect.DRAIN)
        identity, hello, reply_to = await self._shake_hands(connection)
        self._check_room(identity.user_id)
        beginning = await self._beginning(connection, identity.user_id, hello)
        self._check_room(identity.user_id)  # others came meanwhile; nothing is awaited from here to the hub
        return self._session(connection, identity, hello.device, replace(beginning, reply_to=reply_to))

    def _check_room(self, user_id: UserId) -> None:
        if self._drain.draining:
            raise _Refused(Disconnect.DRAIN)
        if len(self._hub.of_user(user_id)) >= self._services.settings.max_user_sessions:
            raise _Refused(Disconnect.CROWDED)

    async def _shake_hands(self, connection: _Connection) -> tuple[Identity, Hello, str | None]:
        try:
            async with asyncio.timeout(None) as deadline:
                self._handshakes[deadline] = self._services.clock.monotonic() + self._services.settings.handshake_s
                try:
                    return await self._authenticate(connection)
                finally:
                    del self._handshakes[deadline]
        except TimeoutError as error:
            raise _Refused(Disconnect.UNAUTHENTICATED) from error

    def sweep(self) -> None:
        """End the handshakes that take too long."""
        now = self._services.clock.monotonic()
        for deadline, ends_at in self._handshakes.items():
            if ends_at > now:
                break
            deadline.reschedule(asyncio.get_running_loop().time())

    async def _authenticate(self, connection: _Connection) -> tuple[Identity, Hello, str | None]:
        """Find out who it is, from the upgrade or from the first frame; gives the id of that frame, too."""
        hello, reply_to = Hello(token=connection.token, since=connection.since), None
        if connection.token is None:
            hello, reply_to = await self._hello(connection)
        try:
            return await self._authenticator.authenticate(hello.token or ""), hello, reply_to
        except Unauthenticated as error:
            expired = isinstance(error, TokenExpired)
            refusal = connection.dialect.refuse(error.body(), reply_to=reply_to)
            raise _Refused(Disconnect.TOKEN_EXPIRED if expired else Disconnect.UNAUTHENTICATED, refusal) from error
        except Unavailable as error:
            refusal = connection.dialect.refuse(error.body(), reply_to=reply_to)
            raise _Refused(Disconnect.INTERNAL, refusal) from error

    async def _hello(self, connection: _Connection) -> tuple[Hello, str | None]:
        for _ in range(MAX_BAD_FRAMES):
            frame = await connection.read()
            try:
                requests = connection.dialect.receive(frame)
            except BadFrame as bad:
                refusal = connection.dialect.refuse(bad.error.body(), reply_to=bad.reply_to)
                if isinstance(bad.error, Unauthenticated):
                    raise _Refused(Disconnect.UNAUTHENTICATED, refusal) from bad
                await connection.write(refusal)
                continue
            for request in requests:
                match request:
                    case Reply(frames=frames):
                        await connection.write(frames)
                    case Request(wish=Hello() as hello, reply_to=reply_to):
                        return hello, reply_to
        raise _Refused(Disconnect.PROTOCOL_ERRORS)

    async def _beginning(self, connection: _Connection, user_id: UserId, hello: Hello) -> Beginning:
        """Decide from where the pushes go on: where the client says it is, else from now."""
        if hello.since is not None:
            try:
                return Beginning(Position.from_token(hello.since), resumes=True, echo=hello.echo)
            except Invalid as error:
                await connection.write(connection.dialect.refuse(error.body(), reply_to=None))
        try:
            async with asyncio.timeout(POSITION_PATIENCE_S):
                position = await self._services.history.position(user_id)
        except (Unavailable, TimeoutError) as error:
            # A client can connect and send while history is away. What was stored in the last moments may then be
            # pushed although an earlier session had it: better than left out.
            log.warning("position_assumed", user_id=user_id, error=str(error))
            position = Position(self._services.clock.now() - SETTLE)
        return Beginning(position, echo=hello.echo)

    def _session(
        self, connection: _Connection, identity: Identity, device: DeviceInfo | None, beginning: Beginning
    ) -> Session:
        device = device or DeviceInfo(id=DeviceId(""))
        named = identity.device_id or device.id
        about = events.Session(
            id=SessionId(self._new_id()),
            user_id=identity.user_id,
            name=identity.name,
            gateway_id=self._gateway_id,
            device=replaced(device, id=named or DeviceId(self._new_id()), ephemeral=not named),
            dialect=connection.dialect.name,
            opened_at=self._services.clock.now(),
        )
        return Session(
            about,
            address=connection.address,
            expires_at=identity.expires_at,
            dialect=connection.dialect,
            beginning=beginning,
            services=self._services,
            receive=connection.receive,
            send=connection.send,
        )


def _connection(scope: Scope, receive: Receive, send: Send, dialect: Dialect) -> _Connection:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    client = scope.get("client")
    return _Connection(
        address=client[0] if client else "",
        token=query.get("token", [_bearer(scope)])[0],
        since=query.get("since", [None])[0],
        subprotocols=scope.get("subprotocols", ()),
        dialect=dialect,
        receive=receive,
        send=send,
    )


def _bearer(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else None
    return None
