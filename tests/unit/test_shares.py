"""Replicas share the queues of a family: every queue has one of them, nearly as many each, and a dead one's go on."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.broker.api import Failures, Received
from shared.broker.batching import BatchingPublisher
from shared.broker.consumer import Consumer
from shared.broker.memory import MemoryBroker
from shared.broker.shares import Shares, share
from shared.broker.topology import HISTORY_COMMANDS, Topology, queue_route
from shared.commands import SendMessage
from shared.envelope import Envelope, encode, join
from shared.errors import StoreUnavailable
from shared.ids import ConversationId, MessageId, UserId
from shared.service import Runner
from tests.fakes.clock import START, FakeClock, settle

TOPOLOGY = Topology(shards=4)
QUEUES = TOPOLOGY.history_commands
TAKEOVER_S = 7  # a lease, and a refresh before and after it


@given(st.sets(st.text(min_size=1), min_size=1), st.integers(1, 64))
def test_every_queue_has_one_replica_and_nobody_has_two_more_than_another(replicas: set[str], queues: int) -> None:
    shares = [share(replica, replicas, queues) for replica in replicas]
    assert sorted(itertools.chain(*shares)) == list(range(queues))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


class Replica:
    """A process with a consumer of each shard, and what it opened and saw."""

    def __init__(self, field: "Field", name: str) -> None:
        self.connection = field.server.connect()
        self.name = name
        self.opened: list[int] = []
        self.away = False  # what its handler needs
        self.going = asyncio.Event()
        self.going.set()
        self._field = field
        publisher = BatchingPublisher(self.connection, clock=field.clock)
        self.consumers = [self._consumer(number) for number in range(len(QUEUES))]
        self.shares = Shares(
            self.connection,
            self.consumers,
            publisher,
            family=HISTORY_COMMANDS,
            replica_id=name,
            clock=field.clock,
            new_id=field.new_id,
        )
        self._runners: tuple[Runner, ...] = (self.shares, *self.consumers, publisher)
        self._task: asyncio.Task[None] | None = None

    def _consumer(self, number: int) -> Consumer:
        async def opened() -> None:
            self.opened.append(number)

        return Consumer(
            self.connection,
            QUEUES[number],
            {SendMessage: self._handle},
            clock=self._field.clock,
            new_id=self._field.new_id,
            on_open=opened,
            prefetch=2,
        )

    async def _handle(self, batch: Sequence[Received]) -> Failures:
        await self.going.wait()
        if self.away:
            raise StoreUnavailable("Down.")
        self._field.seen.extend((self.name, received.envelope.id) for received in batch)
        return {}

    @property
    def held(self) -> list[int]:
        return [number for number, consumer in enumerate(self.consumers) if consumer.is_open]

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self._task = tasks.create_task(self._run(), name=self.name)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for runner in self._runners:
                tasks.create_task(runner.run(), name=runner.name)

    async def drain(self) -> None:
        for runner in self._runners:
            await runner.stop()

    async def kill(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        self.connection.break_connection()


class Field:
    """A broker in memory and the replicas on it."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.clock = FakeClock()
        self.server = MemoryBroker(self.clock)
        self.seen: list[tuple[str, str]] = []  # replica, envelope
        self.replicas: list[Replica] = []
        self._tasks = tasks
        self._ids = itertools.count()

    def new_id(self) -> str:
        return str(next(self._ids))

    async def join(self, *names: str) -> Replica:
        """Start replicas at the same moment; gives the last one."""
        for name in names:
            replica = Replica(self, name)
            self.replicas.append(replica)
            replica.start(self._tasks)
        await settle()
        return replica

    async def put(self, shard: int, *names: str) -> None:
        for name in names:
            await self.server.publish(queue_route(QUEUES[shard].name), join([encode(command(name))]))
        await settle()


def command(name: str) -> Envelope:
    body = SendMessage(
        message_id=MessageId(name),
        conversation_id=ConversationId("room"),
        sender_id=UserId("alice"),
        sender_name="Alice",
        client_id=name,
    )
    return Envelope(id=name, trace_id="t", occurred_at=START, body=body)


