"""Time as a port, so that tests own it."""

import asyncio
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Give the time of day: aware, UTC, whole milliseconds (what MongoDB keeps and the wire shows)."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never jump, for deadlines and durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait. Cancelling loses nothing."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Give the time of day in whole milliseconds."""
        return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)

    def monotonic(self) -> float:
        """Give the machine's monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


@lru_cache(maxsize=1024)  # many messages of one millisecond, each written for several readers
def rfc3339(moment: datetime) -> str:
    """Write an aware UTC time as the wire shows it: RFC 3339, always three digits of milliseconds, Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
