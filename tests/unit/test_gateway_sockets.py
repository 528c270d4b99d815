"""A gateway's socket seen from the client's end, with history and delivery played by the test."""

import asyncio

import pytest

from shared.commands import Acknowledge, SendMessage, SetTyping
from shared.errors import ErrorBody
from shared.events import (
    GatewayRefreshed,
    GatewayStopped,
    Handoff,
    MessageFailed,
    Rejected,
    SessionClosed,
    SessionOpened,
    SessionsAnnounced,
    SessionsWanted,
    Stored,
    TypingChanged,
)
from shared.history_api import SyncAnswer
from shared.ids import MessageId
from shared.position import Position
from tests.fakes.clock import START, settle
from tests.fakes.edge import Edge, gateway
from tests.fakes.messages import ALICE, BOB, ROOM, changes, stored


async def store(edge: Edge, seq: int = 1) -> SendMessage:
    """Play history: store the one command that was posted."""
    [envelope] = await edge.posted()
    command = envelope.body
    assert isinstance(command, SendMessage)
    answer = Stored(
        message_id=command.message_id,
        conversation_id=command.conversation_id,
        client_id=command.client_id,
        seq=seq,
        version=seq,
        number=seq,
        created_at=START,
    )
    await edge.tell(answer, answer_to=envelope.id)
    return command


async def test_a_hello_is_answered_as_the_welcome() -> None:
    async with gateway() as edge:
        bob = edge.dial("")
        device = {"id": "phone", "name": "Bob's", "type": "mobile"}
        reply = await bob.request("hello", token=edge.token(), device=device)
        welcome = await bob.next("welcome")
        assert reply == welcome
        assert (reply["user_id"], reply["device_id"], reply["heartbeat_s"]) == ("bob", "phone", 30)
        [opened] = [event for event in await edge.announced() if isinstance(event, SessionOpened)]
        assert (opened.session.device.name, opened.session.gateway_id) == ("Bob's", "gw-1")


async def test_the_tokens_device_counts_more_than_the_frames() -> None:
    async with gateway() as edge:
        bob = edge.dial("")
        reply = await bob.request("hello", token=edge.token(device="real"), device={"id": "claimed"})
        assert reply["device_id"] == "real"


async def test_only_an_id_that_the_gateway_makes_up_is_ephemeral() -> None:
    async with gateway() as edge:
        for device in ({"id": "phone"}, None):
            await edge.dial("").request("hello", token=edge.token(), device=device)
        opened = [event for event in await edge.announced() if isinstance(event, SessionOpened)]
        assert [event.session.device.ephemeral for event in opened] == [False, True]
        assert all(event.session.device.id for event in opened)


async def test_nothing_is_done_before_the_hello() -> None:
    async with gateway() as edge:
        socket = edge.dial("")
        error = await socket.refused("send", to="alice", content="hi")
        assert error["code"] == "unauthenticated"
        assert await socket.closed() == 3500
        assert await edge.posted() == []


async def test_a_reply_names_the_place_of_the_message() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        bob.send_frame("send", frame_id="1", to="alice", client_id="c1", content="hi")
        command = await store(edge)
        reply = await bob.next_where(lambda frame: frame.get("id") == "1")
        assert (reply["ok"], reply["data"]["status"], reply["data"]["seq"]) == (True, "stored", 1)
        assert reply["data"]["message_id"] == command.message_id
        assert (command.sender_id, command.sender_name, command.to) == ("bob", "Bob", "alice")


async def test_history_s_refusal_reaches_the_sender() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        bob.send_frame("send", frame_id="1", conversation_id="room", client_id="c1")
        [envelope] = await edge.posted()
        await edge.tell(Rejected(error=ErrorBody(code="not_a_member", message="No.")), answer_to=envelope.id)
        frame = await bob.next_where(lambda frame: frame.get("id") == "1")
        assert (frame["type"], frame["error"]) == ("error", {"code": "not_a_member", "message": "No."})


async def test_an_accepted_message_that_is_given_up_fails_by_a_receipt() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        failed = MessageFailed(
            conversation_id=ROOM,
            message_id=MessageId("m1"),
            client_id="c1",
            sender_id=BOB,
            at=START,
            error=ErrorBody(code="internal", message="Given up."),
        )
        await edge.tell(failed)
        receipt = await bob.next("receipt")
        assert (receipt["stage"], receipt["message_id"], receipt["code"]) == ("failed", "m1", "internal")


async def test_a_session_without_echo_gets_the_reply_only() -> None:
    async with gateway() as edge:
        quiet, phone = await edge.connect(), await edge.connect()
        await quiet.request("hello", echo=False)
        quiet.send_frame("send", frame_id="1", conversation_id="room", client_id="c1")
        await store(edge)
        await edge.deliver(stored(1, sender=BOB), stored(2))
        assert [frame["seq"] for frame in quiet.unread("message")] == [2]
        assert [frame["seq"] for frame in phone.unread("message")] == [1, 2]


