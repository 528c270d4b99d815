"""Publish envelopes in batches: while one AMQP message of a route waits for its confirm, the next one fills."""

import asyncio
from collections import deque
from collections.abc import Sequence

from shared import envelope as codec
from shared.broker import metrics
from shared.broker.api import Broker
from shared.broker.retry import Backoff
from shared.broker.topology import Route
from shared.clock import Clock
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, QueueFull, Unroutable, WarrenError

MAX_ITEMS = 256
MAX_BYTES = 128 * 1024
MAX_WAITING = 50_000


class _Batch:
    """One AMQP message in the making, and the future that its items share."""

    __slots__ = ("begun_at", "done", "items", "sealed", "size")

    def __init__(self, begun_at: float) -> None:
        self.begun_at = begun_at
        self.items: list[bytes] = []
        self.size = 0
        self.sealed = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def full(self) -> bool:
        return len(self.items) >= MAX_ITEMS or self.size >= MAX_BYTES // 2

    def takes(self, item: bytes) -> bool:
        return not self.sealed and len(self.items) < MAX_ITEMS and self.size + len(item) <= MAX_BYTES

    def add(self, item: bytes) -> None:
        self.items.append(item)
        self.size += len(item)

    def settle(self, error: WarrenError | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            self.done.exception()  # whoever posted may not care: asyncio need not complain for them


class BatchingPublisher:
    """The `Publisher` of a process; also a Runner that sends what was posted.

    Per route one AMQP message is on its way at a time, so order is kept, and a batch that fails does not fail the next
    one. An idle route sends at once, a busy one every `pace_s` at most: an AMQP message costs every process on its way
    far more than an envelope in it. A batch that meets BrokerUnavailable is sent again, in its place, until it is
    `patience_s` old. What is posted before `run` waits for it. `stop` sends what waits; cancelling `run` fails it.
    """

    name = "publisher"

    def __init__(
        self,
        broker: Broker,
        *,
        clock: Clock,
        pace_s: float = 0.0,
        patience_s: float = 0.0,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._pace_s = pace_s
        self._patience_s = patience_s
        self._max_waiting = max_waiting
        self._lanes: dict[Route, deque[_Batch]] = {}  # a lane is there while its route is busy
        self._waiting = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._drained = asyncio.Event()
        self._ended = asyncio.Event()

    def post(self, route: Route, envelope: Envelope) -> "asyncio.Future[None]":
        """Queue an envelope; see `Publisher.post`. Raises: QueueFull, BrokerUnavailable (after `stop`)."""
        if self._waiting >= self._max_waiting:
            raise QueueFull("Too much waits to be published.", waiting=self._waiting)
        if self._ended.is_set():
            raise BrokerUnavailable("The publisher has stopped.")
        item = codec.encode(envelope)
        lane = self._lanes.get(route)
        if lane is None:
            lane = self._lanes[route] = deque()
            self._drained.clear()
            if self._tasks is not None:
                self._start(self._tasks, route, lane)
        if not lane or not lane[-1].takes(item):
            lane.append(_Batch(self._clock.monotonic()))
        batch = lane[-1]
        batch.add(item)
        self._waiting += 1
        return batch.done

    async def publish(self, route: Route, envelopes: Sequence[Envelope]) -> None:
        """Post several and wait until all are confirmed; see `Publisher.publish`. Cancelling does not unpost."""
        if not envelopes:
            return
        batches = dict.fromkeys(self.post(route, envelope) for envelope in envelopes)
        await asyncio.wait(batches)
        for done in batches:
            done.result()

    async def run(self) -> None:
        """Send what is posted until `stop`, then what still waits."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for route, lane in self._lanes.items():
                    self._start(tasks, route, lane)
                await self._stopping.wait()
                while self._lanes:
                    await self._drained.wait()
                self._ended.set()
        finally:
            self._ended.set()
            for lane in self._lanes.values():
                for batch in lane:
                    batch.settle(BrokerUnavailable("The publisher was cancelled."))
            self._lanes.clear()

    async def stop(self) -> None:
        """Let `run` send what waits, and wait until it has ended."""
        self._stopping.set()
        if self._tasks is not None:
            await self._ended.wait()

    def _start(self, tasks: asyncio.TaskGroup, route: Route, lane: deque[_Batch]) -> None:
        tasks.create_task(self._drain(route, lane), name=f"publish.{route.exchange.name}.{route.key}")

    async def _drain(self, route: Route, lane: deque[_Batch]) -> None:
        while lane:
            batch = lane[0]  # it stays in the lane, so that whoever ends `run` finds it
            batch.sealed = True
            metrics.PUBLISH_WAITING.set(self._waiting)
            sent_at = self._clock.monotonic()
            error = await self._send(route, batch)
            lane.popleft()
            self._waiting -= len(batch.items)
            metrics.PUBLISHED.labels(route.exchange.name, _outcome(error)).inc(len(batch.items))
            batch.settle(error)
            if not (lane and lane[0].full):
                await self._rest(sent_at)
        del self._lanes[route]
        if not self._lanes:
            metrics.PUBLISH_WAITING.set(0)
            self._drained.set()

    async def _rest(self, sent_at: float) -> None:
        wait_s = sent_at + self._pace_s - self._clock.monotonic()
        if wait_s > 0 and not self._stopping.is_set():
            await self._clock.sleep(wait_s)

    async def _send(self, route: Route, batch: _Batch) -> WarrenError | None:
        body = codec.join(batch.items)
        backoff = Backoff()
        while True:
            begun_at = self._clock.monotonic()
            try:
                await self._broker.publish(route, body)
            except BrokerUnavailable as error:
                wait_s = backoff.next()
                if self._clock.monotonic() + wait_s - batch.begun_at > self._patience_s:
                    return error
            except (Unroutable, QueueFull) as error:
                return error
            else:
                metrics.PUBLISH_SECONDS.labels(route.exchange.name).observe(self._clock.monotonic() - begun_at)
                return None
            await self._clock.sleep(wait_s)


def _outcome(error: WarrenError | None) -> str:
    match error:
        case None:
            return "confirmed"
        case Unroutable():
            return "unroutable"
        case QueueFull():
            return "queue_full"
        case _:
            return "unavailable"
