"""The routing table, and the split of events by gateway."""

import timeit

from delivery.fanout import Parcel, plan
from delivery.rosters import Roster, Rosters
from delivery.routing import LEASE_S, RoutingTable
from shared.envelope import Envelope
from shared.events import Handoff, TypingChanged
from shared.history_api import MemberList
from shared.ids import ConversationId, GatewayId, SessionId, UserId
from tests.fakes.clock import START, FakeClock
from tests.fakes.sessions import session

ALICE, BOB, CAROL = UserId("alice"), UserId("bob"), UserId("carol")
ONE, TWO = GatewayId("gw-1"), GatewayId("gw-2")


def gateways(table: RoutingTable, user_id: UserId) -> set[GatewayId]:
    return set(table.gateways_of(user_id))


def test_a_user_is_where_their_sessions_are() -> None:
    table = RoutingTable(clock=FakeClock())
    table.add(session("s1", "alice"))
    table.add(session("s2", "alice", gateway_id="gw-2"))
    assert gateways(table, ALICE) == {ONE, TWO}
    assert gateways(table, BOB) == set()
    assert table.sessions_of(ALICE) == {ONE: ("s1",), TWO: ("s2",)}
    assert (table.gateway_count, table.session_count) == (2, 2)


def test_a_gateway_is_named_until_the_users_last_session_there_closes() -> None:
    table = RoutingTable(clock=FakeClock())
    table.add(session("s1", "alice"))
    table.add(session("s2", "alice"))
    table.remove(ONE, SessionId("s1"))
    assert gateways(table, ALICE) == {ONE}
    table.remove(ONE, SessionId("s2"))
    assert gateways(table, ALICE) == set()
    table.remove(ONE, SessionId("s2"))  # a repeat


def test_adding_a_session_again_is_not_news() -> None:
    table = RoutingTable(clock=FakeClock())
    assert table.add(session("s1", "alice"))
    assert not table.add(session("s1", "alice"))


def test_forgetting_a_gateway_leaves_the_routes_to_others() -> None:
    table = RoutingTable(clock=FakeClock())
    table.announce(ONE, [session("s1", "alice"), session("s2", "bob")], first=True)
    table.add(session("s3", "alice", gateway_id="gw-2"))
    table.forget(ONE)
    assert gateways(table, ALICE) == {TWO}
    assert gateways(table, BOB) == set()
    assert not table.has_announced(ONE)


async def test_a_gateway_is_dropped_when_its_lease_runs_out() -> None:
    clock = FakeClock()
    table = RoutingTable(clock=clock)
    table.add(session("s1", "alice"))
    table.add(session("s2", "bob", gateway_id="gw-2"))
    await clock.advance(10)
    table.refresh(TWO, 15)
    await clock.advance(LEASE_S - 10)
    assert table.expire() == [ONE]
    assert gateways(table, ALICE) == set()
    assert gateways(table, BOB) == {TWO}


async def test_an_announcement_replaces_what_was_known_once_all_of_it_has_come() -> None:
    clock = FakeClock()
    table = RoutingTable(clock=clock)
    for number in range(3):
        table.add(session(f"s{number}", f"user-{number}"))
    await clock.advance(1)
    assert table.announce(ONE, [session("s0", "user-0")], first=True) == []
    await clock.advance(1)
    assert table.announce(ONE, [session("s1", "user-1"), session("s9", "alice")], first=False) == [
        session("s9", "alice")
    ]
    table.refresh(ONE, 60)
    table.expire()
    assert gateways(table, UserId("user-2")) == {ONE}  # no route is lost while parts may still come
    await clock.advance(LEASE_S)
    table.expire()
    assert gateways(table, UserId("user-2")) == set()
    assert [gateways(table, user) for user in (UserId("user-0"), UserId("user-1"), ALICE)] == [{ONE}] * 3


async def test_two_announcements_in_one_another_lose_nobody() -> None:
    clock = FakeClock()
    table = RoutingTable(clock=clock)
    first, second = session("s1", "alice"), session("s2", "bob")
    for part, begins in (([first], True), ([first], True), ([second], False), ([second], False)):
        await clock.advance(1)
        table.announce(ONE, part, first=begins)
    table.refresh(ONE, 60)
    await clock.advance(LEASE_S)
    table.expire()
    assert (gateways(table, ALICE), gateways(table, BOB)) == ({ONE}, {ONE})


def typing(envelope_id: str, *audience: UserId) -> Parcel:
    event = TypingChanged(conversation_id=ConversationId("c"), user_id=CAROL, name="Carol", active=True)
    envelope = Envelope(id=envelope_id, trace_id=f"trace-{envelope_id}", occurred_at=START, body=event)
    return Parcel(envelope, event, audience)


def test_each_gateway_gets_one_handoff_an_event_with_all_its_recipients() -> None:
    table = RoutingTable(clock=FakeClock())
    for item in (session("s1", "alice"), session("s2", "alice"), session("s3", "bob")):
        table.add(item)
    table.add(session("s4", "bob", gateway_id="gw-2"))
    plans = plan([typing("e1", ALICE, BOB, CAROL), typing("e2", BOB)], table)
    assert [(item.id, recipients(item)) for item in plans[ONE]] == [("e1", (ALICE, BOB)), ("e2", (BOB,))]
    assert [(item.id, recipients(item)) for item in plans[TWO]] == [("e1", (BOB,)), ("e2", (BOB,))]


def test_a_handoff_keeps_the_trace_and_the_time_of_its_event() -> None:
    table = RoutingTable(clock=FakeClock())
    table.add(session("s1", "alice"))
    (envelope,) = plan([typing("e1", ALICE)], table)[ONE]
    assert (envelope.trace_id, envelope.occurred_at, envelope.attempt) == ("trace-e1", START, 1)


def test_nothing_is_planned_for_who_is_not_there() -> None:
    assert plan([typing("e1", ALICE)], RoutingTable(clock=FakeClock())) == {}


def recipients(envelope: Envelope) -> tuple[UserId, ...]:
    assert isinstance(envelope.body, Handoff)
    return envelope.body.recipients


def test_who_is_there_is_found_at_the_cost_of_the_smaller_of_the_two_sides() -> None:
    table = RoutingTable(clock=FakeClock())
    for n in range(3):
        table.add(session(f"s{n}", f"u{n}"))
    few = frozenset({UserId("u1"), UserId("nobody")})
    many = dict.fromkeys(UserId(f"u{n}") for n in range(1, 200_000)).keys()
    assert table.among(few) == {"u1"}
    assert table.among(many) == {"u1", "u2"}
    walk = min(timeit.repeat(lambda: sum(1 for _ in many), number=1, repeat=5))
    assert min(timeit.repeat(lambda: table.among(many), number=1, repeat=5)) < walk / 100


def roster(**since: int) -> Roster:
    return Roster(MemberList(version=1, since={UserId(user): version for user, version in since.items()}), until=0)


def test_rosters_give_way_by_how_many_members_they_list() -> None:
    rosters = Rosters(max_listed=5)
    one, two, three = (ConversationId(f"room-{n}") for n in range(3))
    rosters.put(one, roster(a=0, b=0))
    rosters.put(two, roster(a=0, b=0))
    assert rosters.get(one) is not None  # used last
    rosters.put(three, roster(a=0, b=0, c=0))
    assert [rosters.get(room) is not None for room in (one, two, three)] == [True, False, True]
    rosters.put(two, roster(a=0, b=0, c=0, d=0, e=0, f=0))  # more than all may list: there is always room for one
    assert [rosters.get(room) is not None for room in (one, two, three)] == [False, True, False]
