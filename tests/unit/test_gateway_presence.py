"""Presence over a socket: choosing a status, and being told of others."""

import asyncio

import pytest

from gateway.watching import MAX_OPENED, MAX_SUBSCRIBED
from shared.broker.topology import PRESENCE_ROUTE
from shared.commands import SetStatus, Status
from shared.events import ConversationChange, PresenceChanged
from shared.history_api import MessagePage, Watermark
from shared.ids import UserId
from shared.presence_api import Presence
from tests.fakes.clock import START, settle
from tests.fakes.edge import Edge, ReadingSocket, gateway
from tests.fakes.messages import ALICE, BOB, ROOM, became, stored

HERE = Presence(user_id=ALICE, status="online", last_seen=START, devices=1)


def changed(user: UserId, status: str, *, devices: int = 1, text: str = "", chosen: str = "online") -> PresenceChanged:
    return PresenceChanged(user_id=user, status=status, last_seen=START, devices=devices, text=text, chosen=chosen)


async def tell(edge: Edge, *events: PresenceChanged) -> None:
    await edge.tell(*events, route=PRESENCE_ROUTE)


def told(socket: ReadingSocket) -> list[tuple[str, str]]:
    return [(presence["user_id"], presence["status"]) for presence in socket.unread("presence")]


async def open_room(edge: Edge, socket: ReadingSocket, room: str, *members: str) -> None:
    watermarks = tuple(Watermark(user_id=UserId(member)) for member in members)
    edge.history.page = MessagePage(messages=(), watermarks=watermarks, has_more=False)
    await socket.request("history", conversation_id=room)


async def test_a_status_goes_to_presence_and_is_answered_when_the_broker_has_it() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        await edge.announced()
        assert await bob.request("presence", status="dnd", text="in a meeting") == {}
        [command] = await edge.announced()
        assert isinstance(command, SetStatus)
        assert (command.user_id, command.status, command.text) == ("bob", Status.DND, "in a meeting")
        assert command.at == edge.clock.now()


async def test_a_status_that_cannot_be_sent_is_unavailable() -> None:
    async with gateway() as edge, asyncio.TaskGroup() as tasks:
        bob = await edge.connect()
        edge.broker.break_connection()
        refused = tasks.create_task(bob.refused("presence", status="away"))
        await edge.clock.advance(6)
        assert (await refused)["code"] == "unavailable"


async def test_a_subscription_is_answered_with_the_presence_and_followed_by_its_changes() -> None:
    async with gateway() as edge:
        edge.presence.here = {ALICE: HERE}
        bob = await edge.connect()
        reply = await bob.request("subscribe", users=["alice", "nobody"])
        assert [(one["user_id"], one["status"], one["devices"]) for one in reply["presence"]] == [
            ("alice", "online", 1),
            ("nobody", "offline", 0),
        ]
        await tell(edge, changed(ALICE, "away", text="lunch"), changed(UserId("carol"), "online"))
        assert await bob.next("presence") == {
            "user_id": "alice",
            "status": "away",
            "last_seen": "2026-01-01T12:00:00.000Z",
            "devices": 1,
            "text": "lunch",
        }
        assert told(bob) == []


async def test_after_unsubscribing_nothing_is_told() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        await bob.request("subscribe", users=["alice", "carol"])
        assert await bob.request("unsubscribe", users=["alice", "unknown"]) == {"presence": []}
        await tell(edge, changed(ALICE, "online"), changed(UserId("carol"), "online"))
        assert told(bob) == [("carol", "online")]


async def test_frames_that_do_not_wait_for_answers_take_effect_in_their_order() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        edge.presence.gate.clear()
        bob.send_frame("subscribe", users=["alice", "carol"])
        bob.send_frame("unsubscribe", users=["alice"])
        await settle()
        edge.presence.gate.set()
        await settle()
        await tell(edge, changed(ALICE, "online"), changed(UserId("carol"), "online"))
        assert told(bob) == [("carol", "online")]


async def test_more_users_than_allowed_are_refused_and_those_before_stay() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        users = [f"user-{number}" for number in range(MAX_SUBSCRIBED)]
        await bob.request("subscribe", users=users)
        await bob.request("subscribe", users=users)  # the same ones once more are no more
        assert (await bob.refused("subscribe", users=["alice"]))["code"] == "too_large"
        await tell(edge, changed(ALICE, "online"), changed(UserId("user-0"), "online"))
        assert told(bob) == [("user-0", "online")]


async def test_a_subscription_that_presence_cannot_answer_is_refused_and_none() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        edge.presence.down = True
        assert (await bob.refused("subscribe", users=["alice"]))["code"] == "unavailable"
        await tell(edge, changed(ALICE, "online"))
        assert told(bob) == []


