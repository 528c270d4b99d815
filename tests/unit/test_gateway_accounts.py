"""Who is let in, by which name, and that a device that was signed out is shown the door."""

import asyncio
from datetime import timedelta

import pytest

from gateway.accounts import FRESH_S, Accounts
from shared.auth import Identity
from shared.broker.topology import PRESENCE_ROUTE
from shared.commands import SendMessage, SetTyping
from shared.errors import SignedOut
from shared.events import DeviceSignedOut, ProfileChanged, SessionOpened, SignOutReason
from shared.ids import DeviceId, UserId
from shared.presence_api import Account
from tests.fakes.clock import START, FakeClock, settle
from tests.fakes.edge import Edge, gateway
from tests.fakes.messages import BOB, ROOM
from tests.fakes.queries import FakePresence

PHONE = DeviceId("phone")


def out(reason: SignOutReason = SignOutReason.KICKED, *, at_s: float = 0) -> DeviceSignedOut:
    return DeviceSignedOut(user_id=BOB, device_id=PHONE, reason=reason, at=START + timedelta(seconds=at_s))


def signed_out(at_s: float = 0) -> Account:
    return Account(user_id=BOB, name="Bob", signed_out={PHONE: START + timedelta(seconds=at_s)})


def identity(*, device: DeviceId | None = PHONE, issued_s: float | None = 0, name: str = "Bob") -> Identity:
    issued_at = None if issued_s is None else START + timedelta(seconds=issued_s)
    return Identity(user_id=BOB, name=name, device_id=device, role=None, expires_at=START, issued_at=issued_at)


def accounts() -> tuple[Accounts, FakePresence, FakeClock]:
    presence, clock = FakePresence(), FakeClock()
    return Accounts(presence, clock=clock), presence, clock


async def presence_says(edge: Edge, *events: ProfileChanged | DeviceSignedOut) -> None:
    await edge.tell(*events, route=PRESENCE_ROUTE)


# --- over a socket


async def test_what_is_sent_carries_the_name_of_the_profile() -> None:
    async with gateway() as edge:
        edge.presence.accounts = {BOB: Account(user_id=BOB, name="Robert")}
        bob = await edge.connect()
        [opened] = [event for event in await edge.announced() if isinstance(event, SessionOpened)]
        bob.send_frame("send", conversation_id=ROOM, content="hi")
        [sent] = await edge.posted()
        assert isinstance(sent.body, SendMessage)
        assert (sent.body.sender_name, opened.session.name) == ("Robert", "Robert")
        assert edge.presence.asked_accounts == [("bob", "Bob")]


async def test_a_new_name_is_carried_from_then_on() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        await presence_says(edge, ProfileChanged(user_id=BOB, name="Robert"))
        bob.send_frame("send", conversation_id=ROOM, content="hi")
        bob.send_frame("typing", conversation_id=ROOM)
        [sent], [typing] = await edge.posted(), await edge.signals()
        assert isinstance(sent.body, SendMessage)
        assert isinstance(typing, SetTyping)
        assert (sent.body.sender_name, typing.name) == ("Robert", "Robert")


async def test_a_name_that_was_missed_with_the_queue_is_asked_for_anew() -> None:
    async with gateway() as edge:
        await edge.connect()
        edge.presence.accounts = {BOB: Account(user_id=BOB, name="Robert")}
        edge.broker.break_connection()
        edge.broker.restore()
        await edge.clock.advance(2)
        bob = await edge.connect()
        bob.send_frame("send", conversation_id=ROOM, content="hi")
        [sent] = await edge.posted()
        assert isinstance(sent.body, SendMessage)
        assert sent.body.sender_name == "Robert"


@pytest.mark.parametrize("hello", [False, True])
async def test_a_device_that_was_signed_out_is_not_let_in(*, hello: bool) -> None:
    async with gateway() as edge:
        edge.presence.accounts = {BOB: signed_out()}
        if hello:
            bob = edge.dial("")
            bob.send_frame("hello", frame_id="1", token=edge.token(), device={"id": PHONE})
        else:
            bob = edge.dial(f"token={edge.token(device=PHONE)}")
        assert (await bob.next_error())["code"] == "unauthenticated"
        assert await bob.closed() == 3502


async def test_a_device_that_signs_in_again_is_let_in() -> None:
    async with gateway() as edge:
        edge.presence.accounts = {BOB: signed_out()}
        await edge.clock.advance(2)
        await edge.connect(device=PHONE)


async def test_while_presence_is_away_a_token_is_enough() -> None:
    async with gateway() as edge:
        edge.presence.down = True
        bob = await edge.connect()
        bob.send_frame("send", conversation_id=ROOM, content="hi")
        [sent] = await edge.posted()
        assert isinstance(sent.body, SendMessage)
        assert sent.body.sender_name == "Bob"


