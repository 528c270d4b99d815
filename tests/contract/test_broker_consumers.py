"""The publisher and the consumer on both brokers: order, batches of mixed outcome, outages, restarts."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.broker.api import Handler, Received, Refusal
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
from shared.broker.topology import Route, queue_route
from shared.commands import Acknowledge, SendMessage
from shared.envelope import decode_batch, encode, join
from shared.errors import (
    BrokerUnavailable,
    Failed,
    NotAMember,
    StoreUnavailable,
    WarrenError,
)
from shared.ids import new_id
from tests.contract.conftest import Names, World
from tests.contract.played_broker import DEADLINE_S, Recorder, command, get_dead, put, receipt, running


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
    # "2" may be merged with "1": then it meets the second outage.
    assert handler.ids in (["1", "1", "1", "2"], ["1", "2", "1", "2"])
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
