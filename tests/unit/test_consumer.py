import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from shared.broker.api import Failures, OnOpen, Received
from shared.broker.consumer import MAX_BATCH, Consumer
from shared.broker.memory import MemoryBroker
from shared.broker.topology import Topology, queue_route
from shared.commands import SendMessage
from shared.envelope import Envelope, encode, join
from shared.errors import StoreUnavailable
from shared.ids import ConversationId, MessageId, UserId, new_id
from tests.fakes.clock import START, FakeClock, settle

TOPOLOGY = Topology(shards=1)
QUEUE = TOPOLOGY.history_commands[0]


def encoded(name: str) -> bytes:
    body = SendMessage(
        message_id=MessageId(name),
        conversation_id=ConversationId("room"),
        sender_id=UserId("alice"),
        sender_name="Alice",
        client_id=name,
    )
    return encode(Envelope(id=name, trace_id="t", occurred_at=START, body=body))


class Stage:
    """A queue in memory, a consumer of it, and a handler that waits for `going`."""

    def __init__(self, *, on_open: OnOpen | None = None, prefetch: int = 16) -> None:
        self.clock = FakeClock()
        self.broker = MemoryBroker(self.clock)
        self.batches: list[list[str]] = []
        self.going = asyncio.Event()
        self.going.set()
        self.outage = False
        self.consumer = Consumer(
            self.broker,
            QUEUE,
            {SendMessage: self._handle},
            clock=self.clock,
            new_id=new_id,
            on_open=on_open,
            prefetch=prefetch,
        )

    async def put(self, *batches: Sequence[str]) -> None:
        await self.broker.declare(TOPOLOGY)
        for batch in batches:
            await self.broker.publish(queue_route(QUEUE.name), join([encoded(name) for name in batch]))

    async def _handle(self, batch: Sequence[Received]) -> Failures:
        self.batches.append([item.envelope.id for item in batch])
        await self.going.wait()
        if self.outage:
            raise StoreUnavailable("Down.")
        return {}


@asynccontextmanager
async def running(consumer: Consumer) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consumer.run())
        await settle()
        yield
        await consumer.stop()


@asynccontextmanager
async def running_with_queue(stage: Stage) -> AsyncIterator[None]:
    await stage.broker.declare(TOPOLOGY)
    async with running(stage.consumer):
        yield


async def test_deliveries_that_wait_already_are_handled_as_one_batch() -> None:
    stage = Stage()
    await stage.put(["1", "2"], ["3"], ["4"])
    async with running(stage.consumer):
        await stage.put(["5"])
        await stage.broker.idle()
    assert stage.batches == [["1", "2", "3", "4"], ["5"]]


async def test_a_full_batch_takes_nothing_more() -> None:
    stage = Stage()
    await stage.put([str(n) for n in range(MAX_BATCH - 1)], ["a"], ["b"])
    async with running(stage.consumer):
        await stage.broker.idle()
    assert [len(batch) for batch in stage.batches] == [MAX_BATCH, 1]


async def test_stop_lets_the_batch_in_hand_finish_and_takes_no_other() -> None:
    stage = Stage(prefetch=1)
    await stage.put(["1"], ["2"])
    stage.going.clear()
    async with running(stage.consumer):
        asyncio.get_running_loop().call_soon(stage.going.set)
    assert stage.batches == [["1"]]
    assert await stage.broker.depth(QUEUE) == 1


async def test_stop_does_not_wait_for_the_end_of_an_outage() -> None:
    stage = Stage()
    stage.outage = True
    await stage.put(["1"])
    async with running(stage.consumer):
        assert stage.clock.sleepers == 1
    assert await stage.broker.depth(QUEUE) == 1


async def test_an_outage_that_begins_while_stopping_is_not_waited_out() -> None:
    stage = Stage()
    await stage.put(["1"])
    stage.going.clear()
    stage.outage = True
    async with running(stage.consumer):
        asyncio.get_running_loop().call_soon(stage.going.set)
    assert await stage.broker.depth(QUEUE) == 1


