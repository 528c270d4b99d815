"""The presence service on a broker in memory: who is there, who came, who went, and which gateways are dead."""

from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from shared.events import GatewayRefreshed, GatewayStopped, SessionOpened, SessionsAnnounced, SessionsWanted
from shared.ids import GatewayId, UserId
from tests.fakes.clock import START
from tests.fakes.presence_process import GATEWAY, REFRESHED, PlayedPresence
from tests.fakes.presence_store import FakePresenceStore
from tests.fakes.running import running
from tests.fakes.sessions import closing, session

ALICE = UserId("alice")


@pytest.fixture
async def presence() -> AsyncIterator[PlayedPresence]:
    async with PlayedPresence.open() as played:
        yield played


async def test_who_comes_and_goes_is_told(presence: PlayedPresence) -> None:
    opened = session("s1", "alice")
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=opened))
        assert await presence.changes() == [("alice", "online", 1)]
        await presence.clock.advance(3)
        await presence.gateway.tell(closing(opened, presence.clock.now()))
        await presence.clock.advance(6)
        assert await presence.changes() == [("alice", "offline", 0)]
        assert await presence.last_seen_s(ALICE) == 3


async def test_a_batch_is_told_once_a_user(presence: PlayedPresence) -> None:
    first, second, passing = session("s1", "alice"), session("s2", "alice", device_id="laptop"), session("s3", "bob")
    async with running(presence.build()):
        await presence.gateway.tell(
            SessionOpened(session=first),
            SessionOpened(session=passing),
            SessionOpened(session=second),
            closing(passing, START),
        )
        assert await presence.changes() == [("alice", "online", 2)]


