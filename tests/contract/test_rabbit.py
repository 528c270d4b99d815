"""What only the adapter of RabbitMQ has to get right."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pydantic import SecretStr

from shared.broker.rabbit import RabbitBroker
from shared.broker.topology import Queue, QueueKind, queue_route
from shared.errors import BrokerUnavailable
from shared.ids import new_id
from shared.settings import BrokerSettings
from tests.nodes import Rabbit

DEADLINE_S = 15.0


def settings(url: str) -> BrokerSettings:
    return BrokerSettings(amqp_url=SecretStr(url), broker_timeout_s=5)


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[RabbitBroker]:
    async with RabbitBroker.open(settings(amqp_url)) as opened:
        yield opened


def own_queue() -> Queue:
    return Queue(f"test-{new_id()}", kind=QueueKind.EXCLUSIVE, family="test")


async def test_a_connection_that_the_library_gives_up_is_an_outage_and_no_cancellation(broker: RabbitBroker) -> None:
    async with broker.consume(own_queue(), prefetch=1) as deliveries, asyncio.timeout(DEADLINE_S):
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_expect_outage(anext(deliveries)))
            asking = tasks.create_task(_expect_outage(broker.depth(own_queue())))
            await asyncio.sleep(0)  # both are on their way
            assert broker._connection is not None
            assert broker._connection.transport is not None
            broker._connection.transport.connection._reader_task.cancel()  # type: ignore[attr-defined]  # a silent broker
        assert not reading.cancelled()
        assert not asking.cancelled()


async def _expect_outage(call: Awaitable[object]) -> None:
    with pytest.raises(BrokerUnavailable):
        await call


async def test_a_connection_is_waited_for_while_the_broker_starts(new_rabbit: Callable[[], Rabbit]) -> None:
    node = new_rabbit()
    node.launch()
    async with RabbitBroker.open(settings(node.url)) as broker:
        assert broker.connected


async def test_a_queue_that_was_deleted_is_an_outage_for_its_consumer(broker: RabbitBroker, amqp_url: str) -> None:
    queue = own_queue()
    async with broker.consume(queue, prefetch=1) as deliveries:
        channel = await broker._question_channel()
        await channel.queue_delete(queue.name)
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(BrokerUnavailable):
                await anext(deliveries)


async def test_large_and_empty_bodies_pass_unchanged(broker: RabbitBroker) -> None:
    queue = own_queue()
    bodies = [b"", b"x", bytes(range(256)) * 4096]  # the last one is eight frames of 128 KiB
    async with broker.consume(queue, prefetch=10) as deliveries, asyncio.timeout(DEADLINE_S):
        for body in bodies:
            await broker.publish(queue_route(queue.name), body)
        assert [(await anext(deliveries)).body for _ in bodies] == bodies
