"""Who is online, how far devices have come, and accounts: what the other services ask of presence over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from shared.clock import rfc3339
from shared.commands import SetStatus, Status
from shared.errors import Conflict, Invalid
from shared.events import DeviceSignedOut, Event, ProfileChanged, SessionClosed, SessionOpened, SignOutReason
from shared.ids import DeviceId, SessionId, UserId
from shared.position import MAX_TOKEN_BYTES
from shared.presence_api import MAX_POSITIONS, DevicePosition, ProfileChange, Registration
from shared.presence_http import HttpPresence
from tests.fakes.clock import START
from tests.fakes.presence_process import PlayedPresence
from tests.fakes.sessions import closing, session

ALICE, BOB, EVE = UserId("alice"), UserId("bob"), UserId("eve")
PHONE = DeviceId("phone")
SECOND = timedelta(seconds=1)


@asynccontextmanager
async def asked() -> AsyncIterator[tuple[PlayedPresence, HttpPresence]]:
    async with PlayedPresence.open() as played, played.asked("internal") as client:
        yield played, HttpPresence(client)


def opened(user_id: str, device_id: str, second: int) -> SessionOpened:
    made = session(f"{user_id}-{device_id}", user_id, device_id=device_id, opened_at=START + second * SECOND)
    return SessionOpened(session=made)


def registration(username: str = "Bob", email: str = "bob@example.com") -> Registration:
    return Registration(username=username, email=email, full_name=f"{username} B.", password_hash="$argon2$secret")


# --- who is online


async def test_who_is_online_comes_by_the_latest_connection_on_its_device() -> None:
    async with asked() as (presence, queries):
        await presence.clock.advance(9)
        news = (opened("alice", "phone", 1), opened("bob", "web", 2), opened("alice", "web", 3), opened("eve", "tv", 4))
        await presence.gateway.tell(*news)
        here = await queries.online(limit=10)
        assert [(each.user_id, each.device.id, each.since) for each in here] == [
            ("eve", "tv", START + 4 * SECOND),
            ("alice", "web", START + 3 * SECOND),
            ("bob", "web", START + 2 * SECOND),
        ]
        assert (here[0].name, here[0].device.platform, here[0].status) == ("Eve", "android", "online")
        assert [each.user_id for each in await queries.online(limit=1)] == ["eve"]
        assert await queries.online(limit=0) == await queries.online(limit=1)


async def test_who_is_invisible_or_gone_is_not_online() -> None:
    async with asked() as (presence, queries):
        gone = opened("bob", "web", 0)
        await presence.gateway.tell(opened("alice", "phone", 0), gone, opened("eve", "tv", 0))
        await presence.gateway.tell(
            SetStatus(user_id=ALICE, session_id=SessionId("s"), status=Status.INVISIBLE, at=START)
        )
        closed: SessionClosed = closing(gone.session, START)
        await presence.gateway.tell(closed)
        assert [each.user_id for each in await queries.online(limit=10)] == ["eve"]


# --- how far devices have come


async def test_the_position_of_a_device_is_the_newest_that_was_kept() -> None:
    async with asked() as (_, queries):
        assert await queries.position(ALICE, PHONE) is None
        for since, second in (("first", 1), ("second", 2), ("late", 0), ("again", 2)):
            kept = DevicePosition(user_id=ALICE, device_id=PHONE, since=since, at=START + second * SECOND)
            await queries.keep_positions([kept])
        assert await queries.position(ALICE, PHONE) == "again"
        assert await queries.position(BOB, PHONE) is None
        await queries.keep_positions([])


@pytest.mark.parametrize(("count", "length"), [(MAX_POSITIONS + 1, 1), (1, MAX_TOKEN_BYTES + 1)])
async def test_too_many_or_too_long_positions_are_refused(count: int, length: int) -> None:
    async with PlayedPresence.open() as played, played.asked("internal") as client:
        kept = {"user_id": ALICE, "device_id": PHONE, "since": "x" * length, "at": rfc3339(START)}
        answer = await client.post("/internal/presence/keep-positions", json={"positions": [kept] * count})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")


# --- accounts


async def test_an_account_gets_the_next_free_number_and_a_profile() -> None:
    async with asked() as (_, queries):
        await queries.account(UserId("2"), "Somebody")
        first = await queries.register(registration())
        third = await queries.register(registration("Eve", "eve@example.com"))
        assert (first.user_id, third.user_id) == ("1", "3")
        profile = (await queries.profiles([first.user_id]))[first.user_id]
        assert (profile.name, profile.username, profile.created_at) == ("Bob B.", "Bob", START)
        assert [found.user_id for found in (await queries.search("bob", limit=5, cursor=None)).users] == ["1"]
        assert (await queries.account(first.user_id, "Another")).name == "Bob B."


async def test_an_account_is_found_by_username_email_and_user_whatever_the_case() -> None:
    async with asked() as (_, queries):
        made = await queries.register(registration())
        assert await queries.login("bOB") == await queries.login("BOB@example.com") == made
        assert await queries.login_of(made.user_id) == made
        assert made.password_hash == "$argon2$secret"
        assert await queries.login("nobody") is None
        assert await queries.login_of(BOB) is None


@pytest.mark.parametrize(
    ("username", "email", "field"), [("BOB", "other@example.com", "username"), ("Eve", "BOB@EXAMPLE.COM", "email")]
)
async def test_a_username_and_an_email_are_one_accounts_alone(username: str, email: str, field: str) -> None:
    async with asked() as (_, queries):
        await queries.register(registration())
        with pytest.raises(Conflict) as refused:
            await queries.register(registration(username, email))
        assert refused.value.details["field"] == field
        assert (await queries.register(registration("Eve", "eve@example.com"))).user_id == "2"


async def test_nobody_takes_anothers_address_for_a_username() -> None:
    async with asked() as (_, queries):
        with pytest.raises(Invalid):
            await queries.register(registration("bob@example.com", "eve@example.com"))


async def test_a_password_hash_is_shown_by_no_other_answer() -> None:
    async with asked() as (presence, queries):
        made = await queries.register(registration())
        assert "secret" not in repr(made) + repr(registration())
        async with presence.asked("admin") as operator:
            for path in ("/admin/online", f"/admin/users/{made.user_id}/devices"):
                assert "secret" not in (await operator.get(path)).text


async def test_who_is_erased_is_signed_out_and_shown_by_their_id() -> None:
    async with PlayedPresence.open() as presence, presence.asked("admin") as client:
        await presence.gateway.tell(opened("alice", "phone", 0))
        await presence.store.change_profile(ALICE, ProfileChange(username="ally"))
        await presence.news(SessionOpened)
        assert (await client.post(f"/admin/users/{ALICE}/erase")).status_code == 204
        told = await presence.news(Event)
        assert told == [
            ProfileChanged(user_id=ALICE, name=ALICE),
            DeviceSignedOut(user_id=ALICE, device_id=PHONE, reason=SignOutReason.KICKED, at=START),
        ]
        assert (await presence.store.profiles([ALICE]))[ALICE].username is None
        presence.store.available = False
        assert (await client.post(f"/admin/users/{ALICE}/erase")).status_code == 503
