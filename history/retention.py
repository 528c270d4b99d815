"""Let messages expire: what is older than the operator wants to keep is removed from the beginning of the logs."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from history import metrics
from history.custody import Beginning, Custody
from shared.clock import Clock
from shared.ids import ConversationId

EVERY_S = 60.0
LEASE = timedelta(seconds=3 * EVERY_S)  # a replica that is gone is replaced after as long
CONVERSATIONS = 500  # looked at in one query
QUERIES = 20  # a sweep; the next one goes on from there, so a million conversations take two hours
BATCH = 500  # entries removed at once
BATCHES = 40  # a sweep: 20,000 a minute are no burden to the writers beside it

_LEASE = "retention"
log = structlog.get_logger()


class Retention:
    """Keep the logs to the days that are set. Of all replicas one sweeps, which a lease in the store decides.

    A log loses its first entries, whatever they are, and never its last one: that is where it goes on from.
    """

    def __init__(self, custody: Custody, *, holder: str, clock: Clock) -> None:
        self._custody = custody
        self._holder = holder
        self._clock = clock
        self._after: ConversationId | None = None  # the conversations up to this one are done in this round

    async def days(self) -> int | None:
        """Give how long messages are kept; None: for ever. Raises: StoreUnavailable."""
        return await self._custody.retention_days()

    async def set_days(self, days: int | None) -> None:
        """Set how long messages are kept; the sweeps follow within minutes. Raises: StoreUnavailable."""
        await self._custody.set_retention_days(days)
        log.info("retention_set", days=days)

    async def sweep(self) -> None:
        """Remove what is too old in the next conversations, oldest entries first. Raises: StoreUnavailable."""
        days, now = await self._custody.retention_days(), self._clock.now()
        if days is None or not await self._custody.take_lease(_LEASE, self._holder, at=now, until=now + LEASE):
            return
        sweep = _Sweep(before=now - timedelta(days=days))
        try:
            await self._go_on(sweep)
        finally:
            if sweep.entries:
                metrics.EXPIRED.inc(sweep.entries)
                log.info("entries_expired", entries=sweep.entries, conversations=sweep.conversations, days=days)

    async def _go_on(self, sweep: "_Sweep") -> None:
        for _ in range(QUERIES):
            page = await self._custody.beginnings(self._after, CONVERSATIONS)
            for each in page:
                if each.at is not None and each.at < sweep.before and not await self._shorten(each, sweep):
                    return
                self._after = each.conversation_id
            if len(page) < CONVERSATIONS:
                self._after = None
                return

    async def _shorten(self, beginning: Beginning, sweep: "_Sweep") -> bool:
        """Remove the beginning of one log; False: the batches of this sweep are used up before its end."""
        removed = 0
        while sweep.batches:
            sweep.batches -= 1
            done = await self._custody.remove_before(beginning.conversation_id, sweep.before, BATCH)
            sweep.conversations += done > 0 and not removed
            sweep.entries += done
            removed += done
            if done < BATCH:
                return True
        return False


@dataclass(slots=True)
class _Sweep:
    """What one sweep may still do, and has done."""

    before: datetime
    batches: int = BATCHES
    conversations: int = 0
    entries: int = 0
