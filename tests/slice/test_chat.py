"""What two people and their devices see of each other, through all four services."""

import pytest

from tests.fakes.clock import settle
from tests.slice.sockets import FakeSocket, Frame
from tests.slice.warren import Warren, running, send

ACK_FLUSH_S = 0.2
ALWAYS = 1_000_000


def contents(frames: list[Frame]) -> list[str]:
    return [frame["content"] for frame in frames]


async def test_every_device_of_both_sees_one_order_and_the_sender_learns_it_was_read() -> None:
    async with running() as warren:
        alice, phone, bob = await warren.connect("alice"), await warren.connect("alice"), await warren.connect("bob")
        first = await send(alice, "bob", "hi", "c1")
        second = await send(bob, "alice", "hello", "c1")
        assert (first["status"], first["seq"], second["seq"]) == ("stored", 1, 2)
        for socket in (alice, phone, bob):
            assert [(await socket.next("message"))["id"] for _ in range(2)] == [
                first["message_id"],
                second["message_id"],
            ]
        bob.send_frame("ack", conversation_id=first["conversation_id"], seq=1, stage="read")
        await settle()
        await warren.passes(ACK_FLUSH_S)
        stages = [(await alice.next("receipt"))["stage"] for _ in range(2)]
        assert stages == ["delivered", "read"]
        await warren.settled()


async def test_a_message_sent_twice_is_stored_and_shown_once() -> None:
    async with running() as warren:
        alice, bob = await warren.connect("alice"), await warren.connect("bob")
        first = await send(alice, "bob", "hi", "c1")
        again = await send(alice, "bob", "hi", "c1")
        other = await send(alice, "bob", "there", "c2")
        assert (again["message_id"], again["seq"], other["seq"]) == (first["message_id"], 1, 2)
        assert contents([await bob.next("message"), await bob.next("message")]) == ["hi", "there"]
        await warren.settled()
        assert bob.unread("message") == []


async def test_who_was_away_gets_what_was_missed_by_sync_and_then_goes_on_live() -> None:
    async with running() as warren:
        alice = await warren.connect("alice")
        bob = await warren.connect("bob")
        await send(alice, "bob", "1", "c1")
        since = (await bob.request("sync"))["since"]
        bob.hang_up()
        await settle()
        await send(alice, "bob", "2", "c2")
        await send(alice, "bob", "3", "c3")
        back = await warren.connect("bob", since=since)
        await send(alice, "bob", "4", "c4")
        await warren.settled()
        assert back.unread("message") == []  # pushes wait for the sync's answer
        answer = await back.request("sync", since=since)
        [changes] = answer["conversations"]
        missed = [event["data"]["content"] for event in changes["events"]]
        await send(alice, "bob", "5", "c5")
        await warren.settled()
        live = contents(back.unread("message"))
        assert missed + live == ["2", "3", "4", "5"]


async def test_what_delivery_handled_before_it_knew_a_session_still_arrives() -> None:
    async with running() as warren:
        alice, bob = await warren.connect("alice"), await warren.connect("bob")
        await warren.processes["delivery"].kill()
        await send(alice, "bob", "while delivery is down", "c1")
        warren.start_delivery()
        assert (await bob.next("message"))["content"] == "while delivery is down"
        await send(alice, "bob", "after", "c2")
        assert (await bob.next("message"))["content"] == "after"
        await warren.settled()
        assert bob.unread("message") == []


async def test_while_the_store_is_away_messages_are_accepted_and_stored_in_order_when_it_is_back() -> None:
    async with running() as warren:
        alice, bob = await warren.connect("alice"), await warren.connect("bob")
        await send(alice, "bob", "before", "c0")
        warren.messages.fail(ALWAYS)
        for n in (1, 2, 3):
            alice.send_frame("send", frame_id=f"s{n}", to="bob", content=str(n), client_id=f"c{n}")
        await settle()
        await warren.passes(6)
        for n in (1, 2, 3):
            reply = await alice.next_where(lambda frame, n=n: frame.get("id") == f"s{n}")
            assert reply["data"]["status"] == "accepted"
        warren.messages.fail(0)
        await warren.passes(6)
        receipts = [await alice.next("receipt") for _ in range(3)]
        assert [(receipt["stage"], receipt["client_id"]) for receipt in receipts] == [
            ("stored", "c1"),
            ("stored", "c2"),
            ("stored", "c3"),
        ]
        assert contents([await bob.next("message") for _ in range(4)]) == ["before", "1", "2", "3"]
        await warren.settled()