async def test_a_second_socket_of_the_same_device_changes_nothing(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.changes()
        await presence.gateway.tell(SessionOpened(session=session("s2", "alice")))
        await presence.gateway.tell(closing(session("s1", "alice"), START))
        assert await presence.changes() == []


async def test_a_stopped_gateway_takes_its_sessions_along(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(
            SessionOpened(session=session("s1", "alice")),
            SessionOpened(session=session("s2", "bob")),
            SessionOpened(session=session("s3", "bob", gateway_id="gw-2", device_id="laptop")),
        )
        await presence.changes()
        await presence.gateway.tell(GatewayStopped(gateway_id=GATEWAY))
        await presence.clock.advance(6)
        assert sorted(await presence.changes()) == [("alice", "offline", 0), ("bob", "online", 1)]


async def test_a_gateway_that_says_at_its_start_that_none_was_before_it_is_not_counted_as_gone(
    presence: PlayedPresence,
) -> None:
    def gone() -> float:
        return REGISTRY.get_sample_value("warren_presence_gateways_gone_total", {"why": "stopped"}) or 0

    async with running(presence.build()):
        before = gone()
        await presence.gateway.tell(GatewayStopped(gateway_id=GATEWAY))
        assert gone() == before
        await presence.gateway.tell(SessionsAnnounced(gateway_id=GATEWAY, sessions=(), first=True), REFRESHED)
        await presence.gateway.tell(GatewayStopped(gateway_id=GATEWAY))
        assert gone() == before + 1


async def test_users_of_a_killed_gateway_are_offline_within_20_s(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.live(30)
        assert await presence.changes() == [("alice", "online", 1)]
        await presence.clock.advance(15)  # the last refresh was 5 s before
        assert await presence.changes() == [("alice", "offline", 0)]
        assert await presence.last_seen_s(ALICE) == 25


async def test_a_gateway_that_refreshes_lives(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.live(120)
        assert await presence.changes() == [("alice", "online", 1)]


async def test_a_restart_takes_no_living_gateway_for_dead(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
    await presence.live(120)
    presence.store.available = False  # so that what waits in the queue is handled after the first ticks
    async with running(presence.build()):
        await presence.clock.advance(3.5)
        presence.store.available = True
        await presence.live(60)
        assert await presence.changes() == [("alice", "online", 1)]


async def test_a_gateway_that_died_while_presence_was_down_is_found_out(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(
            SessionOpened(session=session("s1", "alice", gateway_id="gw-2")),
            SessionOpened(session=session("s2", "bob")),
        )
    await presence.live(120)
    async with running(presence.build()):
        await presence.changes()
        await presence.live(25)
        assert await presence.changes() == [("alice", "offline", 0)]


async def test_after_a_silence_of_all_a_gateway_that_is_heard_last_is_not_taken_for_dead(
    presence: PlayedPresence,
) -> None:
    async with running(presence.build()):
        others = session("s2", "bob", gateway_id="gw-2")
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")), SessionOpened(session=others))
        await presence.changes()
        presence.connections[-1].break_connection()
        await presence.clock.advance(60)
        presence.connections[-1].restore()
        await presence.clock.advance(2)
        for gateway_id in ("gw-1", "gw-2"):
            await presence.gateway.tell(GatewayRefreshed(gateway_id=GatewayId(gateway_id), lease_s=15))
            await presence.clock.advance(4)
        assert await presence.changes() == []


async def test_a_store_that_was_away_takes_no_living_gateway_for_dead(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.live(30)
        presence.store.available = False
        await presence.live(60)
        await presence.clock.advance(2)  # the next tick comes before the held batch is tried again
        presence.store.available = True
        await presence.live(60)
        assert await presence.changes() == [("alice", "online", 1)]


async def test_what_happened_while_the_store_was_away_is_not_lost(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        presence.store.available = False
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        assert await presence.changes() == []
        presence.store.available = True
        await presence.clock.advance(10)
        assert await presence.changes() == [("alice", "online", 1)]


async def test_a_change_that_could_not_be_told_is_told_later(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.changes()
        presence.store.forgetful = True
        await presence.gateway.tell(GatewayStopped(gateway_id=GATEWAY))
        await presence.clock.advance(7)
        assert await presence.changes() == [("alice", "offline", 0)] * 2  # once too often, never lost
        assert (await presence.store.standings([ALICE]))[ALICE].told.status == "offline"


async def test_a_standby_leaves_leases_alone(presence: PlayedPresence) -> None:
    away = FakePresenceStore()
    await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
    async with running(presence.build()):
        assert await presence.changes() == [("alice", "online", 1)]
    away.available = False
    async with running(presence.build(store=away)), running(presence.build()):
        await presence.live(60)  # the one that reads cannot renew what it hears of
        assert await presence.changes() == []


async def test_one_that_lost_its_queue_to_another_leaves_leases_alone(presence: PlayedPresence) -> None:
    away = FakePresenceStore()
    first = presence.build()
    connection = presence.connections[-1]
    async with running(first):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.live(30)
        assert await presence.changes() == [("alice", "online", 1)]
        away.available = False
        async with running(presence.build(store=away)):
            connection.break_connection()
            connection.restore()
            await presence.live(60)
            assert await presence.changes() == []


async def test_an_unknown_gateway_is_asked_for_its_sessions_until_it_announces_them(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        for _ in range(2):
            await presence.gateway.tell(REFRESHED)
            assert len(await presence.gateway.got(SessionsWanted)) == 1
        announced = SessionsAnnounced(gateway_id=GATEWAY, sessions=(session("s1", "alice"),), first=True)
        await presence.gateway.tell(announced)
        assert await presence.changes() == [("alice", "online", 1)]
        await presence.gateway.tell(REFRESHED)
        assert await presence.gateway.got(SessionsWanted) == []
    async with running(presence.build()):  # the store remembers
        await presence.gateway.tell(REFRESHED)
        assert await presence.gateway.got(SessionsWanted) == []


async def test_a_session_that_is_not_announced_again_is_over(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(
            SessionOpened(session=session("s1", "alice")), SessionOpened(session=session("s2", "bob"))
        )
        await presence.changes()
        await presence.clock.advance(1)
        await presence.gateway.tell(
            SessionsAnnounced(gateway_id=GATEWAY, sessions=(session("s1", "alice"),), first=True)
        )
        assert await presence.changes() == []
        await presence.live(30)
        assert await presence.changes() == [("bob", "offline", 0)]
