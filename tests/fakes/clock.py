"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
START_MONOTONIC = 1000.0  # not 0: code that takes 0 for "never" must not pass by luck
MAX_TURNS = 10_000


class FakeClock:
    """A `Clock` whose time passes only in `advance`; sleepers wake in the order of their times."""

    def __init__(self) -> None:
        self._elapsed_s = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return START + timedelta(milliseconds=round(self._elapsed_s * 1000))

    def monotonic(self) -> float:
        return START_MONOTONIC + self._elapsed_s

    @property
    def sleepers(self) -> int:
        """How many tasks wait for the time to pass."""
        return sum(not waiter.done() for _, _, waiter in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._order), waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Let time pass, from sleeper to sleeper; each one's tasks come to rest before the next one wakes."""
        await settle()
        end = self._elapsed_s + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, waiter = heapq.heappop(self._sleepers)
            if waiter.done():
                continue
            self._elapsed_s = due
            waiter.set_result(None)
            await settle()
        self._elapsed_s = end
        await settle()


async def settle() -> None:
    """Give the loop turns until every other task waits for something that only time or a test can bring."""
    loop: Any = asyncio.get_running_loop()
    for _ in range(MAX_TURNS):
        await asyncio.sleep(0)
        if not loop._ready:  # what the loop would still run in this turn or the next
            return
    raise AssertionError(f"The loop does not come to rest in {MAX_TURNS} turns: some task never waits.")
