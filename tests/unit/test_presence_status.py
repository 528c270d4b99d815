"""What a user chose to be seen as: on all devices, until they choose again."""

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from presence.handlers import GRACE
from shared.commands import SetStatus, Status
from shared.events import PresenceChanged, Session, SessionOpened
from shared.ids import UserId
from shared.presence_http import HttpPresence
from tests.fakes.clock import START
from tests.fakes.presence_process import PlayedPresence
from tests.fakes.running import running
from tests.fakes.sessions import closing, session

ALICE = UserId("alice")
FIRST = session("s1", "alice")


@pytest.fixture
async def presence() -> AsyncIterator[PlayedPresence]:
    async with PlayedPresence.open() as played, running(played.build()):
        yield played


def choose(status: Status, text: str = "", *, by: Session = FIRST, at: datetime = START) -> SetStatus:
    return SetStatus(user_id=by.user_id, session_id=by.id, status=status, text=text, at=at)


async def test_a_status_is_told_with_its_text(presence: PlayedPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=FIRST))
    await presence.changes()
    await presence.gateway.tell(choose(Status.DND, "In a meeting"))
    (change,) = await presence.news(PresenceChanged)
    assert (change.status, change.chosen, change.text, change.devices) == ("dnd", "dnd", "In a meeting", 1)


async def test_the_same_status_again_is_no_news(presence: PlayedPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=FIRST))
    await presence.gateway.tell(choose(Status.AWAY))
    await presence.changes()
    await presence.gateway.tell(choose(Status.AWAY))
    assert await presence.changes() == []


async def test_a_status_outlasts_the_session_and_the_process(presence: PlayedPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=FIRST), choose(Status.AWAY, "Lunch"))
    await presence.gateway.tell(closing(FIRST, START))
    await presence.clock.advance(6)
    assert await presence.changes() == [("alice", "away", 1), ("alice", "offline", 0)]
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s2", "alice", device_id="laptop")))
        (change,) = await presence.news(PresenceChanged)
        assert (change.status, change.text) == ("away", "Lunch")


async def test_who_turns_invisible_is_offline_to_others_and_invisible_to_themself(presence: PlayedPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=FIRST))
    await presence.changes()
    await presence.clock.advance(9)
    await presence.gateway.tell(choose(Status.INVISIBLE, "Hidden"))
    (change,) = await presence.news(PresenceChanged)
    assert (change.status, change.chosen, change.text, change.devices) == ("offline", "invisible", "", 0)
    assert change.last_seen == presence.clock.now() - GRACE
    await presence.clock.advance(9)
    async with presence.asked("internal") as client:
        seen = (await HttpPresence(client).presence_of([ALICE]))[ALICE]
    assert (seen.status, seen.devices, seen.last_seen) == ("offline", 0, change.last_seen)


async def test_an_invisible_user_comes_and_goes_without_a_word(presence: PlayedPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=FIRST), choose(Status.INVISIBLE))
    await presence.gateway.tell(SessionOpened(session=session("s2", "alice", device_id="laptop")))
    await presence.gateway.tell(closing(FIRST, START))
    await presence.clock.advance(30)
    await presence.gateway.tell(closing(session("s2", "alice", device_id="laptop"), presence.clock.now()))
    await presence.clock.advance(30)
    assert await presence.changes() == []


async def test_who_stops_being_invisible_is_online(presence: PlayedPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=FIRST), choose(Status.INVISIBLE))
    await presence.gateway.tell(choose(Status.ONLINE))
    assert await presence.changes() == [("alice", "online", 1)]


async def test_what_was_said_before_the_last_word_comes_too_late(presence: PlayedPresence) -> None:
    await presence.clock.advance(10)
    await presence.gateway.tell(SessionOpened(session=FIRST), choose(Status.DND, at=presence.clock.now()))
    await presence.changes()
    await presence.gateway.tell(choose(Status.AWAY))
    assert await presence.changes() == []


async def test_a_status_of_someone_unknown_means_nothing(presence: PlayedPresence) -> None:
    await presence.gateway.tell(choose(Status.AWAY))
    assert await presence.changes() == []
    assert await presence.store.standings([ALICE]) == {}


async def test_operators_see_the_invisible(presence: PlayedPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=FIRST), choose(Status.INVISIBLE))
    async with presence.asked("admin") as client:
        (user,) = (await client.get("/admin/online")).json()["users"]
    assert (user["user_id"], user["status"], user["devices"]) == ("alice", "invisible", 1)
