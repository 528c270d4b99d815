"""Share a family of queues among the replicas that live: each consumes its own, and leaves the rest to the others.

Nothing depends on it that order or safety needs. Where replicas disagree for a moment about who lives, two consume the
same queue, and its single active consumer decides; or none does, until they agree, a lease later at most.
"""

import asyncio
from collections.abc import Collection, Sequence

import structlog

from shared.broker.api import NO_FAILURES, Broker, Failures, Publisher, Received
from shared.broker.consumer import Consumer
from shared.broker.topology import REPLICA_LEASE_S, replicas_queue, replicas_route
from shared.clock import Clock
from shared.envelope import Body, Envelope
from shared.errors import Unavailable
from shared.events import ReplicaRefreshed, ReplicaStopped
from shared.ids import NewId
from shared.ticker import Ticker

REFRESH_EVERY_S = 1.0

log = structlog.get_logger()


def share(replica_id: str, others: Collection[str], queues: int) -> range:
    """Give the numbers of one replica's queues: of k replicas the n-th, by id, has every k-th one from the n-th on."""
    replicas = sorted({replica_id, *others})
    return range(replicas.index(replica_id), queues, len(replicas))


class Shares:
    """Has the consumers of a family take this replica's share and give up what is another's; a Runner.

    It begins with all of them. Idempotent: replicas that were heard of are kept by id.
    """

    def __init__(
        self,
        broker: Broker,
        consumers: Sequence[Consumer],
        publisher: Publisher,
        *,
        family: str,
        replica_id: str,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.name = f"shares.{family}"
        self._consumers = consumers
        self._publisher = publisher
        self._route = replicas_route(family)
        self._replica_id = replica_id
        self._clock = clock
        self._new_id = new_id
        self._others: dict[str, float] = {}  # replica id → the end of its lease, on the monotonic clock
        self._mine = range(len(consumers))
        self._listener = Consumer(
            broker,
            replicas_queue(family, replica_id),
            dict.fromkeys((ReplicaRefreshed, ReplicaStopped), self._hear),
            clock=clock,
            new_id=new_id,
            on_open=self._announce,
        )
        self._ticker = Ticker(f"{self.name}.refresh", REFRESH_EVERY_S, self._refresh, clock=clock)

    @property
    def replicas(self) -> int:
        """Count the replicas that live, this one among them."""
        return 1 + len(self._others)

    @property
    def held(self) -> int:
        """Count the queues that are being consumed here."""
        return sum(consumer.is_open for consumer in self._consumers)

    async def run(self) -> None:
        """Keep the share until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listener.run(), name=self._listener.name)
            tasks.create_task(self._ticker.run(), name=self._ticker.name)

    async def stop(self) -> None:
        """Tell the others to take this share; its consumers are stopped by whoever runs them."""
        await self._ticker.stop()
        await self._listener.stop()
        try:
            await self._say(ReplicaStopped(replica_id=self._replica_id))
        except Unavailable as error:  # they learn of it when the lease is over
            log.warning("replica_stopped_unheard", replica_id=self._replica_id, error=str(error))

    async def _hear(self, batch: Sequence[Received]) -> Failures:
        """Note who lives and who has gone; a newcomer is told of this replica at once."""
        known = set(self._others)
        for received in batch:
            event = received.envelope.body
            assert isinstance(event, ReplicaRefreshed | ReplicaStopped)
            if event.replica_id == self._replica_id:
                continue
            if isinstance(event, ReplicaRefreshed):
                self._others[event.replica_id] = self._clock.monotonic() + event.lease_s
            else:
                self._others.pop(event.replica_id, None)
        self._divide()
        if self._others.keys() - known:
            await self._announce()
        return NO_FAILURES

    async def _refresh(self) -> None:
        now = self._clock.monotonic()
        for replica_id in [id_ for id_, until in self._others.items() if until <= now]:
            log.warning("replica_gone", replica_id=replica_id, after_s=REPLICA_LEASE_S)
            del self._others[replica_id]
        self._divide()
        if self._listener.is_open:  # who cannot hear must not be counted on
            await self._announce()

    def _divide(self) -> None:
        mine = share(self._replica_id, self._others, len(self._consumers))
        if mine == self._mine:
            return
        self._mine = mine
        log.info("share_changed", family=self._route.key, replicas=self.replicas, shards=list(mine))
        for number, consumer in enumerate(self._consumers):
            if number in mine:
                consumer.take()
            else:
                consumer.give_up()

    async def _announce(self) -> None:
        await self._say(ReplicaRefreshed(replica_id=self._replica_id, lease_s=REPLICA_LEASE_S))

    async def _say(self, body: Body) -> None:
        id_ = self._new_id()
        envelope = Envelope(id=id_, trace_id=id_, occurred_at=self._clock.now(), body=body)
        await self._publisher.publish(self._route, [envelope])
