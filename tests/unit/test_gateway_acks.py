"""Acknowledgements are merged to one a reader and conversation, and none is lost while the broker is away."""

import asyncio

import pytest

from gateway.acks import MAX_USER_WAITING, Acks
from shared.broker.topology import Topology
from shared.commands import Acknowledge, Stage
from shared.errors import BrokerUnavailable, QueueFull, WarrenError
from shared.ids import ConversationId, UserId
from tests.fakes.clock import FakeClock, settle
from tests.fakes.messages import ALICE, BOB, ROOM
from tests.fakes.publisher import FakePublisher

TOPOLOGY = Topology(shards=4)


def ack(seq: int, *, user: UserId = BOB, stage: Stage = Stage.DELIVERED, room: ConversationId = ROOM) -> Acknowledge:
    return Acknowledge(conversation_id=room, user_id=user, stage=stage, seq=seq)


def build(publisher: FakePublisher) -> Acks:
    return Acks(publisher, TOPOLOGY, clock=FakeClock(), new_id=lambda: "id")


async def test_the_highest_of_each_stage_goes_out_once() -> None:
    publisher = FakePublisher()
    acks = build(publisher)
    for one in (ack(1), ack(3), ack(2), ack(2, stage=Stage.READ), ack(1, user=ALICE)):
        acks.take(one)
    await acks.flush()
    await acks.flush()
    assert publisher.bodies == [ack(3), ack(2, stage=Stage.READ), ack(1, user=ALICE)]
    assert {route for route, _ in publisher.posted} == {TOPOLOGY.commands_route(ROOM)}


async def test_whoever_asks_hears_after_the_confirm() -> None:
    publisher = FakePublisher()
    publisher.confirms = False
    acks = build(publisher)
    heard: list[WarrenError | None] = []
    acks.take(ack(1), heard.append)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(acks.flush())
        await settle()
        assert heard == []
        publisher.confirm()
    assert heard == [None]


async def test_what_could_not_be_published_goes_with_the_next_flush_merged() -> None:
    publisher = FakePublisher()
    publisher.confirms = False
    acks = build(publisher)
    heard: list[WarrenError | None] = []
    acks.take(ack(2), heard.append)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(acks.flush())
        await settle()
        acks.take(ack(1))
        publisher.fail(BrokerUnavailable("The broker is away."))
    assert [error.code for error in heard if error] == ["unavailable"]
    publisher.confirms = True
    await acks.flush()
    assert publisher.bodies == [ack(2), ack(2)]


async def test_a_full_publisher_keeps_them_for_later() -> None:
    publisher = FakePublisher()
    publisher.full = True
    acks = build(publisher)
    acks.take(ack(1))
    await acks.flush()
    publisher.full = False
    await acks.flush()
    assert publisher.bodies == [ack(1)]


async def test_one_user_cannot_take_the_room_of_the_others() -> None:
    publisher = FakePublisher()
    acks = build(publisher)
    for n in range(MAX_USER_WAITING):
        acks.take(ack(1, room=ConversationId(f"room-{n}")))
    with pytest.raises(QueueFull):
        acks.take(ack(1))
    acks.take(ack(2, room=ConversationId("room-0")))
    acks.take(ack(1, user=ALICE))
    await acks.flush()
    assert len(publisher.bodies) == MAX_USER_WAITING + 1
    acks.take(ack(1))
