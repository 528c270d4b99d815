"""What every broker does, in memory as on RabbitMQ: the guarantees of shared/broker/api.py."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from shared.broker.api import Headers
from shared.broker.topology import DEAD, DELAY_HEADER, FAMILY_HEADER, RETRY, Route
from shared.errors import (
    BrokerUnavailable,
    Conflict,
    QueueFull,
    Unroutable,
)
from tests.contract.conftest import Names, World
from tests.contract.played_broker import DEADLINE_S, get_dead, put, take


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


async def test_who_leaves_a_queue_hands_over_what_it_has_not_answered_in_order(world: World, names: Names) -> None:
    one, other = await world.connect(), await world.connect()
    await put(one, names.work, *(b"%d" % number for number in range(1, 8)))
    async with AsyncExitStack() as later:
        async with one.consume(names.work, prefetch=4) as first:
            assert await take(first, 2) == [b"1", b"2"]
            await first.ack()
            assert await take(first, 1) == [b"3"]  # in hand, and more are on their way
            second = await later.enter_async_context(other.consume(names.work, prefetch=10))
        assert await take(second, 3) == [b"3", b"4", b"5"]
        await second.ack()
        third = await later.enter_async_context(one.consume(names.work, prefetch=10))
        assert await take(second, 2) == [b"6", b"7"]
        assert third.waiting() is None


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
