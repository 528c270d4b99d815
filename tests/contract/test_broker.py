"""What every broker does, in memory as on RabbitMQ: the guarantees of shared/broker/api.py, and a consumer on it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from shared.broker.api import Broker, Deliveries, Failures, Handler, Headers, Received, Refusal
from shared.broker.batching import BatchingPublisher
from shared.broker.consumer import Consumer
from shared.broker.retry import (
    ATTEMPTS_HEADER,
    DEAD_ID_HEADER,
    DIED_AT_HEADER,
    FIRST_ERROR_HEADER,
    LAST_ERROR_HEADER,
    ORIGIN_HEADER,
    REASON_HEADER,
)
from shared.broker.topology import DEAD, DELAY_HEADER, FAMILY_HEADER, RETRY, Queue, Route, queue_route
from shared.commands import Acknowledge, SendMessage, Stage
from shared.envelope import Envelope, decode_batch, encode, join
from shared.errors import (
    BrokerUnavailable,
    Conflict,
    Failed,
    NotAMember,
    QueueFull,
    StoreUnavailable,
    Unroutable,
    WarrenError,
)
from shared.ids import ConversationId, MessageId, UserId, new_id
from shared.service import Runner
from tests.contract.conftest import Names, World
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


# --- the broker alone


async def test_messages_arrive_in_order_and_an_acked_queue_is_empty(world: World, names: Names) -> None:
    broker = await world.connect()
    sent = [str(number).encode() for number in range(20)]
    await put(broker, names.work, *sent)
    async with broker.consume(names.work, prefetch=100) as deliveries:
        assert await take(deliveries, 20) == sent
        assert deliveries.waiting() is None
        await deliveries.ack()
    async with broker.consume(names.work, prefetch=100) as deliveries:
        await put(broker, names.work, b"last")
        assert await take(deliveries, 1) == [b"last"]


async def test_what_is_unacked_comes_again_in_order_when_its_consumer_is_gone(world: World, names: Names) -> None:
    broker = await world.connect()
    await put(broker, names.work, b"1", b"2", b"3", b"4")
    async with broker.consume(names.work, prefetch=100) as deliveries:
        assert await take(deliveries, 1) == [b"1"]
        await deliveries.ack()
        assert await take(deliveries, 2) == [b"2", b"3"]
    async with broker.consume(names.work, prefetch=100) as deliveries:
        async with asyncio.timeout(DEADLINE_S):
            again = await anext(deliveries)
        assert (again.body, again.redelivered) == (b"2", True)
        assert await take(deliveries, 2) == [b"3", b"4"]


async def test_no_more_than_the_prefetch_is_handed_out_unanswered(world: World, names: Names) -> None:
    broker = await world.connect()
    await put(broker, names.plain, b"1", b"2", b"3")
    async with broker.consume(names.plain, prefetch=2) as first:
        assert await take(first, 2) == [b"1", b"2"]
        assert first.waiting() is None
        async with broker.consume(names.plain, prefetch=2) as second:
            assert await take(second, 1) == [b"3"]


async def test_a_message_that_no_queue_takes_is_unroutable_if_mandatory(world: World, names: Names) -> None:
    broker = await world.connect()
    nowhere = Route(names.direct, "nowhere")
    with pytest.raises(Unroutable):
        await broker.publish(nowhere, b"x")
    await broker.publish(replace(nowhere, mandatory=False), b"x")
    await broker.publish(Route(names.direct, "plain"), b"x")  # the channel has survived
    assert await broker.depth(names.plain) == 1


async def test_a_fanout_reaches_every_queue_and_a_direct_exchange_the_one_of_the_key(
    world: World, names: Names
) -> None:
    broker = await world.connect()
    await broker.publish(Route(names.fanout), b"all")
    await broker.publish(Route(names.direct, "work"), b"one")
    async with (
        broker.consume(names.work, prefetch=10) as work,
        broker.consume(names.plain, prefetch=10) as plain,
    ):
        assert await take(work, 2) == [b"all", b"one"]
        assert await take(plain, 1) == [b"all"]
        await put(broker, names.plain, b"end")
        assert await take(plain, 1) == [b"end"]


async def test_a_full_queue_refuses_and_keeps_what_it_has(world: World, names: Names) -> None:
    broker = await world.connect()
    accepted = 0
    refused = None
    while refused is None and accepted < 50:  # RabbitMQ may take a few more than the bound before it refuses
        try:
            await put(broker, names.short, b"x")
            accepted += 1
        except QueueFull as error:
            refused = error
    assert refused is not None
    async with broker.consume(names.short, prefetch=100) as deliveries:
        assert len(await take(deliveries, accepted)) == accepted >= 3
        await deliveries.ack()


async def test_a_rung_returns_a_message_to_its_origin_after_the_delay(world: World, names: Names) -> None:
    broker = await world.connect()
    begun_at = world.clock.monotonic()
    headers: Headers = {FAMILY_HEADER: names.prefix, DELAY_HEADER: 1, "warren-first-error": "why"}
    async with broker.consume(names.work, prefetch=10) as deliveries:
        await broker.publish(Route(RETRY, names.work.name), b"later", headers=headers)
        await put(broker, names.work, b"now")
        assert await take(deliveries, 1) == [b"now"]
        await world.elapse(0.9)
        assert deliveries.waiting() is None
        await world.elapse(0.1)
        async with asyncio.timeout(DEADLINE_S):
            delivery = await anext(deliveries)
    assert (delivery.body, delivery.headers, delivery.redelivered) == (b"later", headers, False)
    assert world.clock.monotonic() - begun_at > 0.99


async def test_a_retry_without_its_rung_is_unroutable(world: World, names: Names) -> None:
    broker = await world.connect()
    with pytest.raises(Unroutable):
        await broker.publish(
            Route(RETRY, names.work.name), b"x", headers={FAMILY_HEADER: names.prefix, DELAY_HEADER: 7}
        )


async def test_ephemera_are_gone_when_their_time_is_over(world: World, names: Names) -> None:
    broker = await world.connect()
    await put(broker, names.ephemeral, b"old")
    headers: Headers = {FAMILY_HEADER: names.prefix, DELAY_HEADER: 1}
    await broker.publish(Route(RETRY, names.work.name), b"a second has passed", headers=headers)
    await world.elapse(1)
    async with broker.consume(names.work, prefetch=1) as work:
        assert await take(work, 1) == [b"a second has passed"]
    await put(broker, names.ephemeral, b"new")
    async with broker.consume(names.ephemeral, prefetch=1) as deliveries:
        assert await take(deliveries, 1) == [b"new"]


async def test_a_standby_takes_over_when_the_active_consumer_dies(world: World, names: Names) -> None:
    active, standby = await world.connect(), await world.connect()
    await put(standby, names.work, b"1", b"2")
    async with active.consume(names.work, prefetch=1) as first, standby.consume(names.work, prefetch=10) as second:
        assert await take(first, 1) == [b"1"]
        assert second.waiting() is None
        await world.kill(active)
        async with asyncio.timeout(DEADLINE_S):
            delivery = await anext(second)
        assert (delivery.body, delivery.redelivered) == (b"1", True)
        assert await take(second, 1) == [b"2"]
        with pytest.raises(BrokerUnavailable):
            await first.ack()
        with pytest.raises(BrokerUnavailable):
            await anext(first)


async def test_an_exclusive_queue_is_gone_with_its_consumer(world: World, names: Names) -> None:
    broker, other = await world.connect(), await world.connect()
    route = Route(names.direct, "own", persistent=False)
    async with broker.consume(names.own, prefetch=10) as deliveries:
        await other.publish(route, b"here")
        assert await take(deliveries, 1) == [b"here"]
    with pytest.raises(Unroutable):
        await other.publish(route, b"gone")


async def test_get_takes_one_message_which_keeps_its_place_when_put_back(world: World, names: Names) -> None:
    broker = await world.connect()
    assert await broker.get(names.dead) is None
    await broker.publish(Route(DEAD, names.prefix), b"1", headers={"reason": "x", "attempts": 3})
    await broker.publish(Route(DEAD, names.prefix), b"2")
    for expected_redelivered in (False, True):
        delivery = await broker.get(names.dead)
        assert delivery is not None
        assert (delivery.body, delivery.redelivered) == (b"1", expected_redelivered)
        assert delivery.headers == {"reason": "x", "attempts": 3}
        assert delivery.routing_key == names.prefix
        await delivery.requeue()
    assert [body for body, _ in await get_dead(broker, names)] == [b"1", b"2"]


async def test_a_queue_that_is_there_with_other_properties_is_a_conflict(world: World, names: Names) -> None:
    broker = await world.connect()
    await broker.declare(names)  # the same again is none
    with pytest.raises(Conflict) as caught:
        await broker.declare(replace(names, short_length=4))
    assert names.short.name in str(caught.value)


# --- publisher and consumer on it


async def test_each_shard_keeps_its_order_and_loses_nothing(world: World, names: Names) -> None:
    broker = await world.connect()
    publisher = BatchingPublisher(broker, clock=world.clock)
    work, plain = Recorder(), Recorder()
    consumers = [
        Consumer(broker, queue, {SendMessage: handler}, clock=world.clock, new_id=new_id)
        for queue, handler in ((names.work, work), (names.plain, plain))
    ]
    async with running(*consumers, publisher):
        for number in range(1000):
            publisher.post(Route(names.direct, "work"), command(f"w{number}"))
            publisher.post(Route(names.direct, "plain"), command(f"p{number}"))
        await work.count(1000)
        await plain.count(1000)
    assert work.ids == [f"w{number}" for number in range(1000)]
    assert plain.ids == [f"p{number}" for number in range(1000)]
    assert not any(item.repeated for item in work.seen)
    assert await broker.depth(names.work) == 0


async def test_every_item_of_a_batch_gets_what_it_deserves(world: World, names: Names) -> None:
    def fail(item: Received) -> WarrenError | None:
        match item.envelope.id:
            case "refused":
                return NotAMember("You are not in it.")
            case "second time":
                return Failed("Not yet.") if item.envelope.attempt == 1 else None
            case "never":
                return Failed(f"Attempt {item.envelope.attempt}.")
            case "bug":
                raise ValueError("oops")
        return None

    refusals: list[Refusal] = []

    async def refuse(batch: Sequence[Refusal]) -> None:
        refusals.extend(batch)

    broker = await world.connect()
    handler, receipts = Recorder(fail), Recorder()
    handlers: dict[type, Handler] = {SendMessage: handler, Acknowledge: receipts}
    consumer = Consumer(broker, names.work, handlers, clock=world.clock, new_id=new_id, refuse=refuse)
    sent = [command("good"), command("refused"), receipt("receipt"), command("second time"), command("never")]
    async with running(consumer):
        await broker.publish(queue_route(names.work.name), join([encode(envelope) for envelope in sent]))
        await handler.count(4)
        await world.elapse(1)
        await handler.count(6)
        await broker.publish(queue_route(names.work.name), join([encode(command("bug")), encode(command("last"))]))
        await handler.count(10)  # both together, then each alone
        await world.elapse(1)
        await handler.count(11)
    assert receipts.ids == ["receipt"]
    assert sorted(handler.ids[4:6]) == ["never", "second time"]
    assert handler.ids[6:] == ["bug", "last", "bug", "last", "bug"]
    assert handler.seen[4].repeated
    told = [(refusal.envelope.id, refusal.given_up) for refusal in refusals]
    assert told == [("refused", False), ("never", True), ("bug", True)]
    dead = await get_dead(broker, names)
    assert [decode_batch(body)[0][0].id for body, _ in dead] == ["never", "bug"]
    headers = dead[0][1]
    assert headers.pop(DEAD_ID_HEADER)
    assert headers.pop(DIED_AT_HEADER)
    assert headers == {
        REASON_HEADER: "transient",
        ATTEMPTS_HEADER: 2,
        FIRST_ERROR_HEADER: "Failed: Attempt 1.",
        LAST_ERROR_HEADER: "Failed: Attempt 2.",
        ORIGIN_HEADER: names.work.name,
    }
    assert dead[1][1][LAST_ERROR_HEADER] == "Failed: ValueError: oops"


async def test_poison_becomes_a_dead_letter_and_the_rest_goes_on(world: World, names: Names) -> None:
    broker = await world.connect()
    handler = Recorder()
    consumer = Consumer(broker, names.work, {SendMessage: handler}, clock=world.clock, new_id=new_id)
    unread = encode(receipt("unread"))
    async with running(consumer):
        await put(broker, names.work, b"\xff not JSON", join([b'{"id": 7}', encode(command("good")), unread]))
        await put(broker, names.work, join([encode(command("last"))]))
        await handler.count(2)
    assert handler.ids == ["good", "last"]
    dead = await get_dead(broker, names)
    assert sorted(body for body, _ in dead) == sorted([b"\xff not JSON", b'[{"id": 7}]', join([unread])])
    assert {headers[REASON_HEADER] for _, headers in dead} == {"malformed"}


async def test_an_outage_holds_the_shard_and_parks_nothing(world: World, names: Names) -> None:
    outages = iter([StoreUnavailable("Down."), StoreUnavailable("Still down.")])
    broker = await world.connect()
    handler = Recorder(lambda _: next(outages, None))
    consumer = Consumer(broker, names.work, {SendMessage: handler}, clock=world.clock, new_id=new_id)
    async with running(consumer):
        await put(broker, names.work, join([encode(command("1"))]), join([encode(command("2"))]))
        for attempt in (1, 2):
            await handler.count(attempt)
            await world.elapse(0.2)
        await handler.count(4)
    assert handler.ids in (["1", "1", "1", "2"], ["1", "2", "1", "2", "1", "2"])  # "2" may be merged with "1"
    assert {item.envelope.attempt for item in handler.seen} == {1}
    assert await get_dead(broker, names) == []


async def test_what_was_unacked_when_a_consumer_stopped_is_marked_as_repeated(world: World, names: Names) -> None:
    broker = await world.connect()
    down = Recorder(lambda _: StoreUnavailable("Down."))
    async with running(Consumer(broker, names.work, {SendMessage: down}, clock=world.clock, new_id=new_id)):
        await put(broker, names.work, join([encode(command("1"))]))
        await down.count(1)
    up = Recorder()
    async with running(Consumer(broker, names.work, {SendMessage: up}, clock=world.clock, new_id=new_id)):
        await up.count(1)
    assert up.seen[0].repeated


class Openings:
    """Counts how often queues were opened."""

    def __init__(self) -> None:
        self._number = 0
        self._changed = asyncio.Condition()

    async def __call__(self) -> None:
        async with self._changed:
            self._number += 1
            self._changed.notify_all()

    async def count(self, number: int) -> None:
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(lambda: self._number >= number)


async def test_everything_goes_on_after_the_broker_was_restarted(mortal: World, names: Names) -> None:
    broker = await mortal.connect()
    handler, openings = Recorder(), Openings()
    handlers: dict[type, Handler] = {SendMessage: handler}
    consumers = [
        Consumer(broker, queue, handlers, clock=mortal.clock, new_id=new_id, on_open=openings)
        for queue in (names.work, names.own)
    ]
    publisher = BatchingPublisher(broker, clock=mortal.clock, patience_s=60)
    await put(broker, names.plain, b"durable")
    async with running(*consumers, publisher):
        await openings.count(2)
        await publisher.publish(Route(names.direct, "work"), [command("before")])
        await handler.count(1)
        await mortal.go_down()
        with pytest.raises(BrokerUnavailable):
            await put(broker, names.plain, b"x")
        assert not broker.connected
        meanwhile = publisher.post(Route(names.direct, "work"), command("meanwhile"))
        await mortal.come_back()
        await mortal.elapse(10)
        await openings.count(4)
        await publisher.publish(Route(names.direct, "own"), [command("after")])
        await handler.count(3)
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.shield(meanwhile)
        assert await broker.depth(names.plain) == 1
    assert sorted(handler.ids) == ["after", "before", "meanwhile"]
    assert broker.connected
