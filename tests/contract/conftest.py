"""The worlds of the broker's contract: in memory, and a real RabbitMQ."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

import aio_pika
import pytest
from pydantic import SecretStr

from shared.broker.api import Broker
from shared.broker.memory import MemoryBroker
from shared.broker.rabbit import RabbitBroker
from shared.broker.topology import (
    DEAD,
    REPLICAS,
    RETRY,
    Binding,
    Exchange,
    ExchangeKind,
    Queue,
    QueueKind,
    RetryLadder,
    Topology,
    dead_queue,
    retry_queue,
)
from shared.clock import Clock, SystemClock
from shared.settings import BrokerSettings
from tests.fakes.clock import FakeClock
from tests.nodes import Rabbit

LADDER = RetryLadder(delays_s=(1,))


@dataclass(frozen=True)
class Names(Topology):
    """A topology of one test's own: queues and exchanges that no other test sees."""

    ladder: RetryLadder = LADDER
    prefix: str = ""
    short_length: int = 3

    @property
    def direct(self) -> Exchange:
        return Exchange(f"{self.prefix}.direct", ExchangeKind.DIRECT)

    @property
    def fanout(self) -> Exchange:
        return Exchange(f"{self.prefix}.fanout", ExchangeKind.FANOUT)

    @property
    def work(self) -> Queue:
        """A queue with all that a shard has."""
        return self._shard(0, Binding(self.direct, "work"), Binding(self.fanout))

    @property
    def more_work(self) -> Queue:
        """A second shard."""
        return self._shard(1)

    def _shard(self, number: int, *bindings: Binding) -> Queue:
        name = f"{self.prefix}.{number}"
        return Queue(name, bindings, family=self.prefix, single_active_consumer=True, ladder=self.ladder)

    @property
    def plain(self) -> Queue:
        return Queue(f"{self.prefix}.plain", (Binding(self.direct, "plain"), Binding(self.fanout)), family=self.prefix)

    @property
    def short(self) -> Queue:
        return Queue(f"{self.prefix}.short", family=self.prefix, max_length=self.short_length)

    @property
    def ephemeral(self) -> Queue:
        return Queue(f"{self.prefix}.ephemeral", family=self.prefix, message_ttl_s=1)

    @property
    def own(self) -> Queue:
        binding = Binding(self.direct, "own")
        return Queue(f"{self.prefix}.own", (binding,), kind=QueueKind.EXCLUSIVE, family=self.prefix)

    @property
    def dead(self) -> Queue:
        return dead_queue(self.prefix)

    @property
    def queues(self) -> tuple[Queue, ...]:
        rungs = (retry_queue(self.prefix, delay_s) for delay_s in self.ladder.delays_s)
        return (self.work, self.more_work, self.plain, self.short, self.ephemeral, *rungs, self.dead)


def new_names() -> Names:
    prefix = f"test-{uuid.uuid4().hex}"
    own = tuple(Exchange(f"{prefix}.{kind}", kind) for kind in (ExchangeKind.DIRECT, ExchangeKind.FANOUT))
    return Names(prefix=prefix, exchanges=(RETRY, DEAD, REPLICAS, *own))


class World(Protocol):
    """One kind of broker, and what a test may do to it."""

    @property
    def clock(self) -> Clock: ...

    async def connect(self) -> Broker:
        """Open a further connection."""
        ...

    async def kill(self, broker: Broker) -> None:
        """End one connection for good."""
        ...

    async def elapse(self, seconds: float) -> None:
        """Let time pass, where it does not pass by itself."""
        ...

    async def go_down(self) -> None:
        """Stop the broker; only in a `mortal` world."""
        ...

    async def come_back(self) -> None:
        """Start it again, with what is durable in it."""
        ...


class MemoryWorld:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self._root = MemoryBroker(self.clock)

    async def connect(self) -> Broker:
        return self._root.connect()

    async def kill(self, broker: Broker) -> None:
        assert isinstance(broker, MemoryBroker)
        broker.break_connection()

    async def elapse(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    async def go_down(self) -> None:
        self._root.break_connection()

    async def come_back(self) -> None:
        self._root.restore()


class RabbitWorld:
    def __init__(self, url: str, node: Rabbit | None = None) -> None:
        self.clock = SystemClock()
        self._url = url
        self._node = node
        self._connections: dict[Broker, AsyncExitStack] = {}

    async def connect(self) -> Broker:
        stack = AsyncExitStack()
        settings = BrokerSettings(amqp_url=SecretStr(self._url), broker_timeout_s=5)
        broker = await stack.enter_async_context(RabbitBroker.open(settings))
        self._connections[broker] = stack
        return broker

    async def kill(self, broker: Broker) -> None:
        await self._connections.pop(broker).aclose()

    async def elapse(self, seconds: float) -> None:
        """Nothing to do: real time passes while the test waits for what it brings."""

    async def go_down(self) -> None:
        assert self._node is not None
        await asyncio.to_thread(self._node.stop)

    async def come_back(self) -> None:
        assert self._node is not None
        await asyncio.to_thread(self._node.start)

    async def close(self) -> None:
        for stack in self._connections.values():
            await stack.aclose()

    async def remove(self, names: Names) -> None:
        async with await aio_pika.connect(self._url) as connection, connection.channel() as channel:
            for queue in names.queues:
                await channel.queue_delete(queue.name)
            for exchange in (names.direct, names.fanout):
                await channel.exchange_delete(exchange.name)


@pytest.fixture
def names() -> Names:
    return new_names()


@pytest.fixture(params=["memory", pytest.param("rabbit", marks=pytest.mark.real)])
async def world(request: pytest.FixtureRequest, names: Names) -> AsyncIterator[World]:
    """Give a broker with the test's topology declared on it."""
    if request.param == "memory":
        memory = MemoryWorld()
        await (await memory.connect()).declare(names)
        yield memory
        return
    rabbit = RabbitWorld(request.getfixturevalue("amqp_url"))
    await (await rabbit.connect()).declare(names)
    yield rabbit
    await rabbit.close()
    await rabbit.remove(names)


@pytest.fixture(params=["memory", pytest.param("rabbit", marks=pytest.mark.real)])
async def mortal(request: pytest.FixtureRequest, names: Names) -> AsyncIterator[World]:
    """Give a broker that may be stopped and started."""
    if request.param == "memory":
        memory = MemoryWorld()
        await (await memory.connect()).declare(names)
        yield memory
        return
    make: Callable[[], Rabbit] = request.getfixturevalue("new_rabbit")
    node = make()
    await asyncio.to_thread(node.start)
    rabbit = RabbitWorld(node.url, node)
    await (await rabbit.connect()).declare(names)
    yield rabbit
    await rabbit.close()