async def test_two_gateways_are_one_system() -> None:
    async with running() as warren:
        warren.start_gateway("gw-2")
        await settle()
        alice, bob = await warren.connect("alice"), await warren.connect("bob", via="gw-2")
        sent = await send(alice, "bob", "hi", "c1")
        assert (await bob.next("message"))["id"] == sent["message_id"]
        bob.send_frame("ack", conversation_id=sent["conversation_id"], seq=1, stage="delivered")
        await settle()
        await warren.passes(ACK_FLUSH_S)
        receipt = await alice.next("receipt")
        assert (receipt["user_id"], receipt["stage"], receipt["seq"]) == ("bob", "delivered", 1)
        await warren.settled()


async def test_a_message_for_a_gateway_that_died_ends_at_the_users_next_one() -> None:
    async with running() as warren:
        warren.start_gateway("gw-2")
        await settle()
        alice, bob = await warren.connect("alice"), await warren.connect("bob", via="gw-2")
        await send(alice, "bob", "1", "c1")
        await bob.next("message")
        since = (await bob.request("sync"))["since"]
        await warren.processes["gw-2"].kill()
        await send(alice, "bob", "2", "c2")
        back = await warren.connect("bob", since=since)
        answer = await back.request("sync", since=since)
        synced = [event["data"]["content"] for changes in answer["conversations"] for event in changes["events"]]
        await warren.passes(2)  # the ladder's first rung
        await warren.settled()
        assert synced + contents(back.unread("message")) == ["2"]


async def test_typing_reaches_the_others_only_and_expires_by_itself() -> None:
    async with running() as warren:
        alice, bob, carol = (
            await warren.connect("alice"),
            await warren.connect("bob"),
            await warren.connect("carol"),
        )
        sent = await send(alice, "bob", "hi", "c1")
        alice.send_frame("typing", conversation_id=sent["conversation_id"], active=True)
        typing = await bob.next("typing")
        assert (typing["user_id"], typing["active"]) == ("alice", True)
        await warren.passes(6)
        assert (await bob.next("typing"))["active"] is False
        await warren.settled()
        assert alice.unread("typing") == carol.unread("typing") == []


async def test_a_poisoned_envelope_becomes_a_dead_letter_and_blocks_nobody() -> None:
    async with running() as warren:
        alice, bob = await warren.connect("alice"), await warren.connect("bob")
        route = warren.topology.commands_route(warren.direct("alice", "bob"))
        await warren.server.publish(route, b'[{"id": "poison", "body": {"@type": "Nonsense"}}]')
        await send(alice, "bob", "hi", "c1")
        assert (await bob.next("message"))["content"] == "hi"
        await warren.server.idle()
        [dead] = [queue for queue in warren.topology.dead_queues if await warren.server.depth(queue)]
        letter = await warren.server.get(dead)
        assert letter is not None
        assert letter.headers["warren-reason"] == "malformed"
        await letter.ack()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("no json", "invalid"),
        ("[]", "invalid"),
        ('{"data": {}}', "invalid_field"),
        ('{"type": "dance", "data": {}}', "unknown_type"),
        ('{"type": "send", "data": {"to": "bob", "content": 5}}', "invalid_field"),
        ('{"type": "send", "data": {"to": "a b", "content": "x"}}', "invalid_field"),
        ('{"type": "send", "data": {"content": "to nobody"}}', "invalid"),
        ('{"type": "send", "data": {"conversation_id": "d-of-others", "content": "x"}}', "not_a_member"),
        ('{"type": "send", "data": {"conversation_id": "unknown", "content": "x"}}', "not_found"),
        ('{"type": "send", "data": {"to": "bob", "sender_id": "carol", "content": "x"}}', "forbidden"),
        ('{"type": "send", "data": {"to": "bob", "content": "' + "x" * 16385 + '"}}', "too_large"),
        ('{"type": "ack", "data": {"conversation_id": "x", "seq": 0, "stage": "read"}}', "invalid_field"),
        ('{"type": "history", "data": {"conversation_id": "d-of-others"}}', "not_a_member"),
        ('{"type": "sync", "data": {"since": "not a token"}}', "invalid"),
    ],
)
async def test_a_bad_frame_gets_its_error_and_the_socket_stays(frame: str, code: str) -> None:
    async with running() as warren:
        alice: FakeSocket = await warren.connect("alice")
        alice.send_text(frame)
        error = await alice.next_error()
        assert error["code"] == code, error
        assert error["message"]
        assert (await send(alice, "bob", "still here", "c1"))["status"] == "stored"
        await warren.settled()