@pytest.mark.parametrize(
    ("reason", "code"),
    [(SignOutReason.KICKED, 3502), (SignOutReason.REPLACED, 3503), (SignOutReason.REFUSED, 3506)],
)
async def test_signing_a_device_out_closes_its_sessions(reason: SignOutReason, code: int) -> None:
    async with gateway() as edge:
        phone, laptop = await edge.connect(device=PHONE), await edge.connect(device="laptop")
        await presence_says(edge, out(reason))
        assert await phone.closed() == code
        assert await laptop.request("ping", x=1) == {"x": 1}


async def test_a_session_that_an_old_token_opened_before_the_sign_out_was_known_ends() -> None:
    async with gateway() as edge:
        token = edge.token(device=PHONE)
        await edge.clock.advance(5)
        phone = edge.dial(f"token={token}")
        await phone.next("welcome")
        await presence_says(edge, out(at_s=1))
        assert await phone.closed() == 3502


async def test_sessions_that_were_opened_after_the_sign_out_stay() -> None:
    async with gateway() as edge:
        await edge.clock.advance(5)
        phone = await edge.connect(device=PHONE)  # by a token of this moment
        await presence_says(edge, out(at_s=1))
        assert await phone.request("ping", x=1) == {"x": 1}


async def test_a_sign_out_during_the_handshake_is_not_overlooked() -> None:
    async with gateway() as edge:
        edge.presence.gate.clear()
        phone = edge.dial(f"token={edge.token(device=PHONE)}")
        await settle()
        assert edge.presence.asked_accounts == [("bob", "Bob")]
        edge.presence.accounts = {BOB: signed_out()}
        await presence_says(edge, out())
        edge.presence.gate.set()
        assert await phone.closed() == 3502


# --- what is remembered


async def test_presence_is_asked_once_a_minute() -> None:
    known, presence, clock = accounts()
    for _ in range(2):
        await known.admit(identity(), None)
    await clock.advance(FRESH_S + 1)
    await known.admit(identity(), None)
    assert len(presence.asked_accounts) == 2


async def test_presence_is_told_at_once_of_another_name() -> None:
    known, presence, _ = accounts()
    for name, called in (("bob", "bob"), ("Bob", "Bob"), ("Bob", "Bob"), ("bob", "Bob"), ("Rob", "Rob")):
        assert (await known.admit(identity(name=name), None)).name == called
    assert presence.asked_accounts == [("bob", None), ("bob", "Bob"), ("bob", "Rob")]


async def test_a_name_that_does_not_count_is_told_once() -> None:
    known, presence, _ = accounts()
    presence.accounts = {BOB: Account(user_id=BOB, name="Robert")}
    for _ in range(3):
        assert (await known.admit(identity(name="Bob"), None)).name == "Robert"
    assert presence.asked_accounts == [("bob", "Bob")]


async def test_a_token_without_a_name_tells_none() -> None:
    known, presence, _ = accounts()
    await known.admit(identity(name=BOB), None)
    assert presence.asked_accounts == [(BOB, None)]


@pytest.mark.parametrize(("issued_s", "passes"), [(-1, False), (0, False), (1, True), (None, False)])
async def test_a_token_passes_that_is_newer_than_the_sign_out(issued_s: float | None, *, passes: bool) -> None:
    known, _, _ = accounts()
    await known.admit(identity(), None)
    known.signed_out(out())
    if passes:
        assert (await known.admit(identity(issued_s=issued_s), None)).name == "Bob"
    else:
        with pytest.raises(SignedOut):
            await known.admit(identity(issued_s=issued_s), None)


async def test_a_device_that_had_to_make_room_may_come_back() -> None:
    known, _, _ = accounts()
    await known.admit(identity(), None)
    known.signed_out(out(SignOutReason.REPLACED))
    await known.admit(identity(), None)


async def test_a_name_that_changes_while_presence_answers_is_the_new_one() -> None:
    known, presence, _ = accounts()
    presence.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        admitted = tasks.create_task(known.admit(identity(), None))
        await settle()
        known.renamed(ProfileChanged(user_id=BOB, name="Robert"))
        presence.accounts = {BOB: Account(user_id=BOB, name="Robert")}
        presence.gate.set()
        assert (await admitted).name == "Robert"
    assert len(presence.asked_accounts) == 2


async def test_presence_that_gave_no_answer_is_let_alone_for_a_moment() -> None:
    known, presence, clock = accounts()
    presence.down = True
    for _ in range(3):
        await known.admit(identity(), None)
    assert len(presence.asked_accounts) == 1
    presence.down = False
    await clock.advance(2)
    await known.admit(identity(), None)
    assert len(presence.asked_accounts) == 2


async def test_what_is_known_counts_on_while_presence_is_away() -> None:
    known, presence, clock = accounts()
    presence.accounts = {BOB: Account(user_id=BOB, name="Robert")}
    await known.admit(identity(), None)
    presence.down = True
    await clock.advance(FRESH_S + 1)
    assert (await known.admit(identity(), None)).name == "Robert"


async def test_after_events_may_have_been_missed_everyone_is_asked_for_anew() -> None:
    known, presence, _ = accounts()
    await known.admit(identity(), None)
    known.forget()
    await known.admit(identity(), None)
    assert presence.asked_accounts == [(UserId("bob"), "Bob")] * 2
