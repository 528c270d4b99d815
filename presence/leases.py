"""When a lease that ran out may be believed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from shared.clock import Clock

LEASE_S = 15.0  # of a gateway that has not yet said its own; it refreshes every 5 s
LATE = timedelta(seconds=5)  # a third of the lease: handled this late, refreshes still arrive inside it


class LeaseWatch:
    """Tells a dead gateway from one whose refreshes still wait in our queue.

    Leases count from the handling of a refresh. They are believed once this process has handled its queue punctually
    for one whole lease: in that time every living gateway has been heard. A batch that is late or fails (presence was
    down, MongoDB is away) starts the count anew, and a process that handles nothing, a standby, never believes one.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._punctual_since: float | None = None

    @property
    def punctual(self) -> bool:
        """Whether the queue is handled as it fills: who has come back by now is known to be back."""
        return self._punctual_since is not None

    @property
    def trusted(self) -> bool:
        """Whether a lease that has run out means that its gateway is gone."""
        return self._punctual_since is not None and self._clock.monotonic() - self._punctual_since >= LEASE_S

    async def reset(self) -> None:
        """Note that the queue was lost or has just been opened: what waits in it is not known."""
        self._punctual_since = None

    @contextmanager
    def handling(self, oldest: datetime) -> Iterator[None]:
        """Watch the handling of a batch whose oldest item is from `oldest`."""
        punctual_since, self._punctual_since = self._punctual_since, None
        yield
        if self._clock.now() - oldest < LATE:
            self._punctual_since = self._clock.monotonic() if punctual_since is None else punctual_since