async def test_what_changes_while_presence_is_asked_is_not_undone_by_its_answer() -> None:
    async with gateway() as edge, asyncio.TaskGroup() as tasks:
        edge.presence.here = {ALICE: HERE}
        bob = await edge.connect()
        edge.presence.gate.clear()
        asking = tasks.create_task(bob.request("subscribe", users=["alice"]))
        await settle()
        await tell(edge, changed(ALICE, "offline", devices=0))
        edge.presence.gate.set()
        assert [one["status"] for one in (await asking)["presence"]] == ["offline"]


async def test_who_opens_a_conversation_is_told_of_its_members() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        await open_room(edge, bob, "room", "alice", "bob")
        await tell(edge, changed(ALICE, "online"))
        assert told(bob) == [("alice", "online")]


async def test_opening_a_conversation_again_tells_its_changes_once() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        for _ in range(2):
            await open_room(edge, bob, "room", "alice", "bob")
        await bob.request("subscribe", users=["alice"])
        await tell(edge, changed(ALICE, "online"))
        assert told(bob) == [("alice", "online")]
        await bob.request("unsubscribe", users=["alice"])
        await tell(edge, changed(ALICE, "offline"))
        assert len(told(bob)) == 2  # she is still a member of what is open


async def test_conversations_opened_long_ago_are_forgotten() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        for number in range(MAX_OPENED + 1):
            await open_room(edge, bob, f"room-{number}", f"user-{number}")
        await tell(edge, changed(UserId("user-0"), "online"), changed(UserId("user-1"), "online"))
        assert told(bob) == [("user-1", "online")]


async def test_who_is_removed_from_a_conversation_hears_no_more_of_its_members() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        for _ in range(2):
            await open_room(edge, bob, "room", "alice", "bob")
        await edge.deliver(became(1, ConversationChange.MEMBER_REMOVED, BOB))
        await tell(edge, changed(ALICE, "online"))
        assert told(bob) == []


async def test_one_s_own_sessions_read_what_was_chosen_and_others_what_they_may_see() -> None:
    async with gateway() as edge:
        bob, other, alice = await edge.connect(), await edge.connect(), await edge.connect("alice")
        await alice.request("subscribe", users=["bob"])
        await bob.request("subscribe", users=["bob"])
        await tell(edge, changed(BOB, "offline", devices=0, chosen="invisible"))
        assert told(bob) == told(other) == [("bob", "invisible")]
        assert told(alice) == [("bob", "offline")]


async def test_presence_reaches_a_session_that_waits_for_history() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        await bob.request("subscribe", users=["alice"])
        edge.history.down = True
        await edge.deliver(stored(1), stored(3))
        await tell(edge, changed(ALICE, "online"))
        assert told(bob) == [("alice", "online")]


async def test_what_was_missed_with_the_queue_is_asked_for_and_told() -> None:
    async with gateway() as edge:
        carol = UserId("carol")
        edge.presence.here = {ALICE: HERE, carol: Presence(user_id=carol, status="away")}
        bob = await edge.connect()
        await bob.request("subscribe", users=["alice", "carol"])
        edge.presence.here = {carol: Presence(user_id=carol, status="away")}  # alice has gone
        edge.broker.break_connection()
        edge.broker.restore()
        await edge.clock.advance(2)
        assert told(bob) == [("alice", "offline")]


async def test_presence_that_is_away_is_asked_until_it_answers() -> None:
    async with gateway() as edge:
        edge.presence.here = {ALICE: HERE}
        bob = await edge.connect()
        await bob.request("subscribe", users=["alice"])
        edge.presence.here, edge.presence.down = {}, True
        edge.broker.break_connection()
        edge.broker.restore()
        await edge.clock.advance(5)
        assert told(bob) == []
        edge.presence.down = False
        await edge.clock.advance(60)
        assert told(bob) == [("alice", "offline")]


@pytest.mark.parametrize("watched", [("alice",), ()])
async def test_a_session_that_has_ended_watches_nobody(watched: tuple[str, ...]) -> None:
    async with gateway() as edge:
        edge.presence.here = {ALICE: HERE}
        for _ in range(2):
            bob = await edge.connect()
            await open_room(edge, bob, ROOM, "alice", "bob")
            await bob.request("subscribe", users=list(watched))
            bob.hang_up()
            await bob.left.wait()
        asked = len(edge.presence.asked_presence)
        edge.broker.break_connection()
        edge.broker.restore()
        await edge.clock.advance(2)
        assert len(edge.presence.asked_presence) == asked
