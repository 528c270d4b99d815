"""What a batch of session events comes to, whose presence differs, and when leases are believed."""

from datetime import datetime, timedelta

import pytest

from presence.changes import compare, fold, told
from presence.leases import LEASE_S, LeaseWatch
from presence.store import Changes, Connection, Sign, Standing
from shared.commands import SetStatus, Status
from shared.envelope import Body, Envelope
from shared.events import (
    GatewayRefreshed,
    GatewayStopped,
    SessionOpened,
    SessionsAnnounced,
    SessionsWanted,
)
from shared.ids import DeviceId, GatewayId, SessionId, UserId
from shared.presence_api import Presence
from tests.fakes.clock import START, FakeClock
from tests.fakes.sessions import closing, session

ALICE, BOB = UserId("alice"), UserId("bob")
GATEWAY = GatewayId("gw-1")
SECOND = timedelta(seconds=1)
FIRST = session("s1", "alice")


NOW = START + timedelta(hours=1)


def folded(*bodies: Body, now: datetime = NOW) -> Changes:
    return fold(envelopes(*bodies), now=now)


def envelopes(*bodies: Body) -> list[Envelope]:
    return [
        Envelope(id=str(n), trace_id=str(n), occurred_at=START + n * SECOND, body=body) for n, body in enumerate(bodies)
    ]


def test_a_session_that_opened_and_closed_is_closed() -> None:
    changes = folded(SessionOpened(session=FIRST), closing(FIRST, START))
    assert changes.opened == {}
    assert changes.closed.keys() == {"s1"}
    assert changes.arrived == frozenset()


def test_a_stopped_gateway_takes_the_sessions_before_it_along_and_not_those_after_it() -> None:
    second = session("s2", "bob")
    changes = folded(SessionOpened(session=FIRST), GatewayStopped(gateway_id=GATEWAY), SessionOpened(session=second))
    assert changes.opened == {"s2": second}
    assert changes.stopped == {GATEWAY: START + SECOND}
    assert changes.alive == {GATEWAY: Sign(START + 2 * SECOND, LEASE_S)}


def test_a_stopped_gateway_is_not_alive() -> None:
    changes = folded(
        SessionsAnnounced(gateway_id=GATEWAY, sessions=(), first=True),
        GatewayRefreshed(gateway_id=GATEWAY, lease_s=15),
        GatewayStopped(gateway_id=GATEWAY),
    )
    assert (changes.alive, changes.announced) == ({}, {})


def test_an_announcement_in_parts_begins_once() -> None:
    changes = folded(
        SessionsAnnounced(gateway_id=GATEWAY, sessions=(FIRST,), first=True),
        SessionsAnnounced(gateway_id=GATEWAY, sessions=(session("s2", "bob"),)),
    )
    assert changes.announced == {GATEWAY: True}
    assert changes.opened.keys() == {"s1", "s2"}


def test_a_refresh_renews_by_what_the_gateway_says_and_a_question_means_nothing() -> None:
    changes = folded(GatewayRefreshed(gateway_id=GATEWAY, lease_s=40), SessionsWanted(replica_id="r"))
    assert changes.alive == {GATEWAY: Sign(START, 40)}
    assert not changes.arrived


def test_of_what_a_user_chose_the_last_stands() -> None:
    said = [
        SetStatus(user_id=ALICE, session_id=SessionId("s1"), status=status, at=START + seconds * SECOND)
        for status, seconds in ((Status.AWAY, 0), (Status.DND, 2), (Status.ONLINE, 1))
    ]
    assert folded(*said).statuses == {ALICE: said[1]}


def test_what_a_clock_ahead_of_ours_says_happened_now() -> None:
    changes = folded(
        closing(FIRST, START + 60 * SECOND),
        GatewayRefreshed(gateway_id=GatewayId("gw-2"), lease_s=15),
        GatewayStopped(gateway_id=GATEWAY),
        now=START,
    )
    assert changes.closed[FIRST.id].at == changes.stopped[GATEWAY] == changes.alive[GatewayId("gw-2")].at == START


def standing(devices: int, chosen: Status = Status.ONLINE, text: str = "", shown: str | None = None) -> Standing:
    status = shown or ("online" if devices else "offline")
    visible = status != "offline"
    presence = Presence(user_id=ALICE, status=status, last_seen=START, devices=devices if visible else 0)
    return Standing(presence, devices=devices, chosen=chosen, text=text)


def connection(device_id: str, gone_after_s: int | None = None) -> Connection:
    gone_at = None if gone_after_s is None else START + gone_after_s * SECOND
    return Connection(ALICE, DeviceId(device_id), START, gone_at)


def settle(before: Standing, *connections: Connection, after_s: int = 60) -> Standing | None:
    """Give the standing with these connections, 5 s being the grace; None if it is as before."""
    at = START + after_s * SECOND
    changed = compare([ALICE], connections, {ALICE: before}, at=at, gone_until=at - 5 * SECOND)
    return changed[0] if changed else None


