"""Replicas share queues on both brokers: queues move between them in order, and each takes over a dead one's."""

import asyncio
from collections.abc import Callable
from typing import Self

from shared.broker.api import Broker
from shared.broker.batching import BatchingPublisher
from shared.broker.consumer import Consumer
from shared.broker.shares import Shares
from shared.broker.topology import queue_route
from shared.commands import SendMessage
from shared.envelope import encode, join
from shared.ids import new_id
from shared.service import Runner
from tests.contract.conftest import Names, World
from tests.contract.played_broker import DEADLINE_S, Recorder, command, running

LOOK_EVERY_S = 0.02


class Replica:
    """A process that shares two queues with others."""

    def __init__(self, world: World, names: Names, broker: Broker, name: str) -> None:
        self.broker = broker
        self.handler = Recorder()
        self._consumers = [
            Consumer(broker, queue, {SendMessage: self.handler}, clock=world.clock, new_id=new_id, prefetch=4)
            for queue in (names.work, names.more_work)
        ]
        publisher = BatchingPublisher(broker, clock=world.clock)
        shares = Shares(
            broker,
            self._consumers,
            publisher,
            family=names.prefix,
            replica_id=name,
            clock=world.clock,
            new_id=new_id,
        )
        self.runners: tuple[Runner, ...] = (shares, *self._consumers, publisher)

    @classmethod
    async def connected(cls, world: World, names: Names, name: str) -> Self:
        return cls(world, names, await world.connect(), name)

    @property
    def held(self) -> list[int]:
        return [number for number, consumer in enumerate(self._consumers) if consumer.is_open]


async def until(world: World, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await world.elapse(0.1)
            await asyncio.sleep(LOOK_EVERY_S)


class Mail:
    """Fills both queues, in order, for as long as it is asked to."""

    def __init__(self, names: Names, broker: Broker) -> None:
        self.sent = 0
        self._routes = (queue_route(names.work.name), queue_route(names.more_work.name))
        self._broker = broker

    async def send(self, number: int) -> None:
        for _ in range(number):
            for shard, route in enumerate(self._routes):
                await self._broker.publish(route, join([encode(command(f"{shard}-{self.sent:04}"))]))
            self.sent += 1

    def of(self, shard: int) -> list[str]:
        return [f"{shard}-{number:04}" for number in range(self.sent)]


async def test_queues_move_as_replicas_come_and_go_and_nothing_is_doubled_or_out_of_order(
    world: World, names: Names
) -> None:
    mail = Mail(names, await world.connect())
    one, two = await Replica.connected(world, names, "a"), await Replica.connected(world, names, "b")
    async with running(*one.runners):
        await until(world, lambda: one.held == [0, 1])
        await mail.send(20)
        async with running(*two.runners):
            await mail.send(20)
            await until(world, lambda: (one.held, two.held) == ([0], [1]))
            await mail.send(20)
            await two.handler.count(1)
        await until(world, lambda: one.held == [0, 1])
        await mail.send(20)
        await until(world, lambda: len(one.handler.ids) + len(two.handler.ids) == 2 * mail.sent)
    moved = [id_ for id_ in one.handler.ids if id_ in mail.of(1)]
    split = next(n for n, id_ in enumerate(mail.of(1)) if id_ in two.handler.ids)
    assert [id_ for id_ in one.handler.ids if id_ in mail.of(0)] == mail.of(0)
    assert moved[:split] + two.handler.ids + moved[split:] == mail.of(1)


async def test_a_dead_replicas_queues_are_taken_over_and_it_comes_back_to_a_share(world: World, names: Names) -> None:
    mail = Mail(names, await world.connect())
    one, two = await Replica.connected(world, names, "a"), await Replica.connected(world, names, "b")
    async with running(*one.runners, *two.runners):
        await until(world, lambda: (one.held, two.held) == ([0], [1]))
        await world.kill(one.broker)
        await mail.send(20)
        await until(world, lambda: two.held == [0, 1])
        await two.handler.count(2 * mail.sent)
        assert [id_ for id_ in two.handler.ids if id_ in mail.of(0)] == mail.of(0)
        three = await Replica.connected(world, names, "c")
        async with running(*three.runners):
            await until(world, lambda: (two.held, three.held) == ([0], [1]))
