"""Bring sessions up to date from history, a bounded number at a time."""

import asyncio

import structlog

from gateway import metrics
from gateway.feed import Feed, Flow
from gateway.queries import BoundedHistory
from shared.broker.retry import Backoff
from shared.clock import Clock
from shared.errors import WarrenError
from shared.history_api import SyncQuery
from shared.position import Position

_NOT_NOW = (Flow.AWAITING_SYNC, Flow.LAGGING, Flow.CLOSED)

log = structlog.get_logger()


class CatchUps:
    """A Runner. A feed that asks is held and caught up as soon as its turn comes; while history is away it waits."""

    name = "catch_ups"

    def __init__(self, history: BoundedHistory, *, clock: Clock, concurrency: int) -> None:
        self._history = history
        self._clock = clock
        self._concurrency = concurrency
        self._waiting: dict[Feed, None] = {}  # in the order of asking
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    def request(self, feed: Feed) -> None:
        """Hold a feed and catch it up; nothing to do for one whose client is about to sync, or is gone."""
        if feed.flow in _NOT_NOW:
            return
        feed.hold()
        self._waiting[feed] = None
        self._wake.set()

    async def run(self) -> None:
        """Catch up whoever asks, until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            workers = [
                tasks.create_task(self._work(), name=f"catch_up.{number}") for number in range(self._concurrency)
            ]
            await self._stopping.wait()
            for worker in workers:
                worker.cancel()

    async def stop(self) -> None:
        """End; what is not caught up yet is so when its client comes back."""
        self._stopping.set()

    async def _work(self) -> None:
        backoff = Backoff()
        while True:
            feed = await self._next()
            try:
                again = await self._catch_up(feed)
            except WarrenError as error:
                wait_s = backoff.next()
                metrics.CATCH_UPS.labels("unavailable").inc()
                log.warning("catch_up_delayed", user_id=feed.user_id, error=error.message, wait_s=wait_s)
            else:
                metrics.CATCH_UPS.labels("done").inc()
                if not again:
                    backoff = Backoff()
                    continue
                wait_s = backoff.next()  # history did not have yet what a live event is the successor of
            await self._clock.sleep(wait_s)
            if feed.flow is Flow.HELD:
                self.request(feed)

    async def _next(self) -> Feed:
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        feed = next(iter(self._waiting))
        del self._waiting[feed]
        return feed

    async def _catch_up(self, feed: Feed) -> bool:
        """Ask until nothing is missing. Tells whether the feed must wait for more in spite of it."""
        async with feed.lock:
            if feed.flow in _NOT_NOW:
                return False
            feed.hold()
            more = True
            while more:
                position = feed.position
                # The versions go beside the token: of a long session they are more than a token holds.
                since = Position(position.floor, given=position.given).token()
                versions = dict(position.versions)
                whole = not feed.lags  # who reads too slowly is not told everything that it missed
                query = SyncQuery(
                    user_id=feed.user_id, since=since, versions=versions, oldest_first=whole, past=feed.past
                )
                answer = await self._history.sync(query)
                more = feed.catch_up(answer, self._clock.now()) and answer.has_more
            feed.release()
            if feed.flow is not Flow.HELD:
                return False
            self._waiting.pop(feed, None)  # it asked again already; that must wait
            return True
