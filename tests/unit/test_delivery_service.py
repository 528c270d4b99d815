"""The delivery service on a broker in memory: it finds who is there, and keeps up with who is."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NoReturn

import pytest

from delivery.courier import Courier
from delivery.handlers import KeepRoutes
from delivery.routing import RoutingTable
from shared.broker.api import Received
from shared.broker.memory import MemoryBroker
from shared.broker.topology import SESSIONS_ROUTE, SIGNALS_ROUTE, Route, gateway_route
from shared.commands import SetStatus, SetTyping, Status
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, FailureKind, QueueFull, WarrenError
from shared.events import (
    GatewayRefreshed,
    GatewayStopped,
    Handoff,
    MessageStored,
    SessionOpened,
    SessionsAnnounced,
    SessionsRouted,
    SessionsWanted,
    TypingChanged,
)
from shared.ids import ConversationId, GatewayId, SessionId, UserId, direct_conversation_id, new_id
from tests.fakes.clock import START, FakeClock
from tests.fakes.delivery import ALICE, BOB, CAROL, ROOM, TOPOLOGY, Delivery, stored
from tests.fakes.running import PlayedGateway, running
from tests.fakes.sessions import closing, session


@pytest.fixture
async def delivery() -> Delivery:
    return await Delivery.declared()


async def seqs(gateway: PlayedGateway) -> list[int]:
    return [event.message.seq for event in await gateway.got(MessageStored)]


async def test_messages_reach_the_gateways_of_their_audience_in_order(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as one, delivery.gateway("gw-2") as two:
        await one.tell(SessionOpened(session=session("s1", "alice")), SessionOpened(session=session("s2", "bob")))
        await two.tell(SessionOpened(session=session("s3", "bob", gateway_id="gw-2")))
        await one.received()
        await two.received()
        route = TOPOLOGY.events_route(ROOM)
        await delivery.publish(route, *(stored(seq, ALICE, BOB, CAROL) for seq in (1, 2, 3)))
        handoffs = await one.got(Handoff)
        assert [handoff.recipients for handoff in handoffs] == [(ALICE, BOB)] * 3
        assert [handoff.event for handoff in handoffs] == [stored(seq) for seq in (1, 2, 3)]
        assert [handoff.recipients for handoff in await two.got(Handoff)] == [(BOB,)] * 3


async def test_a_gateway_is_told_of_every_session_it_opens(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await gateway.tell(SessionOpened(session=session("s1", "alice")))
        (routed,) = await gateway.got(SessionsRouted)
        assert routed.session_ids == ("s1",)


async def test_who_is_not_there_is_nobodys_failure(delivery: Delivery) -> None:
    async with running(delivery.build()):
        await delivery.store(1, ALICE, BOB)
        assert await delivery.left() == []


async def test_a_message_for_a_dead_gateway_finds_the_new_one_on_its_next_attempt(delivery: Delivery) -> None:
    async with running(delivery.build()):
        async with delivery.gateway("gw-1") as dying:
            await dying.tell(SessionOpened(session=session("s1", "bob")))
        await delivery.store(1, BOB)
        assert await delivery.left() == ["delivery.events.retry.1s"]
        async with delivery.gateway("gw-2") as next_one:
            await next_one.tell(SessionOpened(session=session("s2", "bob", gateway_id="gw-2")))
            assert await seqs(next_one) == []
            await delivery.clock.advance(1)
            assert await seqs(next_one) == [1]


async def test_a_message_for_a_dead_gateway_ends_as_offline(delivery: Delivery) -> None:
    async with running(delivery.build()):
        async with delivery.gateway("gw-1") as dying:
            await dying.tell(SessionOpened(session=session("s1", "bob")))
        await delivery.store(1, BOB)
        await delivery.clock.advance(1)
        assert await delivery.left() == []


async def test_one_dead_gateway_does_not_keep_a_message_from_another(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as living:
        async with delivery.gateway("gw-2") as dying:
            await living.tell(SessionOpened(session=session("s1", "alice")))
            await dying.tell(SessionOpened(session=session("s2", "bob", gateway_id="gw-2")))
        await delivery.store(1, ALICE, BOB)
        assert await seqs(living) == [1]


async def test_a_new_replica_asks_and_routes_to_what_is_announced(delivery: Delivery) -> None:
    async with delivery.gateway("gw-1") as gateway, running(delivery.build()):
        assert len(await gateway.got(SessionsWanted)) == 1
        parts = (session("s1", "alice"),), (session("s2", "bob"),)
        await gateway.tell(SessionsAnnounced(gateway_id=gateway.id, sessions=parts[0], first=True))
        await gateway.tell(SessionsAnnounced(gateway_id=gateway.id, sessions=parts[1]))
        assert [routed.session_ids for routed in await gateway.got(SessionsRouted)] == [("s1",), ("s2",)]
        await delivery.store(1, ALICE, BOB)
        assert await seqs(gateway) == [1]


async def test_a_session_announced_again_is_not_caught_up_again(delivery: Delivery) -> None:
    async with delivery.gateway("gw-1") as gateway, running(delivery.build()):
        announced = SessionsAnnounced(gateway_id=gateway.id, sessions=(session("s1", "alice"),), first=True)
        await gateway.tell(announced)
        assert len(await gateway.got(SessionsRouted)) == 1
        await gateway.tell(announced)
        assert await gateway.got(SessionsRouted) == []


async def test_a_lost_connection_is_followed_by_a_question(delivery: Delivery) -> None:
    service = delivery.build()
    async with delivery.gateway("gw-1") as gateway, running(service):
        await gateway.received()
        delivery.connection.break_connection()
        await delivery.clock.advance(10)
        assert [await check() for check in service.ready.values()] == [False, False]
        delivery.connection.restore()
        await delivery.clock.advance(10)
        assert len(await gateway.got(SessionsWanted)) == 1
        assert [await check() for check in service.ready.values()] == [True, True]


async def test_a_gateway_whose_lease_ran_out_is_asked_when_it_speaks_again(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await gateway.tell(
            SessionsAnnounced(gateway_id=gateway.id, sessions=(session("s1", "alice"),), first=True),
            GatewayRefreshed(gateway_id=gateway.id, lease_s=15),
        )
        await delivery.clock.advance(16)
        await gateway.received()
        await delivery.store(1, ALICE)
        assert await seqs(gateway) == []
        await gateway.tell(GatewayRefreshed(gateway_id=gateway.id, lease_s=15))
        assert len(await gateway.got(SessionsWanted)) == 1
        await gateway.tell(SessionsAnnounced(gateway_id=gateway.id, sessions=(session("s1", "alice"),), first=True))
        assert len(await gateway.got(SessionsRouted)) == 1
        await gateway.tell(GatewayRefreshed(gateway_id=gateway.id, lease_s=15))
        assert await gateway.got(SessionsWanted) == []


class DeafPublisher:
    """A `Publisher` whose posts fail."""

    def __init__(self, error: WarrenError) -> None:
        self._error = error

    def post(self, route: Route, envelope: Envelope) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(self._error)
        return future

    async def publish(self, route: Route, envelopes: Sequence[Envelope]) -> None:
        raise self._error


@pytest.mark.parametrize("error", [QueueFull("Full."), BrokerUnavailable("Away.")])
async def test_a_gateway_that_could_not_be_told_of_its_sessions_is_forgotten(error: WarrenError) -> None:
    """So that it is asked again, and told then: a route that it does not know of is not caught up."""
    clock = FakeClock()
    table = RoutingTable(clock=clock)
    publisher = DeafPublisher(error)
    keep_routes = KeepRoutes(
        table, Courier(publisher, table), publisher, replica_id="replica", clock=clock, new_id=new_id
    )
    announced = SessionsAnnounced(gateway_id=GatewayId("gw-1"), sessions=(session("s1", "alice"),), first=True)
    batch = [Received(Envelope(id="e1", trace_id="t1", occurred_at=START, body=announced))]
    outage = error.kind is FailureKind.OUTAGE
    with pytest.raises(BrokerUnavailable) if outage else nullcontext():
        await keep_routes(batch)
    assert not table.has_announced(GatewayId("gw-1"))
    assert table.session_count == 0


async def fill(broker: MemoryBroker, gateway_id: GatewayId) -> NoReturn:
    while True:
        await broker.publish(gateway_route(gateway_id), b"[]")


async def test_a_gateway_whose_queue_was_full_is_healed_when_it_speaks_again(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        announced = SessionsAnnounced(gateway_id=gateway.id, sessions=(session("s1", "alice"),), first=True)
        await gateway.tell(announced)
        with pytest.raises(QueueFull):
            await fill(delivery.broker, gateway.id)
        await delivery.store(1, ALICE)
        await delivery.clock.advance(2)  # the second attempt finds nobody there
        await gateway.received()
        await gateway.tell(GatewayRefreshed(gateway_id=gateway.id, lease_s=15))
        assert len(await gateway.got(SessionsWanted)) == 1
        await gateway.tell(announced)
        (routed,) = await gateway.got(SessionsRouted)
        assert routed.session_ids == ("s1",)
        assert await delivery.left() == []


async def test_one_full_queue_does_not_keep_delivery_from_starting(delivery: Delivery) -> None:
    async with delivery.gateway("gw-1") as gateway:
        with pytest.raises(QueueFull):
            await fill(delivery.broker, gateway.id)
        service = delivery.build()
        async with running(service):
            assert await service.ready["sessions"]()


async def test_refreshes_keep_the_routes(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await gateway.tell(SessionOpened(session=session("s1", "alice")))
        for _ in range(6):
            await gateway.tell(GatewayRefreshed(gateway_id=gateway.id, lease_s=15))
            await delivery.clock.advance(5)
        await delivery.store(1, ALICE)
        assert await seqs(gateway) == [1]


@pytest.mark.parametrize("how", ["closed", "stopped"])
async def test_nothing_is_sent_for_a_session_that_is_over(delivery: Delivery, how: str) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        opened = session("s1", "alice")
        await gateway.tell(SessionOpened(session=opened))
        over = closing(opened, START) if how == "closed" else GatewayStopped(gateway_id=gateway.id)
        await gateway.tell(over)
        await gateway.received()
        await delivery.store(1, ALICE)
        assert await gateway.received() == []


def typing(conversation_id: ConversationId, to: UserId | None = None) -> SetTyping:
    return SetTyping(conversation_id=conversation_id, user_id=ALICE, name="Alice", active=True, to=to)


async def test_typing_is_shown_to_the_other_members(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await gateway.tell(*(SessionOpened(session=session(f"s-{user}", user)) for user in (ALICE, BOB, CAROL)))
        delivery.history.set_room(ROOM, ALICE, BOB)
        await gateway.received()
        await delivery.publish(SIGNALS_ROUTE, typing(ROOM), typing(ROOM))
        handoffs = await gateway.got(Handoff)
        event = TypingChanged(conversation_id=ROOM, user_id=ALICE, name="Alice", active=True)
        assert handoffs == [Handoff(recipients=(BOB,), event=event)] * 2
        assert delivery.history.asked == 1


async def test_history_is_not_asked_for_members_that_a_message_has_just_named(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await gateway.tell(SessionOpened(session=session("s1", "bob")))
        await delivery.store(1, ALICE, BOB)
        await delivery.publish(SIGNALS_ROUTE, typing(ROOM))
        assert len(await gateway.got(TypingChanged)) == 1
        assert delivery.history.asked == 0
        delivery.history.set_room(ROOM, ALICE)  # bob has left since
        await delivery.clock.advance(61)
        await gateway.tell(SessionOpened(session=session("s1", "bob")))
        await delivery.publish(SIGNALS_ROUTE, typing(ROOM))
        assert await gateway.got(TypingChanged) == []


async def test_who_is_not_a_member_cannot_be_seen_typing(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await gateway.tell(SessionOpened(session=session("s1", "bob")))
        delivery.history.set_room(ROOM, BOB, CAROL)
        await delivery.publish(SIGNALS_ROUTE, typing(ROOM), typing(ConversationId("nowhere")))
        assert await gateway.got(TypingChanged) == []


async def test_a_conversation_that_is_not_there_is_looked_for_once_in_a_while(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await gateway.tell(SessionOpened(session=session("s1", "bob")))
        await delivery.publish(SIGNALS_ROUTE, typing(ROOM), typing(ROOM))
        await delivery.publish(SIGNALS_ROUTE, typing(ROOM))
        assert delivery.history.asked == 1
        delivery.history.set_room(ROOM, ALICE, BOB)
        await delivery.clock.advance(5)
        await delivery.publish(SIGNALS_ROUTE, typing(ROOM))
        assert len(await gateway.got(TypingChanged)) == 1


async def test_typing_is_seen_before_the_first_message_of_a_direct_conversation(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await gateway.tell(SessionOpened(session=session("s1", "bob")))
        await delivery.publish(SIGNALS_ROUTE, typing(direct_conversation_id(ALICE, BOB), to=BOB))
        assert len(await gateway.got(TypingChanged)) == 1
        await delivery.publish(SIGNALS_ROUTE, typing(ROOM, to=BOB))  # the id is not theirs
        assert await gateway.got(TypingChanged) == []


async def test_typing_is_dropped_while_history_is_away(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await gateway.tell(SessionOpened(session=session("s1", "bob")))
        delivery.history.available = False
        delivery.history.set_room(ROOM, ALICE, BOB)
        await delivery.publish(SIGNALS_ROUTE, typing(ROOM))
        delivery.history.available = True
        await delivery.clock.advance(10)
        assert await gateway.got(TypingChanged) == []
        await delivery.publish(SIGNALS_ROUTE, typing(ROOM))
        assert len(await gateway.got(TypingChanged)) == 1


async def test_a_change_of_status_is_no_business_of_delivery(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        status = SetStatus(user_id=ALICE, session_id=SessionId("s1"), status=Status.AWAY, at=START)
        await gateway.tell(status, SessionOpened(session=session("s1", "alice")))
        assert len(await gateway.got(SessionsRouted)) == 1
        await delivery.publish(SESSIONS_ROUTE, status)
        assert await delivery.left() == []