@asynccontextmanager
async def playing() -> AsyncIterator[Field]:
    async with asyncio.TaskGroup() as tasks:
        field = Field(tasks)
        await field.server.declare(TOPOLOGY)
        yield field
        for replica in field.replicas:
            await replica.kill()


async def test_replicas_share_at_once_as_they_come() -> None:
    async with playing() as field:
        one = await field.join("a")
        assert one.held == [0, 1, 2, 3]
        two = await field.join("b")
        assert (one.held, two.held) == ([0, 2], [1, 3])
        three = await field.join("c")
        assert (one.held, two.held, three.held) == ([0, 3], [1], [2])
        assert [each.shares.replicas for each in field.replicas] == [3, 3, 3]


async def test_replicas_that_start_at_the_same_moment_share() -> None:
    async with playing() as field:
        await field.join("b", "c", "a")
        assert [each.held for each in field.replicas] == [[1], [2], [0, 3]]


async def test_more_replicas_than_shards_leave_some_waiting() -> None:
    async with playing() as field:
        replicas = [await field.join(name) for name in "abcde"]
        assert [each.held for each in replicas] == [[0], [1], [2], [3], []]
        await replicas[1].drain()
        assert [each.held for each in replicas] == [[0], [], [1], [2], [3]]


async def test_the_share_of_a_dead_replica_is_taken_when_its_lease_is_over() -> None:
    async with playing() as field:
        one, two = await field.join("a"), await field.join("b")
        await field.clock.advance(20)
        assert (one.held, two.held) == ([0, 2], [1, 3])
        await one.kill()
        await field.put(0, "m1")
        await field.clock.advance(TAKEOVER_S)
        assert two.held == [0, 1, 2, 3]
        assert field.seen == [("b", "m1")]
        again = await field.join("c")
        assert (two.held, again.held) == ([0, 2], [1, 3])


async def test_a_replica_that_drains_leaves_its_share_at_once() -> None:
    async with playing() as field:
        one, two = await field.join("a"), await field.join("b")
        await one.drain()
        await settle()
        assert two.held == [0, 1, 2, 3]


async def test_a_replica_that_lost_the_broker_comes_back_to_a_share() -> None:
    async with playing() as field:
        one, two = await field.join("a"), await field.join("b")
        one.connection.break_connection()
        await field.clock.advance(TAKEOVER_S)
        assert (one.held, two.held) == ([], [0, 1, 2, 3])
        one.connection.restore()
        await field.clock.advance(TAKEOVER_S)
        assert (one.held, two.held) == ([0, 2], [1, 3])


async def test_a_shard_that_comes_back_is_opened_anew() -> None:
    """What was remembered of it is forgotten by `on_open`: others may have written meanwhile."""
    async with playing() as field:
        one, two = await field.join("a"), await field.join("b")
        assert one.opened == [0, 1, 2, 3]
        await two.kill()
        await field.clock.advance(TAKEOVER_S)
        assert one.opened == [0, 1, 2, 3, 1, 3]


async def test_the_batch_in_hand_is_finished_before_its_shard_moves_and_order_is_kept() -> None:
    async with playing() as field:
        one = await field.join("a")
        one.going.clear()
        await field.put(1, "m1", "m2", "m3", "m4")
        two = await field.join("b")
        assert (one.held, two.held) == ([0, 1, 2], [1, 3])  # the broker lets only the first one have messages
        assert field.seen == []
        one.going.set()
        await settle()
        assert one.held == [0, 2]
        assert field.seen == [("a", "m1"), ("b", "m2"), ("b", "m3"), ("b", "m4")]


async def test_a_replica_whose_database_is_away_gives_up_what_it_cannot_handle() -> None:
    async with playing() as field:
        one = await field.join("a")
        one.away = True
        await field.put(1, "m1", "m2")
        await field.join("b")
        await field.clock.advance(TAKEOVER_S)
        assert one.held == [0, 2]
        assert field.seen == [("b", "m1"), ("b", "m2")]


@pytest.mark.parametrize("name", ["a", "z"])
async def test_a_replica_that_only_hears_of_itself_keeps_everything(name: str) -> None:
    async with playing() as field:
        one = await field.join(name)
        await field.clock.advance(60)
        assert one.held == [0, 1, 2, 3]
        assert one.opened == [0, 1, 2, 3]
