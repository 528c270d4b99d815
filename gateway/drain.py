"""Send the clients elsewhere when the gateway stops, spread over time so that no other gateway is flooded."""

import asyncio
import math
from collections.abc import Awaitable, Callable

import structlog

from gateway.acks import Acks
from gateway.announcer import Announcer
from gateway.disconnects import Disconnect
from gateway.hub import Hub
from gateway.ingress import Ingress
from gateway.positions import Positions
from shared.clock import Clock
from shared.errors import Unavailable

STEP_S = 0.1
AT_LEAST_A_STEP = 50  # so that few clients need not wait for a spread that serves nobody
SPREAD = 0.3  # the part of the drain time in which the sessions are told; the rest is for what is in flight
PATIENCE = 0.7  # the part of the drain time that sessions and requests have
GOODBYE = 0.1  # the part that each goodbye has; the rest is for the other parts of the process

log = structlog.get_logger()


class Drain:
    """A Runner that does nothing until `stop`; first of the list, so that answers still come while clients leave."""

    name = "sessions"

    def __init__(
        self,
        hub: Hub,
        announcer: Announcer,
        ingress: Ingress,
        acks: Acks,
        positions: Positions,
        *,
        clock: Clock,
        drain_s: float,
    ) -> None:
        self.draining = False
        self._hub = hub
        self._announcer = announcer
        self._ingress = ingress
        self._acks = acks
        self._positions = positions
        self._clock = clock
        self._drain_s = drain_s
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Wait for `stop`."""
        await self._stopped.wait()

    async def stop(self) -> None:
        """Take no session any more, close those there are, answer REST, and say goodbye to presence and delivery."""
        self.draining = True
        try:
            async with asyncio.timeout(self._drain_s * PATIENCE):
                await self._close_all()
                await self._hub.wait_until_empty()
                while len(self._ingress):  # what came by REST
                    await self._clock.sleep(STEP_S)
        except TimeoutError:
            log.warning("drain_cut_short", sessions=len(self._hub), pending=len(self._ingress))
            self._ingress.give_up()
        await self._say(self._acks.flush)
        await self._say(self._positions.flush)
        await self._say(self._announcer.stopped)
        self._stopped.set()

    async def _say(self, goodbye: Callable[[], Awaitable[None]]) -> None:
        """Say it also where there is no time left to hear whether it was heard."""
        try:
            async with asyncio.timeout(self._drain_s * GOODBYE):
                await goodbye()
        except (TimeoutError, Unavailable) as error:
            log.warning("goodbye_not_said", error=str(error))

    async def _close_all(self) -> None:
        sessions = tuple(self._hub)
        steps = max(1, int(self._drain_s * SPREAD / STEP_S))
        a_step = max(AT_LEAST_A_STEP, math.ceil(len(sessions) / steps))
        for start in range(0, len(sessions), a_step):
            if start:
                await self._clock.sleep(STEP_S)
            for session in sessions[start : start + a_step]:
                retry_after_ms = round(1000 * self._drain_s * start / len(sessions))
                session.leave(Disconnect.DRAIN, retry_after_ms=retry_after_ms)
