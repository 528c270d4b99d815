"""A gateway tells of its sessions, and goes on where only some reader of them takes no more."""

import asyncio

import pytest

from gateway.announcer import Announcer
from gateway.hub import Hub
from shared.errors import BrokerUnavailable, QueueFull
from shared.events import GatewayRefreshed, GatewayStopped, SessionOpened, SessionsAnnounced
from shared.ids import GatewayId
from tests.fakes.clock import FakeClock, settle
from tests.fakes.edge import gateway
from tests.fakes.publisher import FakePublisher


def build(publisher: FakePublisher) -> Announcer:
    return Announcer(publisher, Hub(), gateway_id=GatewayId("gw-1"), clock=FakeClock(), new_id=lambda: "id")


async def test_a_reader_that_is_full_does_not_keep_the_others_from_being_told() -> None:
    publisher = FakePublisher()
    publisher.confirms = False
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(build(publisher).announce_all())
        await settle()
        publisher.fail(QueueFull("Presence is away."))
    assert publisher.bodies == [SessionsAnnounced(gateway_id=GatewayId("gw-1"), sessions=(), first=True)]


async def test_without_the_broker_nobody_is_told_and_the_queue_is_opened_again() -> None:
    publisher = FakePublisher()
    publisher.confirms = False
    asyncio.get_running_loop().call_soon(publisher.fail, BrokerUnavailable("Away."))
    with pytest.raises(BrokerUnavailable):
        await build(publisher).announce_all()


async def test_a_gateway_says_once_that_nothing_of_a_predecessor_of_its_name_is_left() -> None:
    async with gateway() as edge:
        await edge.connect()
        first = [event for event in await edge.announced() if not isinstance(event, GatewayRefreshed)]
        assert [type(event) for event in first] == [GatewayStopped, SessionsAnnounced, SessionOpened]
        edge.broker.break_connection()
        edge.broker.restore()
        await edge.clock.advance(2)
        again = [event for event in await edge.announced() if not isinstance(event, GatewayRefreshed)]
        assert [type(event) for event in again] == [SessionsAnnounced]
