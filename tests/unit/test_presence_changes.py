"""What a batch of session events comes to, whose presence differs, and when leases are believed."""

from datetime import timedelta

import pytest

from presence.changes import compare, fold
from presence.leases import LEASE_S, LeaseWatch
from presence.store import Connection, Sign
from shared.envelope import Body, Envelope
from shared.events import (
    GatewayRefreshed,
    GatewayStopped,
    SessionOpened,
    SessionsAnnounced,
    SessionsWanted,
)
from shared.ids import DeviceId, GatewayId, UserId
from shared.presence_api import Presence
from tests.fakes.clock import START, FakeClock
from tests.fakes.sessions import closing, session

ALICE, BOB = UserId("alice"), UserId("bob")
GATEWAY = GatewayId("gw-1")
SECOND = timedelta(seconds=1)
FIRST = session("s1", "alice")


def envelopes(*bodies: Body) -> list[Envelope]:
    return [
        Envelope(id=str(n), trace_id=str(n), occurred_at=START + n * SECOND, body=body) for n, body in enumerate(bodies)
    ]


def test_a_session_that_opened_and_closed_is_closed() -> None:
    changes = fold(envelopes(SessionOpened(session=FIRST), closing(FIRST, START)))
    assert changes.opened == {}
    assert changes.closed.keys() == {"s1"}
    assert changes.users == {ALICE}


def test_a_stopped_gateway_takes_the_sessions_before_it_along_and_not_those_after_it() -> None:
    second = session("s2", "bob")
    changes = fold(
        envelopes(SessionOpened(session=FIRST), GatewayStopped(gateway_id=GATEWAY), SessionOpened(session=second))
    )
    assert changes.opened == {"s2": second}
    assert changes.stopped == {GATEWAY: START + SECOND}
    assert changes.alive == {GATEWAY: Sign(START + 2 * SECOND, LEASE_S)}


def test_a_stopped_gateway_is_not_alive() -> None:
    changes = fold(
        envelopes(
            SessionsAnnounced(gateway_id=GATEWAY, sessions=(), first=True),
            GatewayRefreshed(gateway_id=GATEWAY, lease_s=15),
            GatewayStopped(gateway_id=GATEWAY),
        )
    )
    assert (changes.alive, changes.announced) == ({}, {})


def test_an_announcement_in_parts_begins_once() -> None:
    changes = fold(
        envelopes(
            SessionsAnnounced(gateway_id=GATEWAY, sessions=(FIRST,), first=True),
            SessionsAnnounced(gateway_id=GATEWAY, sessions=(session("s2", "bob"),)),
        )
    )
    assert changes.announced == {GATEWAY: True}
    assert changes.opened.keys() == {"s1", "s2"}


def test_a_refresh_renews_by_what_the_gateway_says_and_a_question_means_nothing() -> None:
    changes = fold(envelopes(GatewayRefreshed(gateway_id=GATEWAY, lease_s=40), SessionsWanted(replica_id="r")))
    assert changes.alive == {GATEWAY: Sign(START, 40)}
    assert not changes.users


def settled(user_id: UserId, devices: int) -> dict[UserId, Presence]:
    status = "online" if devices else "offline"
    return {user_id: Presence(user_id=user_id, status=status, last_seen=START, devices=devices)}


def connection(user_id: UserId, device_id: str, gone_after_s: int | None = None) -> Connection:
    gone_at = None if gone_after_s is None else START + gone_after_s * SECOND
    return Connection(user_id, DeviceId(device_id), gone_at)


def test_two_sessions_on_one_device_are_one_device() -> None:
    there = [connection(ALICE, "phone"), connection(ALICE, "phone"), connection(ALICE, "laptop")]
    (changed,) = compare([ALICE], there, settled(ALICE, 0), at=START + SECOND)
    assert (changed.status, changed.devices, changed.last_seen) == ("online", 2, START + SECOND)


def test_who_is_as_before_is_not_told() -> None:
    assert compare([ALICE], [connection(ALICE, "phone")], settled(ALICE, 1), at=START) == []


def test_who_is_offline_was_last_seen_when_their_gateway_last_spoke() -> None:
    gone = [connection(ALICE, "phone", 3), connection(ALICE, "laptop", 2)]
    (changed,) = compare([ALICE], gone, settled(ALICE, 2), at=START + 60 * SECOND)
    assert (changed.status, changed.devices, changed.last_seen) == ("offline", 0, START + 3 * SECOND)


def test_an_unknown_user_is_not_told_of() -> None:
    assert compare([BOB], [], {}, at=START) == []


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
