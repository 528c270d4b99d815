import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.broker.api import Headers
from shared.broker.batching import MAX_BYTES, MAX_ITEMS, BatchingPublisher
from shared.broker.memory import MemoryBroker
from shared.broker.topology import COMMANDS, Route
from shared.commands import SendMessage
from shared.envelope import Envelope, decode_batch
from shared.errors import BrokerUnavailable, QueueFull, Unroutable, WarrenError
from shared.ids import ConversationId, MessageId, UserId
from tests.fakes.clock import START, FakeClock, settle

ROUTE, OTHER = Route(COMMANDS, "0"), Route(COMMANDS, "1")


def envelope(name: str, content: str = "") -> Envelope:
    body = SendMessage(
        message_id=MessageId(name),
        conversation_id=ConversationId("room"),
        sender_id=UserId("alice"),
        sender_name="Alice",
        client_id=name,
        content=content,
    )
    return Envelope(id=name, trace_id="t", occurred_at=START, body=body)


class ScriptedBroker(MemoryBroker):
    """Takes what is published, one batch at a time as the test allows, with the outcomes that the test names."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.sent: list[tuple[str, list[str]]] = []  # routing key, ids of the batch
        self.bytes: list[int] = []
        self.errors: list[WarrenError] = []  # for the next calls
        self.confirming = asyncio.Event()
        self.confirming.set()
        self.stuck_key: str | None = None

    async def publish(self, route: Route, body: bytes, *, headers: Headers | None = None) -> None:
        self.sent.append((route.key, [one.id for one in decode_batch(body)[0]]))
        self.bytes.append(len(body))
        await self.confirming.wait()
        if route.key == self.stuck_key:
            await asyncio.Event().wait()
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def broker(clock: FakeClock) -> ScriptedBroker:
    return ScriptedBroker(clock)


@asynccontextmanager
async def running(publisher: BatchingPublisher) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher.run())
        await settle()
        yield
        await publisher.stop()


async def test_an_idle_publisher_sends_at_once(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock)
    async with running(publisher):
        done = publisher.post(ROUTE, envelope("1"))
        await settle()
        assert broker.sent == [("0", ["1"])]
        assert done.result() is None


async def test_what_comes_while_a_batch_is_on_its_way_goes_together_and_in_order(
    broker: ScriptedBroker, clock: FakeClock
) -> None:
    publisher = BatchingPublisher(broker, clock=clock)
    async with running(publisher):
        broker.confirming.clear()
        first = publisher.post(ROUTE, envelope("1"))
        await settle()
        rest = [publisher.post(ROUTE, envelope(name)) for name in ("2", "3", "4")]
        await settle()
        assert broker.sent == [("0", ["1"])]
        assert not first.done()
        broker.confirming.set()
        await settle()
        assert broker.sent == [("0", ["1"]), ("0", ["2", "3", "4"])]
        assert len(set(rest)) == 1
        assert rest[0].done()


async def test_a_batch_is_bounded_in_items_and_bytes(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock)
    for number in range(MAX_ITEMS + 1):
        publisher.post(ROUTE, envelope(str(number)))
    for number in range(3):
        publisher.post(OTHER, envelope(str(number), content="x" * (MAX_BYTES // 2)))
    publisher.post(OTHER, envelope("huge", content="x" * MAX_BYTES))
    async with running(publisher):
        pass
    assert [len(ids) for key, ids in broker.sent if key == "0"] == [MAX_ITEMS, 1]
    assert [ids for key, ids in broker.sent if key == "1"] == [["0"], ["1"], ["2"], ["huge"]]


async def test_a_route_that_hangs_does_not_hold_up_the_others(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock)
    broker.stuck_key = "0"
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(publisher.run())
        stuck = publisher.post(ROUTE, envelope("1"))
        await publisher.publish(OTHER, [envelope("2")])
        assert not stuck.done()
        run.cancel()
    with pytest.raises(BrokerUnavailable):
        stuck.result()


async def test_too_much_waiting_is_refused_until_some_is_confirmed(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock, max_waiting=2)
    publisher.post(ROUTE, envelope("1"))
    publisher.post(OTHER, envelope("2"))
    with pytest.raises(QueueFull):
        publisher.post(ROUTE, envelope("3"))
    async with running(publisher):
        publisher.post(ROUTE, envelope("4"))
    assert [ids for _, ids in broker.sent] == [["1"], ["2"], ["4"]]


async def test_a_failed_batch_fails_alone(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock)
    broker.errors = [BrokerUnavailable("Down."), Unroutable("Gone."), QueueFull("Full.")]
    async with running(publisher):
        for error in (BrokerUnavailable, Unroutable, QueueFull):
            with pytest.raises(error):
                await publisher.publish(ROUTE, [envelope("1"), envelope("2")])
        await publisher.publish(ROUTE, [envelope("3")])
    assert len(broker.sent) == 4  # nothing was tried twice


async def test_a_patient_publisher_sends_the_same_batch_again_and_keeps_the_order(
    broker: ScriptedBroker, clock: FakeClock
) -> None:
    publisher = BatchingPublisher(broker, clock=clock, patience_s=2)
    broker.errors = [BrokerUnavailable("Down."), BrokerUnavailable("Down.")]
    async with running(publisher):
        first = publisher.post(ROUTE, envelope("1"))
        await settle()
        second = publisher.post(ROUTE, envelope("2"))
        await clock.advance(0.4)
        assert (first.done(), second.done()) == (True, True)
    assert [ids for _, ids in broker.sent] == [["1"], ["1"], ["1"], ["2"]]


async def test_patience_ends(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock, patience_s=2)
    broker.errors = [BrokerUnavailable("Down.") for _ in range(100)]
    async with running(publisher):
        done = publisher.post(ROUTE, envelope("1"))
        await clock.advance(1.4)
        assert not done.done()
        await clock.advance(0.7)
        with pytest.raises(BrokerUnavailable):
            done.result()


async def test_a_full_queue_is_not_tried_again(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock, patience_s=60)
    broker.errors = [QueueFull("Full.")]
    async with running(publisher):
        with pytest.raises(QueueFull):
            await publisher.publish(ROUTE, [envelope("1")])


async def test_a_failure_that_nobody_awaits_is_not_complained_about(
    broker: ScriptedBroker, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = BatchingPublisher(broker, clock=clock)
    broker.errors = [Unroutable("Gone.")]
    async with running(publisher):
        publisher.post(ROUTE, envelope("1"))
        await settle()
        assert broker.errors == []
    gc.collect()
    assert caplog.records == []


async def test_stop_sends_what_waits_and_then_nothing_is_taken(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock)
    async with running(publisher):
        broker.confirming.clear()
        publisher.post(ROUTE, envelope("1"))
        await settle()
        publisher.post(ROUTE, envelope("2"))
        asyncio.get_running_loop().call_soon(broker.confirming.set)
    assert [ids for _, ids in broker.sent] == [["1"], ["2"]]
    with pytest.raises(BrokerUnavailable):
        publisher.post(ROUTE, envelope("3"))


async def test_who_gives_up_waiting_takes_nobody_elses_answer(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock)
    async with running(publisher):
        broker.confirming.clear()
        async with asyncio.TaskGroup() as tasks:
            impatient = tasks.create_task(publisher.publish(ROUTE, [envelope("1")]))
            patient = tasks.create_task(publisher.publish(ROUTE, [envelope("2")]))
            await settle()
            impatient.cancel()
            await settle()
            broker.confirming.set()
        assert impatient.cancelled()
        assert patient.result() is None
    assert broker.sent == [("0", ["1", "2"])]


async def test_a_busy_route_is_paced_and_an_idle_one_sends_at_once(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock, pace_s=0.01)
    async with running(publisher):
        publisher.post(ROUTE, envelope("1"))
        await settle()
        publisher.post(ROUTE, envelope("2"))
        publisher.post(OTHER, envelope("other"))
        publisher.post(ROUTE, envelope("3"))
        await settle()
        assert broker.sent == [("0", ["1"]), ("1", ["other"])]
        await clock.advance(0.01)
        assert broker.sent[2:] == [("0", ["2", "3"])]
        await clock.advance(0.01)
        publisher.post(ROUTE, envelope("4"))
        await settle()
        assert broker.sent[3:] == [("0", ["4"])]
        await clock.advance(0.01)


async def test_a_full_batch_does_not_wait_for_the_pace(broker: ScriptedBroker, clock: FakeClock) -> None:
    publisher = BatchingPublisher(broker, clock=clock, pace_s=0.01)
    async with running(publisher):
        for n in range(MAX_ITEMS * 2):
            publisher.post(ROUTE, envelope(str(n)))
        await settle()
        assert [len(ids) for _, ids in broker.sent] == [MAX_ITEMS, MAX_ITEMS]
        await clock.advance(0.01)
