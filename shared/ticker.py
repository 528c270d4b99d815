"""Do something again and again, as a part of a service."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from shared.clock import Clock
from shared.errors import Unavailable

log = structlog.get_logger()


class Ticker:
    """A `Runner` that calls `action`, waits `every_s` after it, and so on; the first call comes after the first wait.

    An outage (`Unavailable`) is logged once and the next period tries again; anything else ends the process.
    """

    def __init__(self, name: str, every_s: float, action: Callable[[], Awaitable[None]], *, clock: Clock) -> None:
        self.name = name
        self._every_s = every_s
        self._action = action
        self._clock = clock
        self._outage = False
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Tick until `stop`."""
        self._idle.clear()
        try:
            while await self._pause():
                await self._tick()
        finally:
            self._idle.set()

    async def stop(self) -> None:
        """Start no further action; returns when the running one has ended."""
        self._stopping.set()
        await self._idle.wait()

    async def _pause(self) -> bool:
        """Wait one period, or less where `stop` comes first; tells whether to go on."""
        if not self._stopping.is_set():
            async with asyncio.TaskGroup() as group:
                period = group.create_task(self._clock.sleep(self._every_s), name=f"{self.name}.period")
                stopping = group.create_task(self._stopping.wait(), name=f"{self.name}.stopping")
                await asyncio.wait((period, stopping), return_when=asyncio.FIRST_COMPLETED)
                period.cancel()
                stopping.cancel()
        return not self._stopping.is_set()

    async def _tick(self) -> None:
        try:
            await self._action()
        except Unavailable as error:
            if not self._outage:
                log.warning("tick_skipped", ticker=self.name, error=str(error))
            self._outage = True
        else:
            if self._outage:
                log.info("tick_resumed", ticker=self.name)
            self._outage = False
