"""Run a service's parts in the test's own loop, and play a gateway to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self, TypeVar

from shared.broker.api import Broker, Deliveries
from shared.broker.topology import SESSIONS_ROUTE, Route, gateway_queue
from shared.clock import Clock
from shared.envelope import Body, Envelope, decode_batch, encode, join
from shared.events import Handoff
from shared.ids import GatewayId, new_id
from shared.service import Service
from tests.fakes.clock import settle
from tests.fakes.publisher import FakePublisher

BodyT = TypeVar("BodyT")


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """Run what a process would run, and drain it at the end."""
    async with asyncio.TaskGroup() as tasks:
        for runner in service.runners:
            tasks.create_task(runner.run(), name=runner.name)
        await settle()
        yield
        for runner in service.runners:
            await runner.stop()


class DirectPublisher(FakePublisher):
    """A `Publisher` that needs no running: each batch goes to the broker as it comes."""

    def __init__(self, broker: Broker) -> None:
        super().__init__()
        self._broker = broker

    async def publish(self, route: Route, envelopes: Sequence[Envelope]) -> None:
        await self._broker.publish(route, join([encode(envelope) for envelope in envelopes]))


class PlayedGateway:
    """A gateway's end of the broker: its queue, and what it tells of sessions."""

    def __init__(self, gateway_id: GatewayId, broker: Broker, deliveries: Deliveries, clock: Clock) -> None:
        self.id = gateway_id
        self._broker = broker
        self._deliveries = deliveries
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, broker: Broker, clock: Clock) -> AsyncIterator[Self]:
        """Hold the gateway's queue; leaving it is the gateway's death."""
        gateway_id = GatewayId(name)
        async with broker.consume(gateway_queue(gateway_id), prefetch=1000) as deliveries:
            yield cls(gateway_id, broker, deliveries, clock)

    async def tell(self, *bodies: Body, route: Route = SESSIONS_ROUTE) -> None:
        """Publish a batch, and let everyone react."""
        envelopes = [
            Envelope(id=new_id(), trace_id=new_id(), occurred_at=self._clock.now(), body=body) for body in bodies
        ]
        await self._broker.publish(route, join([encode(envelope) for envelope in envelopes]))
        await settle()

    async def received(self) -> list[Envelope]:
        """Take what has come so far."""
        await settle()
        envelopes: list[Envelope] = []
        while (delivery := self._deliveries.waiting()) is not None:
            envelopes += decode_batch(delivery.body)[0]
            await delivery.ack()
        return envelopes

    async def got(self, kind: type[BodyT]) -> list[BodyT]:
        """Take what has come so far; give what is of one kind, hand-offs by what they carry."""
        bodies = [envelope.body for envelope in await self.received()]
        carried = [body.event if isinstance(body, Handoff) and kind is not Handoff else body for body in bodies]
        return [body for body in carried if isinstance(body, kind)]