async def test_an_ack_with_an_id_is_answered_when_the_broker_has_it() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        bob.send_frame("ack", conversation_id="room", seq=2, stage="read")
        bob.send_frame("ack", frame_id="1", conversation_id="room", seq=3, stage="read")
        await edge.clock.advance(1)
        await bob.next_where(lambda frame: frame.get("id") == "1")
        assert [envelope.body for envelope in await edge.posted()] == [
            Acknowledge(conversation_id=ROOM, user_id=BOB, stage="read", seq=3)  # type: ignore[arg-type]
        ]


async def test_no_more_than_the_allowed_requests_are_read_ahead() -> None:
    async with gateway(max_in_flight="2") as edge:
        bob = await edge.connect()
        for n in range(3):
            bob.send_frame("send", frame_id=str(n), conversation_id="room", client_id=f"c{n}")
        waiting = await edge.posted()
        assert len(waiting) == 2
        await edge.tell(Rejected(error=ErrorBody(code="invalid", message="No.")), answer_to=waiting[0].id)
        assert len(await edge.posted()) == 1


async def test_who_sends_without_end_leaves_the_others_their_turns() -> None:
    async with gateway() as edge:
        bob, alice = await edge.connect(), await edge.connect("alice")
        for n in range(5000):
            bob.send_frame("ping", frame_id=str(n))
        await alice.request("ping")
        assert not [frame for frame in bob.unread_frames() if frame.get("id") == "4999"]
        await bob.next_where(lambda frame: frame.get("id") == "4999")  # and is closed for nothing that it sent


async def test_a_user_over_the_rate_is_told_when_to_come_back() -> None:
    async with gateway(rate_per_s="1", rate_burst="2") as edge:
        bob = await edge.connect()  # which counts, too
        bob.send_frame("send", conversation_id="room", client_id="c1")
        error = await bob.refused("send", conversation_id="room", client_id="c2")
        assert (error["code"], error["retry_after_ms"]) == ("rate_limited", 1000)


async def test_typing_never_comes_back_to_who_types() -> None:
    async with gateway() as edge:
        bob, alice = await edge.connect(), await edge.connect("alice")
        typing = TypingChanged(conversation_id=ROOM, user_id=BOB, name="Bob", active=True)
        await edge.tell(Handoff(recipients=(ALICE, BOB), event=typing))
        assert (len(alice.unread("typing")), bob.unread("typing")) == (1, [])


async def test_after_the_queue_was_lost_every_session_is_caught_up_and_announced() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        await edge.announced()
        edge.history.answers.append(SyncAnswer(conversations=(changes(1),), since=Position(START, {ROOM: 1}).token()))
        edge.broker.break_connection()
        edge.broker.restore()
        await edge.clock.advance(6)
        assert [frame["seq"] for frame in bob.unread("message")] == [1]
        announced = [event for event in await edge.announced() if isinstance(event, SessionsAnnounced)]
        assert [(len(event.sessions), event.first) for event in announced] == [(1, True)]


async def test_a_client_can_connect_and_send_while_history_is_away_and_misses_nothing() -> None:
    async with gateway() as edge:
        edge.history.down = True
        bob = await edge.connect()
        bob.send_frame("send", frame_id="1", conversation_id="room", client_id="c1")
        await store(edge)
        await edge.deliver(stored(1), stored(3))
        edge.history.down = False
        edge.history.answers.append(
            SyncAnswer(conversations=(changes(2, 3),), since=Position(START, {ROOM: 3}).token())
        )
        await edge.clock.advance(10)
        assert [frame["seq"] for frame in bob.unread("message")] == [1, 2, 3]


async def test_a_client_that_resumes_and_does_not_sync_is_caught_up_after_a_while() -> None:
    async with gateway() as edge:
        edge.history.answers.append(SyncAnswer(conversations=(changes(1),), since=Position(START, {ROOM: 1}).token()))
        bob = edge.dial(f"token={edge.token()}&since={Position(START).token()}")
        await bob.next("welcome")
        await edge.deliver(stored(1), stored(2))
        assert bob.unread("message") == []
        await edge.clock.advance(7)
        assert [frame["seq"] for frame in bob.unread("message")] == [1, 2]


async def test_a_sync_that_history_cannot_answer_is_refused_and_the_pushes_go_on() -> None:
    async with gateway() as edge:
        bob = edge.dial(f"token={edge.token()}&since={Position(START).token()}")
        await bob.next("welcome")
        edge.history.down = True
        assert (await bob.refused("sync"))["code"] == "unavailable"
        await edge.deliver(stored(1))
        edge.history.down = False
        await edge.clock.advance(10)
        assert [frame["seq"] for frame in bob.unread("message")] == [1]


async def test_a_sync_whose_answer_makes_no_sense_is_refused_and_the_pushes_go_on() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        edge.history.answers.append(SyncAnswer(conversations=(), since="no token"))
        assert (await bob.refused("sync"))["code"] == "invalid"
        await edge.deliver(stored(1))
        assert [frame["seq"] for frame in bob.unread("message")] == [1]