async def test_a_consumer_that_never_ran_stops_at_once() -> None:
    stage = Stage()
    await stage.consumer.stop()
    await stage.consumer.run()
    assert stage.batches == []


async def test_on_open_comes_before_the_first_delivery_and_again_until_it_succeeds() -> None:
    story: list[str] = []

    async def on_open() -> None:
        story.append(f"open after {len(stage.batches)}")
        if len(story) < 3:
            raise StoreUnavailable("Down.")

    stage = Stage(on_open=on_open)
    await stage.put(["1"])
    async with running(stage.consumer):
        assert not stage.consumer.is_open
        await stage.clock.advance(0.4)
        assert stage.consumer.is_open
        assert stage.batches == [["1"]]
    assert story == ["open after 0"] * 3
    assert not stage.consumer.is_open


async def test_a_lost_queue_is_opened_again_and_what_was_unacked_comes_again() -> None:
    stage = Stage()
    await stage.put(["1"])
    stage.going.clear()
    async with running(stage.consumer):
        stage.broker.break_connection()
        stage.going.set()
        await settle()
        assert not stage.consumer.is_open
        stage.broker.restore()
        await stage.clock.advance(10)
        assert stage.consumer.is_open
        await stage.broker.idle()
    assert stage.batches == [["1"], ["1"]]


async def test_stop_does_not_open_a_lost_queue_again() -> None:
    stage = Stage()
    await stage.put(["1"])
    stage.going.clear()
    async with running(stage.consumer):
        stage.broker.break_connection()
        asyncio.get_running_loop().call_soon(stage.going.set)
    assert stage.clock.sleepers == 0


async def test_a_bug_outside_the_handlers_ends_the_consumer() -> None:
    async def on_open() -> None:
        raise ZeroDivisionError

    stage = Stage(on_open=on_open)
    await stage.put()
    with pytest.raises(ExceptionGroup) as caught:
        await stage.consumer.run()
    assert caught.group_contains(ZeroDivisionError)


async def test_a_queue_that_is_given_up_is_left_to_others_and_opened_anew_when_it_is_taken() -> None:
    opened: list[int] = []

    async def on_open() -> None:
        opened.append(len(stage.batches))

    stage = Stage(on_open=on_open)
    async with running_with_queue(stage):
        stage.consumer.give_up()
        await settle()
        await stage.put(["1"])
        await settle()
        assert not stage.consumer.is_open
        assert await stage.broker.depth(QUEUE) == 1
        stage.consumer.take()
        await stage.broker.idle()
        assert stage.consumer.is_open
    assert stage.batches == [["1"]]
    assert opened == [0, 0]


async def test_a_queue_that_is_given_up_is_left_after_the_batch_in_hand() -> None:
    stage = Stage(prefetch=1)
    await stage.put(["1"], ["2"])
    stage.going.clear()
    async with running(stage.consumer):
        stage.consumer.give_up()
        await settle()
        assert stage.consumer.is_open
        stage.going.set()
        await settle()
        assert not stage.consumer.is_open
        assert await stage.broker.depth(QUEUE) == 1
    assert stage.batches == [["1"]]


@pytest.mark.parametrize("busy", [True, False])
async def test_a_queue_that_is_taken_back_at_once_loses_and_doubles_nothing(*, busy: bool) -> None:
    stage = Stage(prefetch=1)
    async with running_with_queue(stage):
        if busy:
            stage.going.clear()
        await stage.put(["1"], ["2"])
        await settle()
        for _ in range(3):
            stage.consumer.give_up()
            stage.consumer.take()
        stage.going.set()
        await stage.broker.idle()
    assert stage.batches == [["1"], ["2"]]


async def test_a_consumer_without_its_queue_stops_at_once() -> None:
    stage = Stage()
    async with running_with_queue(stage):
        stage.consumer.give_up()
        await settle()
    stage.consumer.take()
    assert not stage.consumer.is_open
