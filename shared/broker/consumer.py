"""Consume one queue: take what waits, dispatch it, ack last; open it anew after every loss."""

import asyncio
from collections.abc import Mapping

import structlog

from shared import envelope as codec
from shared.broker.api import Broker, Deliveries, Handler, OnOpen, Received, Refuse
from shared.broker.dispatch import Batch, Dispatcher
from shared.broker.retry import FIRST_ERROR_HEADER, Backoff
from shared.broker.topology import Queue
from shared.clock import Clock
from shared.errors import Malformed, Unavailable
from shared.ids import NewId

MAX_BATCH = 256  # as many as a publisher puts into one AMQP message

log = structlog.get_logger()


class Consumer:
    """Reads one queue in order, a batch at a time; a Runner.

    One AMQP message is a batch; further ones that are here already are merged into it, none is waited for. A queue
    without ladder loses what fails transiently: it is logged, counted and dropped. `on_open` runs each time after the
    queue was opened, before its first delivery is handled; where it raises Unavailable the queue is opened again.
    `stop` lets the batch in hand finish, except during an outage: then it is left unacked, and comes again.
    `give_up` does so too and leaves the queue to others, until `take` opens it anew.
    """

    def __init__(
        self,
        broker: Broker,
        queue: Queue,
        handlers: Mapping[type, Handler],
        *,
        clock: Clock,
        new_id: NewId,
        refuse: Refuse | None = None,
        on_open: OnOpen | None = None,
        prefetch: int = 16,
    ) -> None:
        self.name = f"consumer.{queue.name}"
        self.is_open = False  # for readiness: the queue is being consumed, and on_open has succeeded
        self._broker = broker
        self._queue = queue
        self._clock = clock
        self._on_open = on_open
        self._prefetch = prefetch
        self._dispatcher = Dispatcher(
            broker, queue, handlers, clock=clock, new_id=new_id, refuse=refuse, pause=self._pause
        )
        self._stopping = False
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._leaving = False  # stopping, or not wanted: looked at for each batch
        self._busy = False  # a batch is being handled, or its queue left: nobody cuts it off
        self._worker: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._ended.set()

    async def run(self) -> None:
        """Consume until `stop`. Cancelling loses nothing: what is unacked comes again."""
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self._stopping:
                    await self._wanted.wait()
                    self._worker = tasks.create_task(self._work(), name=self.name)
                    await asyncio.wait([self._worker])
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Take nothing new, finish the batch in hand, and wait until `run` has ended."""
        self._stopping = self._leaving = True
        self._wanted.set()
        self._leave()
        await self._ended.wait()

    def take(self) -> None:
        """Consume the queue, as at first. Where it was given up and is not yet left, it is opened anew after that."""
        self._wanted.set()
        self._leaving = self._stopping

    def give_up(self) -> None:
        """Leave the queue as soon as the batch in hand is done; what is unacked goes back to it."""
        if self._wanted.is_set() and not self._stopping:
            self._wanted.clear()
            self._leaving = True
            self._leave()

    def _leave(self) -> None:
        """Cut off a worker that only waits, once: then it has a channel to close."""
        if self._worker is not None and not self._busy and not self._worker.cancelling():
            self._worker.cancel()

    async def _work(self) -> None:
        self._busy = False
        backoff = Backoff()
        lost = False
        while not self._leaving:
            try:
                async with self._broker.consume(self._queue, prefetch=self._prefetch) as deliveries:
                    if self._on_open is not None:
                        await self._on_open()
                    log.info("consumer_opened", queue=self._queue.name)
                    self.is_open = True
                    lost = False
                    backoff.reset()
                    return await self._take(deliveries)
            except Unavailable as error:
                if not lost:
                    log.warning("consumer_lost", queue=self._queue.name, error=str(error))
                lost = True
            finally:
                self.is_open = False
            if not self._leaving:
                await self._clock.sleep(backoff.next())

    async def _take(self, deliveries: Deliveries) -> None:
        while not self._leaving:
            batch = await self._gather(deliveries)
            self._busy = True
            try:
                await self._dispatcher.handle(batch)
                await deliveries.ack()
            finally:
                self._busy = self._leaving

    async def _gather(self, deliveries: Deliveries) -> Batch:
        """Wait for one delivery, and add those that are here already, up to a full batch."""
        items: list[Received] = []
        unreadable: list[tuple[bytes, Malformed]] = []
        first_errors: dict[str, str] = {}
        delivery = await anext(deliveries)
        while True:
            envelopes, bad = codec.decode_batch(delivery.body)
            items.extend(Received(envelope, delivery.redelivered) for envelope in envelopes)
            unreadable.extend(bad)
            first_error = delivery.headers.get(FIRST_ERROR_HEADER)
            if first_error is not None:
                first_errors |= dict.fromkeys((envelope.id for envelope in envelopes), str(first_error))
            following = deliveries.waiting() if len(items) + len(unreadable) < MAX_BATCH else None
            if following is None:
                return Batch(items, unreadable, first_errors)
            delivery = following

    async def _pause(self, seconds: float) -> None:
        """Wait through an outage; here nobody need wait for the batch."""
        self._busy = False
        if self._leaving:
            self._leave()
        await self._clock.sleep(seconds)
        self._busy = True
