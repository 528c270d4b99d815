"""Let authenticated clients in, over whichever transport: whether there is room, and their session until it ends."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from msgspec.structs import replace

from gateway import metrics
from gateway.announcer import Announcer
from gateway.backlog import backlog
from gateway.dialects.base import Dialect, Hello
from gateway.disconnects import Disconnect
from gateway.drain import Drain
from gateway.hub import Hub
from gateway.requests import Beginning, Services
from gateway.session import Session
from gateway.transport import Transport
from shared import events
from shared.auth import Identity
from shared.errors import Unavailable
from shared.events import DeviceInfo
from shared.ids import DeviceId, GatewayId, NewId, SessionId, UserId
from shared.position import SETTLE, Position

KEPT_PATIENCE_S = 5.0
POSITION_PATIENCE_S = 2.0  # then the session opens without history's word on what there is

log = structlog.get_logger()


class Door:
    """The way into one gateway."""

    def __init__(
        self,
        *,
        gateway_id: GatewayId,
        hub: Hub,
        announcer: Announcer,
        drain: Drain,
        services: Services,
        new_id: NewId,
    ) -> None:
        self._gateway_id = gateway_id
        self._hub = hub
        self._announcer = announcer
        self._drain = drain
        self._services = services
        self._new_id = new_id

    @contextmanager
    def connected(self, address: str) -> Iterator[Disconnect | None]:
        """Count a connection of a network address to its end; gives why it cannot stay, or None."""
        with self._hub.connected(address) as of_address:
            at_most = self._services.settings.max_address_sessions
            yield Disconnect.CROWDED if at_most is not None and of_address > at_most else None

    def closed_to(self, user_id: UserId | None) -> Disconnect | None:
        """Tell why nobody, or nobody more of this user, comes in now; None: there is room."""
        if self._drain.draining:
            return Disconnect.DRAIN
        if user_id is not None and len(self._hub.of_user(user_id)) >= self._services.settings.max_user_sessions:
            return Disconnect.CROWDED
        return None

    async def position(self, user_id: UserId) -> Position:
        """Give the position of a client that begins now."""
        try:
            async with asyncio.timeout(POSITION_PATIENCE_S):
                return await self._services.history.position(user_id)
        except (Unavailable, TimeoutError) as error:
            # A client can connect and send while history is away. What was stored in the last moments may then be
            # pushed although an earlier session had it: better than left out.
            log.warning("position_assumed", user_id=user_id, error=str(error))
            return Position(self._services.clock.now() - SETTLE)

    async def kept_position(self, user_id: UserId, device_id: DeviceId | None) -> Position:
        """Give where a device was last, or where one begins that was never here. Raises: Unavailable."""
        try:
            async with asyncio.timeout(KEPT_PATIENCE_S):
                kept = await self._services.positions.of(user_id, device_id) if device_id else None
                return await self._begun(user_id, device_id) if kept is None else kept
        except TimeoutError as error:
            raise Unavailable("Your position is not found in time; try again.", retry_after_ms=1000) from error

    async def _begun(self, user_id: UserId, device_id: DeviceId | None) -> Position:
        position = await backlog(self._services.reach.history, user_id)
        if device_id:
            await self._services.positions.begin(user_id, device_id, position)
        return position

    def session(
        self,
        identity: Identity,
        hello: Hello,
        beginning: Beginning,
        *,
        dialect: Dialect,
        address: str,
        transport: Transport,
    ) -> Session:
        """Make a session; between this and `serve` nothing may be awaited."""
        device = hello.device or DeviceInfo(id=DeviceId(""))
        named = identity.device_id or device.id
        about = events.Session(
            id=SessionId(self._new_id()),
            user_id=identity.user_id,
            name=identity.name,
            gateway_id=self._gateway_id,
            device=replace(device, id=named or DeviceId(self._new_id()), ephemeral=not named),
            dialect=dialect.name,
            opened_at=self._services.clock.now(),
            takes_over=hello.takes_over,
        )
        return Session(
            about,
            role=identity.role,
            address=address,
            issued_at=identity.issued_at,
            expires_at=identity.expires_at,
            dialect=dialect,
            beginning=beginning,
            services=self._services,
            transport=transport,
        )

    async def serve(self, session: Session) -> None:
        """Let a session be found and told of, and run it to its end."""
        self._hub.replace(session.about)
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
