"""A device that is back within five seconds was never away; a crowd that comes back is not news."""

from collections.abc import AsyncIterator

import pytest

from shared.events import GatewayStopped, SessionOpened
from tests.fakes.presence_process import GATEWAY, REFRESHED, PlayedPresence
from tests.fakes.running import running
from tests.fakes.sessions import closing, session

FIRST = session("s1", "alice")


@pytest.fixture
async def presence() -> AsyncIterator[PlayedPresence]:
    async with PlayedPresence.open() as played, running(played.build()):
        yield played


async def drop(presence: PlayedPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=FIRST))
    await presence.changes()
    await presence.gateway.tell(closing(FIRST, presence.clock.now()))


async def test_who_is_back_within_5_s_causes_no_event(presence: PlayedPresence) -> None:
    await drop(presence)
    await presence.clock.advance(4.9)
    await presence.gateway.tell(SessionOpened(session=session("s2", "alice")))
    await presence.live(60)
    assert await presence.changes() == []


async def test_a_device_with_a_made_up_id_comes_back_with_another_and_causes_no_event(
    presence: PlayedPresence,
) -> None:
    await drop(presence)
    await presence.clock.advance(3)
    await presence.gateway.tell(SessionOpened(session=session("s2", "alice", device_id="made-up")))
    await presence.live(60)
    assert await presence.changes() == []


async def test_who_stays_away_for_5_s_is_offline_within_one_more(presence: PlayedPresence) -> None:
    await drop(presence)
    await presence.clock.advance(4.9)
    assert await presence.changes() == []
    await presence.clock.advance(1.1)
    assert await presence.changes() == [("alice", "offline", 0)]


async def test_who_returns_after_the_grace_is_told_twice(presence: PlayedPresence) -> None:
    await drop(presence)
    await presence.clock.advance(6)
    await presence.gateway.tell(SessionOpened(session=session("s2", "alice")))
    assert await presence.changes() == [("alice", "offline", 0), ("alice", "online", 1)]


async def test_one_device_less_is_told_after_the_grace(presence: PlayedPresence) -> None:
    laptop = session("s2", "alice", device_id="laptop")
    await presence.gateway.tell(SessionOpened(session=FIRST), SessionOpened(session=laptop))
    await presence.gateway.tell(closing(laptop, presence.clock.now()))
    assert await presence.changes() == [("alice", "online", 2)]
    await presence.clock.advance(6)
    assert await presence.changes() == [("alice", "online", 1)]


async def test_what_happens_meanwhile_makes_no_device_forgotten(presence: PlayedPresence) -> None:
    laptop = session("s2", "alice", device_id="laptop")
    await presence.gateway.tell(SessionOpened(session=FIRST), SessionOpened(session=laptop))
    await presence.gateway.tell(closing(laptop, presence.clock.now()))
    await presence.clock.advance(2)
    await presence.gateway.tell(SessionOpened(session=session("s3", "alice")))
    assert await presence.changes() == [("alice", "online", 2)]
    await presence.clock.advance(4)
    assert await presence.changes() == [("alice", "online", 1)]


async def test_who_moves_from_a_stopping_gateway_to_another_causes_no_event(presence: PlayedPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=FIRST))
    await presence.changes()
    await presence.gateway.tell(GatewayStopped(gateway_id=GATEWAY))
    await presence.clock.advance(4)
    await presence.gateway.tell(SessionOpened(session=session("s2", "alice", gateway_id="gw-2")))
    await presence.clock.advance(10)
    assert await presence.changes() == []


async def test_nobody_is_gone_before_the_news_that_wait_are_read(presence: PlayedPresence) -> None:
    await drop(presence)
    presence.store.available = False
    await presence.gateway.tell(SessionOpened(session=session("s2", "alice")))
    await presence.clock.advance(20)
    presence.store.available = True
    await presence.clock.advance(0.5)  # the grace is over, and a tick may come before the batch is tried again
    for _ in range(4):
        await presence.gateway.tell(REFRESHED)
        await presence.clock.advance(5)
    assert await presence.changes() == []


async def test_a_thousand_reconnects_are_no_news_and_a_handful_of_writes(presence: PlayedPresence) -> None:
    sessions = [session(f"s{n}", f"user-{n}") for n in range(1000)]
    again = [session(f"t{n}", f"user-{n}", gateway_id="gw-2") for n in range(1000)]
    await presence.gateway.tell(*(SessionOpened(session=each) for each in sessions))
    assert sorted({user for user, _, _ in await presence.changes()}) == sorted(f"user-{n}" for n in range(1000))
    presence.store.writes = 0
    for start in range(0, 1000, 250):
        await presence.gateway.tell(*(closing(each, presence.clock.now()) for each in sessions[start : start + 250]))
        await presence.clock.advance(0.2)
        await presence.gateway.tell(*(SessionOpened(session=each) for each in again[start : start + 250]))
    assert await presence.changes() == []
    assert presence.store.writes <= 12  # of a batch of closings one, of one of openings two
    await presence.clock.advance(10)
    assert await presence.changes() == []
    assert presence.store.writes <= 12 + 4  # what is left of them, 500 at once


async def test_a_thousand_who_come_are_one_event_each(presence: PlayedPresence) -> None:
    crowd = [session(f"s{n}", f"user-{n % 1000}", device_id=f"device-{n // 1000}") for n in range(2000)]
    await presence.gateway.tell(*(SessionOpened(session=each) for each in crowd))
    told = [user for user, _, devices in await presence.changes() if devices == 2]
    assert len(told) == len(set(told)) == 1000
