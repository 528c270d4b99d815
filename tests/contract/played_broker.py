"""What the suites over both brokers share: envelopes, a handler that remembers, and ways to look into queues."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from shared.broker.api import Broker, Deliveries, Failures, Received
from shared.broker.topology import Queue, queue_route
from shared.commands import Acknowledge, SendMessage, Stage
from shared.envelope import Envelope
from shared.errors import (
    WarrenError,
)
from shared.ids import ConversationId, MessageId, UserId
from shared.service import Runner
from tests.contract.conftest import Names
from tests.fakes.clock import START

DEADLINE_S = 15.0


def command(name: str) -> Envelope:
    body = SendMessage(
        message_id=MessageId(name),
        conversation_id=ConversationId("room"),
        sender_id=UserId("alice"),
        sender_name="Alice",
        client_id=name,
    )
    return Envelope(id=name, trace_id="t", occurred_at=START, body=body)


def receipt(name: str) -> Envelope:
    body = Acknowledge(conversation_id=ConversationId("room"), user_id=UserId("bob"), stage=Stage.READ, seq=1)
    return Envelope(id=name, trace_id="t", occurred_at=START, body=body)


class Recorder:
    """A handler that remembers what it saw; `fail` says what becomes of an item."""

    def __init__(self, fail: Callable[[Received], WarrenError | None] = lambda _: None) -> None:
        self.seen: list[Received] = []
        self._fail = fail
        self._changed = asyncio.Condition()

    async def __call__(self, batch: Sequence[Received]) -> Failures:
        async with self._changed:
            self.seen.extend(batch)
            self._changed.notify_all()
        failures = ((item.envelope.id, self._fail(item)) for item in batch)
        return {item_id: error for item_id, error in failures if error is not None}

    @property
    def ids(self) -> list[str]:
        return [item.envelope.id for item in self.seen]

    async def count(self, number: int) -> None:
        """Wait until that many items were seen."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.seen) >= number)


@asynccontextmanager
async def running(*runners: Runner) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        for runner in runners:
            tasks.create_task(runner.run(), name=runner.name)
        yield
        for runner in runners:
            await runner.stop()


async def take(deliveries: Deliveries, number: int) -> list[bytes]:
    async with asyncio.timeout(DEADLINE_S):
        return [(await anext(deliveries)).body for _ in range(number)]


async def put(broker: Broker, queue: Queue, *bodies: bytes) -> None:
    for body in bodies:
        await broker.publish(queue_route(queue.name), body)


async def get_dead(broker: Broker, names: Names) -> list[tuple[bytes, dict[str, str | int]]]:
    found = []
    while (delivery := await broker.get(names.dead)) is not None:
        found.append((delivery.body, dict(delivery.headers)))
        await delivery.ack()
    return found