@pytest.mark.parametrize(
    ("token", "code"),
    [("", 3500), ("nonsense", 3500), ("expired", 3501)],
)
async def test_without_a_good_token_the_socket_is_closed(token: str, code: int) -> None:
    async with running() as warren:
        value = warren.token("alice", lifetime_s=-60) if token == "expired" else token
        socket = warren.dial(f"token={value}" if value else "")
        await settle()
        await warren.passes(11)  # the handshake's time
        assert await socket.closed() == code


async def test_ten_bad_frames_in_a_row_close_the_socket() -> None:
    async with running() as warren:
        alice = await warren.connect("alice")
        for _ in range(10):
            alice.send_text("no json")
        assert await alice.closed() == 3504


async def test_a_draining_gateway_sends_its_clients_elsewhere() -> None:
    async with running() as warren:
        alice = await warren.connect("alice")
        async with _draining(warren):
            bye = await alice.next("bye")
            assert (bye["code"], bye["reconnect"]) == (3000, True)
            assert await alice.closed() == 3000


class _draining:
    """Drain the gateway while the clock passes."""

    def __init__(self, warren: Warren) -> None:
        self._warren = warren

    async def __aenter__(self) -> None:
        self._drain = self._warren._tasks.create_task(self._warren.processes["gw-1"].drain(), name="drain")
        await self._warren.passes(20)

    async def __aexit__(self, *exc: object) -> None:
        await self._drain


def failures(frames: list[Frame]) -> list[tuple[str, str]]:
    return [(frame["client_id"], frame["code"]) for frame in frames if frame["stage"] == "failed"]


async def test_a_late_refusal_reaches_the_session_that_the_sender_has_by_then() -> None:
    async with running() as warren:
        alice = await warren.connect("alice")
        await warren.processes["history"].kill()
        alice.send_frame("send", conversation_id="nowhere", client_id="c1", content="hi")
        await settle()
        await warren.passes(6)
        alice.hang_up()
        back = await warren.connect("alice")
        warren.start_history()
        await settle()
        await warren.passes(1)
        assert failures(back.unread("receipt")) == [("c1", "not_found")]
        await warren.settled()


async def test_what_became_of_messages_is_learned_though_the_gateway_lost_its_queue() -> None:
    async with running() as warren:
        alice = await warren.connect("alice", echo=False)
        await warren.processes["history"].kill()
        alice.send_frame("send", frame_id="bad", conversation_id="nowhere", client_id="c1", content="hi")
        alice.send_frame("send", frame_id="good", to="bob", client_id="c2", content="hi")
        await settle()
        warren.processes["gw-1"].lose_connection()
        warren.start_history()
        await settle()
        await warren.processes["gw-1"].reconnect(warren.clock)
        refused = await alice.next_where(lambda frame: frame.get("id") == "bad")
        stored = await alice.next_where(lambda frame: frame.get("id") == "good")
        assert (refused["error"]["code"], stored["data"]["status"]) == ("not_found", "stored")
        await warren.settled()
