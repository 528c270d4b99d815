"""Which devices a user has, who is signed out, and who is one too many."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from presence.limits import DeviceLimit, DevicePolicy
from presence.store import Connection
from shared.errors import NotFound
from shared.events import DeviceSignedOut, Session, SessionOpened, SessionsAnnounced, SignOutReason
from shared.ids import DeviceId, UserId
from shared.presence_http import HttpPresence
from tests.fakes.clock import START
from tests.fakes.presence_process import GATEWAY, PlayedPresence
from tests.fakes.running import running
from tests.fakes.sessions import closing, session

ALICE, BOB = UserId("alice"), UserId("bob")
PHONE = DeviceId("phone")
SECOND = timedelta(seconds=1)


@pytest.fixture
async def presence() -> AsyncIterator[PlayedPresence]:
    async with PlayedPresence.open() as played:
        yield played


@pytest.fixture
async def queries(presence: PlayedPresence) -> AsyncIterator[HttpPresence]:
    async with presence.asked("internal") as client:
        yield HttpPresence(client)


def kicked(at: datetime) -> DeviceSignedOut:
    return DeviceSignedOut(user_id=ALICE, device_id=PHONE, reason=SignOutReason.KICKED, at=at)


async def test_devices_are_listed_last_seen_first(presence: PlayedPresence, queries: HttpPresence) -> None:
    phone = session("s1", "alice")
    laptop = session("s2", "alice", device_id="laptop", opened_at=START + SECOND)
    await presence.gateway.tell(SessionOpened(session=phone), SessionOpened(session=laptop))
    await presence.clock.advance(2)
    await presence.gateway.tell(closing(phone, START + 2 * SECOND))
    first, second = await queries.devices(ALICE)
    assert (first.info, first.online, first.last_seen) == (phone.device, False, START + 2 * SECOND)
    assert (second.info, second.online, second.signed_out_at) == (laptop.device, True, None)
    assert await queries.devices(BOB) == ()


async def test_a_device_that_is_signed_out_is_told_and_kept(presence: PlayedPresence, queries: HttpPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
    await presence.clock.advance(3)
    await queries.sign_out(ALICE, PHONE)
    at = START + 3 * SECOND
    assert await presence.news(DeviceSignedOut) == [kicked(at)]
    assert (await queries.account(ALICE, "Alice")).signed_out == {PHONE: at}
    assert (await queries.devices(ALICE))[0].signed_out_at == at


async def test_an_unknown_device_cannot_be_signed_out(presence: PlayedPresence, queries: HttpPresence) -> None:
    await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
    with pytest.raises(NotFound):
        await queries.sign_out(BOB, PHONE)
    assert await presence.news(DeviceSignedOut) == []


async def test_a_session_from_before_the_sign_out_that_is_heard_of_late_is_told_to_its_gateway(
    presence: PlayedPresence, queries: HttpPresence
) -> None:
    await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
    await presence.clock.advance(3)
    await queries.sign_out(ALICE, PHONE)
    await presence.gateway.received()
    late = session("s2", "alice", opened_at=START + 2 * SECOND)
    await presence.gateway.tell(SessionOpened(session=late))
    await presence.gateway.tell(SessionsAnnounced(gateway_id=GATEWAY, sessions=(late,)))
    assert await presence.gateway.got(DeviceSignedOut) == [kicked(START + 3 * SECOND)] * 2


async def test_a_session_that_opens_after_the_sign_out_is_told_with_its_time_for_its_token_may_be_older(
    presence: PlayedPresence, queries: HttpPresence
) -> None:
    await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
    await presence.clock.advance(3)
    await queries.sign_out(ALICE, PHONE)
    await presence.gateway.received()
    again = session("s2", "alice", opened_at=START + 4 * SECOND)
    others = session("s3", "bob")
    await presence.gateway.tell(SessionOpened(session=again), SessionOpened(session=others))
    assert await presence.gateway.got(DeviceSignedOut) == [kicked(START + 3 * SECOND)]


async def test_operators_sign_a_device_out(presence: PlayedPresence) -> None:
    async with presence.asked("admin") as client:
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.gateway.received()
        assert (await client.delete("/admin/users/alice/devices/phone")).status_code == 204
        assert await presence.gateway.got(DeviceSignedOut) == [kicked(START)]
        missing = await client.delete("/admin/users/alice/devices/other")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def crowd(count: int) -> list[Session]:
    return [session(f"s{n}", "alice", device_id=f"d{n}", opened_at=START + n * SECOND) for n in range(count)]


@pytest.mark.parametrize(
    ("policy", "leaving", "reason"),
    [("replace", "d0", SignOutReason.REPLACED), ("refuse", "d2", SignOutReason.REFUSED)],
)
async def test_one_device_too_many_is_told(
    presence: PlayedPresence, policy: str, leaving: str, reason: SignOutReason
) -> None:
    service = presence.build(WARREN_PRESENCE_MAX_DEVICES="2", WARREN_PRESENCE_DEVICE_POLICY=policy)
    async with running(service):
        first, second, third = crowd(3)
        await presence.gateway.tell(SessionOpened(session=first), SessionOpened(session=second))
        assert await presence.news(DeviceSignedOut) == []
        await presence.gateway.tell(SessionOpened(session=third))
        (out,) = await presence.news(DeviceSignedOut)
        opened = {each.device.id: each.opened_at for each in (first, third)}
        assert (out.device_id, out.reason, out.at) == (leaving, reason, opened[DeviceId(leaving)])


async def test_ten_devices_are_the_limit_and_each_user_has_their_own(presence: PlayedPresence) -> None:
    async with running(presence.build()):
        others = SessionOpened(session=session("other", "bob"))
        await presence.gateway.tell(*(SessionOpened(session=each) for each in crowd(10)), others)
        assert await presence.news(DeviceSignedOut) == []
        await presence.gateway.tell(SessionOpened(session=crowd(11)[10]))
        assert [out.device_id for out in await presence.news(DeviceSignedOut)] == ["d0"]


async def test_a_device_that_left_makes_room_at_once(presence: PlayedPresence) -> None:
    async with running(presence.build(WARREN_PRESENCE_MAX_DEVICES="1")):
        first, second = crowd(2)
        await presence.gateway.tell(SessionOpened(session=first))
        await presence.gateway.tell(closing(first, START))
        await presence.gateway.tell(SessionOpened(session=second))
        assert await presence.news(DeviceSignedOut) == []


def connection(device_id: str, opened_s: int, *, gone: bool = False) -> Connection:
    return Connection(ALICE, DeviceId(device_id), START + opened_s * SECOND, START if gone else None)


TWO_SOCKETS = [connection("a", 0), connection("b", 1), connection("a", 2), connection("c", 3)]


@pytest.mark.parametrize(
    ("policy", "connections", "leaving"),
    [
        (DevicePolicy.REPLACE, TWO_SOCKETS, [("b", 1)]),  # a connected once more, after it
        (DevicePolicy.REFUSE, TWO_SOCKETS, [("c", 3)]),
        (DevicePolicy.REFUSE, [*TWO_SOCKETS, connection("d", 4)], [("c", 3), ("d", 4)]),
        (DevicePolicy.REPLACE, [*TWO_SOCKETS, connection("d", 4)], [("b", 1), ("a", 2)]),
        (DevicePolicy.REPLACE, [connection("a", 0, gone=True), connection("b", 1), connection("c", 2)], []),
        (DevicePolicy.REPLACE, [connection("a", 0), connection("a", 1), connection("a", 2)], []),
    ],
)
def test_who_must_go_is_told_with_the_last_of_their_sessions(
    policy: DevicePolicy, connections: list[Connection], leaving: list[tuple[str, int]]
) -> None:
    out = DeviceLimit(2, policy).exceeded([ALICE], connections)
    assert [(each.device_id, each.at) for each in out] == [(device, START + at * SECOND) for device, at in leaving]


def test_whoever_opened_nothing_is_not_counted() -> None:
    assert DeviceLimit(1, DevicePolicy.REPLACE).exceeded([BOB], TWO_SOCKETS) == []