def news(before: Standing, *connections: Connection, after_s: int = 60) -> tuple[str, int, str, datetime] | None:
    """Give what others are told: status, devices, text, last seen."""
    after = settle(before, *connections, after_s=after_s)
    change = told(before, after) if after else None
    return (change.status, change.devices, change.text, change.last_seen) if change else None


def test_two_sessions_on_one_device_are_one_device() -> None:
    there = [connection("phone"), connection("phone"), connection("laptop")]
    assert news(standing(0), *there, after_s=1) == ("online", 2, "", START + SECOND)


def test_who_is_as_before_is_not_told() -> None:
    assert settle(standing(1), connection("phone")) is None


def test_who_is_offline_was_last_seen_when_their_gateway_last_spoke() -> None:
    gone = [connection("phone", 3), connection("laptop", 2)]
    assert news(standing(2), *gone) == ("offline", 0, "", START + 3 * SECOND)


@pytest.mark.parametrize(
    ("before", "connections", "devices"),
    [
        (1, [connection("phone", 57)], 1),
        (1, [connection("phone", 55)], 0),
        (2, [connection("phone", 57), connection("laptop")], 2),
        (2, [connection("phone", 55), connection("laptop")], 1),
        (1, [connection("made-up-1", 57), connection("made-up-2")], 1),
        (1, [connection("phone", 57), connection("laptop")], 1),
        (1, [connection("phone", 57), connection("laptop"), connection("tablet")], 2),
        (0, [connection("phone", 57)], 0),
    ],
)
def test_a_device_that_may_come_back_keeps_its_place(before: int, connections: list[Connection], devices: int) -> None:
    after = settle(standing(before), *connections) or standing(before)
    assert after.devices == devices


@pytest.mark.parametrize("chosen", [Status.AWAY, Status.DND])
def test_a_connected_user_is_seen_as_they_chose(chosen: Status) -> None:
    assert news(standing(0, chosen, "Lunch"), connection("phone")) == (chosen, 1, "Lunch", START + 60 * SECOND)


def test_a_text_is_not_shown_of_those_who_are_not_there() -> None:
    before = standing(1, Status.AWAY, "Lunch", shown="away")
    assert news(before, connection("phone", 3)) == ("offline", 0, "", START + 3 * SECOND)


def test_who_turns_invisible_looks_like_one_who_has_gone() -> None:
    before = standing(1, shown="online")
    turned = standing(1, Status.INVISIBLE, shown="online")
    assert news(turned, connection("phone")) == news(before, connection("phone", 55))


def test_an_invisible_user_comes_and_goes_without_a_word() -> None:
    away = standing(0, Status.INVISIBLE, "Hidden")
    here = settle(away, connection("phone"))
    assert here == standing(1, Status.INVISIBLE, "Hidden", shown="offline")
    assert told(away, here) is None
    gone = settle(here, connection("phone", 3))
    assert gone == away
    assert told(here, gone) is None


def test_what_the_user_chose_goes_along_for_their_own_devices() -> None:
    before = standing(1, Status.INVISIBLE, shown="online")
    after = settle(before, connection("phone"))
    assert after is not None
    change = told(before, after)
    assert change is not None
    assert change.chosen == "invisible"


def test_an_unknown_user_is_not_told_of() -> None:
    assert compare([BOB], [], {}, at=START, gone_until=START) == []


async def test_a_lease_is_believed_after_one_lease_of_punctual_work() -> None:
    clock = FakeClock()
    watch = LeaseWatch(clock=clock)
    await clock.advance(LEASE_S)
    assert not watch.trusted  # a standby handles nothing and believes nothing
    handle(watch, clock)
    await clock.advance(LEASE_S - 1)
    handle(watch, clock)
    assert not watch.trusted
    await clock.advance(1)
    assert watch.trusted


@pytest.mark.parametrize("what", ["late", "failed", "reopened"])
async def test_work_that_is_not_punctual_starts_the_count_anew(what: str) -> None:
    clock = FakeClock()
    watch = LeaseWatch(clock=clock)
    handle(watch, clock)
    await clock.advance(LEASE_S)
    assert watch.trusted
    match what:
        case "late":
            handle(watch, clock, late_s=6)
        case "failed":
            with pytest.raises(ZeroDivisionError), watch.handling(clock.now()):
                raise ZeroDivisionError
        case _:
            await watch.reset()
    assert not watch.trusted
    handle(watch, clock)
    await clock.advance(LEASE_S - 1)
    assert not watch.trusted
    await clock.advance(1)
    assert watch.trusted


def handle(watch: LeaseWatch, clock: FakeClock, *, late_s: int = 0) -> None:
    with watch.handling(clock.now() - late_s * SECOND):
        pass