async def test_a_user_who_asks_much_does_not_hold_up_the_others() -> None:
    async with gateway() as edge:
        mallory, bob = await edge.connect("mallory"), await edge.connect()
        edge.history.gate.clear()
        for n in range(100):
            mallory.send_frame("history", frame_id=str(n), conversation_id="room")
        await settle()
        bob.send_frame("sync")
        await settle()
        assert [query.user_id for query in edge.history.asked] == ["bob"]
        edge.history.gate.set()
        await settle()
        assert len(mallory.unread("reply")) == 100


async def test_a_since_that_is_none_is_refused_and_the_session_begins_now() -> None:
    async with gateway() as edge:
        bob = edge.dial(f"token={edge.token()}&since=%00")
        assert (await bob.next_error())["code"] == "invalid"
        await bob.next("welcome")
        await edge.deliver(stored(1))
        assert [frame["seq"] for frame in bob.unread("message")] == [1]


async def test_a_session_ends_with_its_token() -> None:
    async with gateway() as edge:
        bob = await edge.connect("bob", lifetime_s=60)
        await edge.clock.advance(61)
        assert await bob.closed() == 3501


async def test_more_sessions_of_a_user_than_allowed_are_sent_away() -> None:
    async with gateway(max_user_sessions="1") as edge:
        first = await edge.connect()
        second = edge.dial(f"token={edge.token()}")
        assert await second.closed() == 3004
        first.hang_up()
        await settle()
        await edge.connect()


async def test_more_sessions_of_an_address_than_allowed_are_sent_away() -> None:
    async with gateway(max_address_sessions="1") as edge:
        await edge.connect("alice")
        bob = edge.dial(f"token={edge.token()}")
        assert (await bob.next("bye"))["reconnect"] is True
        assert await bob.closed() == 3004


async def test_a_client_that_reads_nothing_is_closed_as_slow_and_nobody_waits_for_it() -> None:
    async with gateway(max_outbox_frames="16") as edge:
        bob = await edge.connect()
        bob.stall()
        for n in range(40):
            bob.send_frame("ping", frame_id=str(n))
        await settle()
        bob.resume()
        assert await bob.closed() == 3001


async def test_a_client_that_does_not_even_read_the_close_is_left_in_time() -> None:
    async with gateway(close_s="0.05") as edge:
        bob = await edge.connect("bob", lifetime_s=60)
        await edge.announced()
        bob.stall()
        await edge.clock.advance(61)
        async with asyncio.timeout(5):
            await bob.left.wait()
        assert [event for event in await edge.announced() if isinstance(event, SessionClosed)]


@pytest.mark.parametrize("goes", ["hangs up", "is closed"])
async def test_the_end_of_a_session_is_told_and_its_typing_taken_back(goes: str) -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        bob.send_frame("typing", conversation_id="room", active=True)
        await settle()
        if goes == "hangs up":
            bob.hang_up()
        else:
            for _ in range(10):
                bob.send_text("no json")
        await settle()
        assert [event for event in await edge.announced() if isinstance(event, SessionClosed)]
        assert [body.active for body in await edge.signals() if isinstance(body, SetTyping)] == [True, False]


async def test_a_replica_that_asks_is_told_of_all_sessions() -> None:
    async with gateway() as edge:
        await edge.connect("bob")
        await edge.connect("alice")
        await edge.announced()
        await edge.tell(SessionsWanted(replica_id="d1"))
        [announced] = [event for event in await edge.announced() if isinstance(event, SessionsAnnounced)]
        assert sorted(session.user_id for session in announced.sessions) == ["alice", "bob"]


async def test_the_lease_is_renewed_and_what_was_not_told_is_told_again() -> None:
    async with gateway() as edge:
        await edge.clock.advance(5)
        assert [event for event in await edge.announced() if isinstance(event, GatewayRefreshed)]
        bob = await edge.connect()
        await edge.announced()
        edge.broker.break_connection()
        bob.hang_up()
        await edge.clock.advance(7)  # longer than the publisher tries
        edge.broker.restore()
        await edge.clock.advance(10)
        assert [event for event in await edge.announced() if isinstance(event, SessionClosed)]


async def test_a_drain_loses_no_acknowledgement() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        bob.send_frame("ack", conversation_id="room", seq=2, stage="read")
        await settle()
        await edge.drain()
        assert [type(envelope.body) for envelope in await edge.posted()] == [Acknowledge]


async def test_a_drain_answers_what_is_in_flight_then_says_goodbye() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        bob.send_frame("send", frame_id="1", conversation_id="room", client_id="c1")
        async with asyncio.TaskGroup() as tasks:
            drain = tasks.create_task(edge.drain())
            late = edge.dial(f"token={edge.token()}")
            assert await late.closed() == 3000
            await store(edge)
            await edge.clock.advance(1)
            assert (await bob.next_where(lambda frame: frame.get("id") == "1"))["ok"]
            assert (await bob.next("bye"))["code"] == 3000
            assert await bob.closed() == 3000
            await drain
        assert isinstance((await edge.announced())[-1], GatewayStopped)
