"""The ASGI endpoint of a wire's socket: upgrade, authentication, then the session until it ends."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from starlette.types import Receive, Scope, Send

from gateway import metrics
from gateway.dialects.base import BadFrame, Dialect, Frame, Hello, Reply, Request, Upgrade
from gateway.disconnects import Disconnect
from gateway.door import Door
from gateway.identities import Identities
from gateway.requests import Beginning, Services
from gateway.session import MAX_BAD_FRAMES, Session
from gateway.transport import Transport, WebSocket, address_of, upgrade_of
from shared.auth import Identity
from shared.errors import Forbidden, Invalid, RateLimited, SignedOut, TokenExpired, Unauthenticated, Unavailable
from shared.ids import UserId
from shared.position import Position
from shared.presence_api import Account

CLOSE_PATIENCE_S = 5.0

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
    """One connection that is open and not let in yet: what its upgrade says, and its two ends."""

    address: str
    upgrade: Upgrade
    dialect: Dialect
    transport: Transport

    async def read(self) -> Frame | None:
        message = await self.transport.receive()
        if message["type"] == "websocket.disconnect":
            raise _Gone
        text: str | None = message.get("text")
        return text

    async def write(self, frames: Sequence[Frame]) -> None:
        await self.transport.write(frames, None)

    async def close(self, disconnect: Disconnect, frames: Sequence[Frame] = ()) -> None:
        retry_after_ms = 1000 if disconnect.reconnect else None
        # The client may be gone, may read nothing, or its socket may be closed already (a RuntimeError by ASGI).
        with suppress(OSError, RuntimeError):
            async with asyncio.timeout(CLOSE_PATIENCE_S):
                await self.write((*frames, *self.dialect.close(disconnect, retry_after_ms=retry_after_ms)))
                await self.transport.close(self.dialect.close_code(disconnect), disconnect.reason)


class Endpoint:
    """Serves one wire. A client that is refused still gets an upgrade: a browser sees close codes, no HTTP status."""

    def __init__(
        self,
        make_dialect: Callable[[], Dialect],
        *,
        door: Door,
        identities: Identities,
        services: Services,
    ) -> None:
        self._make_dialect = make_dialect
        self._door = door
        self._identities = identities
        self._services = services
        self._handshakes: dict[asyncio.Timeout, float] = {}  # when each must be over, the oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket, from its upgrade to its end."""
        dialect = self._make_dialect()
        wanted = scope.get("subprotocols", ())
        chosen = next((known for known in dialect.subprotocols if known in wanted), None)
        await receive()  # websocket.connect
        with suppress(OSError):  # the client is gone already; reading says so, too
            await send({"type": "websocket.accept", "subprotocol": chosen})
        await self.serve(upgrade_of(scope), WebSocket(receive, send), address=address_of(scope), dialect=dialect)

    async def serve(
        self, upgrade: Upgrade, transport: Transport, *, address: str, dialect: Dialect | None = None
    ) -> None:
        """Serve one connection that is open, over whichever transport, to its end."""
        connection = _Connection(address, upgrade, dialect or self._make_dialect(), transport)
        try:
            with self._door.connected(address) as crowded:
                if crowded is not None:
                    raise _Refused(crowded)
                await self._door.serve(await self._open(connection))
        except _Refused as refused:
            log.info("session_refused", code=refused.disconnect.code, address=address)
            await connection.close(refused.disconnect, refused.frames)
        except (_Gone, OSError):
            log.debug("client_left", address=address)
        except Exception:
            metrics.CRASHES.inc()
            log.exception("session_crashed", address=address)
            await connection.close(Disconnect.INTERNAL)

    async def _open(self, connection: _Connection) -> Session:
        """Let the client in. Raises: _Refused, _Gone."""
        self._check_room(None)
        identity, hello, reply_to = await self._shake_hands(connection)
        self._check_rate(connection, identity.user_id, reply_to)
        self._check_room(identity.user_id)
        beginning = await self._beginning(connection, identity, hello)
        account = await self._admit(connection, identity, hello, reply_to)
        self._check_room(identity.user_id)  # others came meanwhile; nothing is awaited from here to the hub
        identity = replace(identity, name=account.name)
        return self._door.session(
            identity,
            hello,
            replace(beginning, reply_to=reply_to),
            dialect=connection.dialect,
            address=connection.address,
            transport=connection.transport,
        )

    async def _admit(self, connection: _Connection, identity: Identity, hello: Hello, reply_to: str | None) -> Account:
        """Ask for the user's name, and whether the device was signed out. Raises: _Refused."""
        device_id = hello.device.id if hello.device is not None and hello.device.id else None
        try:
            return await self._services.accounts.admit(identity, device_id)
        except SignedOut as error:
            refusal = connection.dialect.refuse(error.body(), reply_to=reply_to)
            raise _Refused(Disconnect.KICKED, refusal) from error

    def _check_room(self, user_id: UserId | None) -> None:
        closed = self._door.closed_to(user_id)
        if closed is not None:
            raise _Refused(closed)

    def _check_rate(self, connection: _Connection, user_id: UserId, reply_to: str | None) -> None:
        """Count the connection as a command: it asks history and presence, and everybody hears of it."""
        try:
            self._services.limiter.spend(user_id)
        except RateLimited as error:
            raise _Refused(Disconnect.CROWDED, connection.dialect.refuse(error.body(), reply_to=reply_to)) from error

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
        hello, reply_to = self._greeting(connection), None
        if hello is None:
            hello, reply_to = await self._hello(connection)
        try:
            return await self._identities.of(hello), hello, reply_to
        except (Unauthenticated, Forbidden) as error:
            expired = isinstance(error, TokenExpired)
            refusal = connection.dialect.refuse(error.body(), reply_to=reply_to)
            raise _Refused(Disconnect.TOKEN_EXPIRED if expired else Disconnect.UNAUTHENTICATED, refusal) from error
        except Unavailable as error:
            refusal = connection.dialect.refuse(error.body(), reply_to=reply_to)
            raise _Refused(Disconnect.INTERNAL, refusal) from error

    def _greeting(self, connection: _Connection) -> Hello | None:
        try:
            return connection.dialect.upgraded(connection.upgrade)
        except BadFrame as bad:
            refusal = connection.dialect.refuse(bad.error.body(), reply_to=None)
            raise _Refused(Disconnect.UNAUTHENTICATED, refusal) from bad

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

    async def _beginning(self, connection: _Connection, identity: Identity, hello: Hello) -> Beginning:
        """Decide from where the pushes go on: where the client says it is, or where it was last; else from now."""
        if not connection.dialect.habits.resumes:
            return await self._kept_beginning(connection, identity, hello)
        if hello.since is not None:
            try:
                return Beginning(Position.from_token(hello.since), resumes=True, echo=hello.echo)
            except Invalid as error:
                await connection.write(connection.dialect.refuse(error.body(), reply_to=None))
        return Beginning(await self._door.position(identity.user_id), echo=hello.echo)

    async def _kept_beginning(self, connection: _Connection, identity: Identity, hello: Hello) -> Beginning:
        device_id = identity.device_id or (hello.device.id if hello.device is not None else None)
        try:
            position = await self._door.kept_position(identity.user_id, device_id)
        except Unavailable as error:  # without a position everything, or nothing, would be pushed: come again
            refusal = connection.dialect.refuse(error.body(), reply_to=None)
            raise _Refused(Disconnect.INTERNAL, refusal) from error
        return Beginning(position, catches_up=True, echo=hello.echo)
