"""Tell presence and delivery which sessions this gateway holds, and that it is alive."""

import asyncio
from collections import deque

import structlog

from gateway.hub import Hub
from shared.broker.api import Publisher
from shared.broker.topology import SESSIONS_ROUTE
from shared.clock import Clock
from shared.envelope import Body, Envelope
from shared.errors import QueueFull, Unavailable, WarrenError
from shared.events import GatewayRefreshed, GatewayStopped, Session, SessionClosed, SessionOpened, SessionsAnnounced
from shared.ids import GatewayId, NewId

LEASE_S = 15.0
REFRESH_S = 5.0  # a third of the lease: two may get lost
CHUNK = 256
MAX_UNTOLD = 100_000

log = structlog.get_logger()


class Announcer:
    """Publishes on the sessions fanout. What could not be published is told again with the next refresh."""

    def __init__(self, publisher: Publisher, hub: Hub, *, gateway_id: GatewayId, clock: Clock, new_id: NewId) -> None:
        self._publisher = publisher
        self._hub = hub
        self._gateway_id = gateway_id
        self._clock = clock
        self._new_id = new_id
        self._untold: deque[SessionOpened | SessionClosed] = deque(maxlen=MAX_UNTOLD)

    def opened(self, session: Session) -> None:
        """Tell of a new session."""
        self._tell(SessionOpened(session=session))

    def closed(self, session: Session) -> None:
        """Tell that a session is gone."""
        closed = SessionClosed(
            session_id=session.id,
            user_id=session.user_id,
            device_id=session.device.id,
            gateway_id=session.gateway_id,
            at=self._clock.now(),
        )
        self._tell(closed)

    async def announce_all(self) -> None:
        """Tell of every session that is open. Raises: Unavailable."""
        sessions = [session.about for session in self._hub]
        chunks = [tuple(sessions[start : start + CHUNK]) for start in range(0, len(sessions), CHUNK)] or [()]
        await self._publish(
            *(
                SessionsAnnounced(gateway_id=self._gateway_id, sessions=chunk, first=number == 0)
                for number, chunk in enumerate(chunks)
            )
        )

    async def refresh(self) -> None:
        """Renew the lease of all sessions, and tell what could not be told before. Raises: Unavailable."""
        await self._publish(GatewayRefreshed(gateway_id=self._gateway_id, lease_s=LEASE_S))
        for _ in range(len(self._untold)):
            event = self._untold.popleft()
            if isinstance(event, SessionClosed) or self._hub.get(event.session.id) is not None:
                self._tell(event)

    async def stopped(self) -> None:
        """Tell that this gateway holds no session any more. Raises: Unavailable."""
        await self._publish(GatewayStopped(gateway_id=self._gateway_id))

    def _tell(self, event: SessionOpened | SessionClosed) -> None:
        try:
            posted = self._publisher.post(SESSIONS_ROUTE, self._envelope(event))
        except Unavailable:
            self._untold.append(event)
            return

        def done(posted: "asyncio.Future[None]") -> None:
            if posted.exception() is not None:
                self._untold.append(event)

        posted.add_done_callback(done)

    async def _publish(self, *events: SessionsAnnounced | GatewayRefreshed | GatewayStopped) -> None:
        try:
            await self._publisher.publish(SESSIONS_ROUTE, [self._envelope(event) for event in events])
        except QueueFull as error:  # some reader's queue: the others have it, and that one asks when it is well again
            log.warning("sessions_not_told_to_all", error=str(error))
        except Unavailable:
            raise
        except WarrenError as error:
            raise Unavailable(f"Nobody takes note of sessions: {error}") from error

    def _envelope(self, body: Body) -> Envelope:
        envelope_id = self._new_id()
        return Envelope(id=envelope_id, trace_id=envelope_id, occurred_at=self._clock.now(), body=body)
