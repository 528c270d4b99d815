"""Ask again for the presence of all who are watched, after changes may have been missed."""

import asyncio
from collections.abc import Sequence

import structlog

from gateway.queries import BoundedPresence
from gateway.watching import Watchers
from shared.broker.retry import Backoff
from shared.clock import Clock
from shared.errors import Unavailable
from shared.ids import UserId
from shared.presence_api import MAX_USERS

log = structlog.get_logger()


class Presences:
    """A Runner. One question at a time; while presence is away it waits."""

    name = "presences"

    def __init__(self, presence: BoundedPresence, watchers: Watchers, *, clock: Clock) -> None:
        self._presence = presence
        self._watchers = watchers
        self._clock = clock
        self._wanted = asyncio.Event()
        self._stopping = asyncio.Event()

    def request(self) -> None:
        """Ask again soon."""
        self._wanted.set()

    async def run(self) -> None:
        """Ask whenever it is wanted, until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            worker = tasks.create_task(self._work(), name="presences.work")
            await self._stopping.wait()
            worker.cancel()

    async def stop(self) -> None:
        """End; who reconnects elsewhere asks there."""
        self._stopping.set()

    async def _work(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            watched = tuple(self._watchers.watched())
            for start in range(0, len(watched), MAX_USERS):
                await self._compare(watched[start : start + MAX_USERS])

    async def _compare(self, users: Sequence[UserId]) -> None:
        backoff = Backoff()
        while True:
            try:
                before = self._watchers.told(users)
                self._watchers.compared(await self._presence.presence_of(users), before)
            except Unavailable as error:
                wait_s = backoff.next()
                log.warning("presence_not_compared", error=error.message, wait_s=wait_s)
                await self._clock.sleep(wait_s)
            else:
                return
