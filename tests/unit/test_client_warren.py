"""The client against a server that answers, repeats, forgets and vanishes as each test says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from client.errors import Closed, SendFailed, ServerError, Unreachable
from client.events import ConnectionChanged, ConnectionState, E, MessageFailed, MessageReceived, ReceiptAdvanced, Typing
from client.options import Options
from client.warren import WarrenClient
from client.wire import Device, Stage
from tests.fakes.native_server import FakeConnection, FakeServer, changes, message

DEADLINE_S = 5.0


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer.open() as server:
        yield server


def client(server: FakeServer) -> WarrenClient:
    return WarrenClient(server.url, token="t", options=Options(ack_every_s=0.01, connect_timeout_s=5.0))


class Pair:
    """A connected client and the server's end of its connection."""

    def __init__(self, alice: WarrenClient, connection: FakeConnection, server: FakeServer) -> None:
        self.alice = alice
        self.connection = connection
        self.server = server

    async def reconnect(self) -> None:
        """Drop the connection and welcome the next, whose sync brings nothing."""
        self.connection.drop()
        self.connection, _ = await self.server.welcome()


@pytest.fixture
async def pair(server: FakeServer) -> AsyncIterator[Pair]:
    async with asyncio.TaskGroup() as tasks:
        welcoming = tasks.create_task(server.welcome())
        async with client(server) as alice:
            connection, _ = await welcoming
            yield Pair(alice, connection, server)


async def texts(alice: WarrenClient, count: int) -> list[int]:
    async with asyncio.timeout(DEADLINE_S):
        return [(await alice.next(MessageReceived)).message.seq for _ in range(count)]


async def event(alice: WarrenClient, kind: type[E]) -> E:
    async with asyncio.timeout(DEADLINE_S):
        return await alice.next(kind)


# --- connecting


async def test_hello_says_who_and_what(server: FakeServer) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        welcoming = tasks.create_task(server.welcome(user_id="alice"))
        device = Device(id="laptop", type="desktop")
        async with WarrenClient(server.url, token="secret", device=device) as alice:
            _, hello = await welcoming
            assert hello == {"token": "secret", "device": {"id": "laptop", "type": "desktop"}}
            assert alice.user_id == "alice"
            assert alice.state is ConnectionState.CONNECTED


async def test_a_refused_token_ends_the_attempt(server: FakeServer) -> None:
    async def refuse() -> None:
        connection = await server.connection()
        await connection.refuse(await connection.receive("hello"), "unauthenticated")

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(refuse())
        with pytest.raises(Closed) as closed:
            async with client(server):
                pytest.fail("connected")
        assert closed.value.code == 3500


async def test_a_server_that_closes_for_good_instead_of_a_welcome_ends_the_attempt(server: FakeServer) -> None:
    async def close() -> None:
        connection = await server.connection()
        await connection.close(3505)

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(close())
        with pytest.raises(Closed) as closed:
            async with client(server):
                pytest.fail("connected")
        assert closed.value.code == 3505


async def test_an_error_inside_goes_on_as_it_is(server: FakeServer) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(server.welcome())
        with pytest.raises(ZeroDivisionError):
            async with client(server):
                raise ZeroDivisionError


async def test_nobody_there_is_said_in_time() -> None:
    with pytest.raises(Unreachable):
        async with WarrenClient("ws://127.0.0.1:1/v1/ws", token="t", options=Options(connect_timeout_s=0.3)):
            pytest.fail("connected")


async def test_the_first_connection_is_tried_again(server: FakeServer) -> None:
    async def unavailable_then_welcome() -> None:
        connection = await server.connection()
        await connection.refuse(await connection.receive("hello"), "unavailable", retry_after_ms=1)
        await server.welcome()

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(unavailable_then_welcome())
        async with client(server) as alice:
            assert alice.state is ConnectionState.CONNECTED


async def test_a_close_code_of_the_35s_ends_the_client(pair: Pair) -> None:
    await pair.connection.close(3502)
    with pytest.raises(Closed) as closed:
        await event(pair.alice, MessageReceived)
    assert closed.value.code == 3502
    with pytest.raises(Closed):
        await pair.alice.send("hi", to="bob")


async def test_a_draining_server_is_left_for_another_after_the_time_it_names(pair: Pair) -> None:
    await pair.connection.push("bye", code=3000, reason="drain", reconnect=True, retry_after_ms=1)
    await pair.connection.close(3000)
    await pair.server.welcome()
    states = [await event(pair.alice, ConnectionChanged) for _ in range(4)]
    assert states[1] == ConnectionChanged(ConnectionState.WAITING, retry_in_s=0.001)
    assert states[3].state is ConnectionState.CONNECTED


async def test_each_connection_asks_the_factory_for_a_token(server: FakeServer) -> None:
    tokens = iter(["first", "second"])

    async def next_token() -> str:
        return next(tokens)

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        welcoming = tasks.create_task(server.welcome())
        async with WarrenClient(server.url, token=next_token):
            connection, hello = await welcoming
            assert hello["token"] == "first"
            await connection.close(3501)  # expired
            _, hello = await server.welcome()
            assert hello["token"] == "second"


# --- sending


async def test_a_stored_message_has_its_place(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(pair.alice.send("hi", to="bob", client_id="k1", metadata={"a": 1}))
        frame = await pair.connection.receive("send")
        assert frame["data"] == {"to": "bob", "client_id": "k1", "content": "hi", "metadata": {"a": 1}}
        await pair.connection.store(frame, seq=7)
    sent = sending.result()
    assert (sent.status, sent.message_id, sent.conversation_id, sent.seq) == ("stored", "m7", "c", 7)
    assert await sent.stored() == sent


async def test_sends_overlap_and_keep_their_order(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        sending = [tasks.create_task(pair.alice.send(str(n), conversation_id="c")) for n in range(20)]
        frames = [await pair.connection.receive("send") for _ in range(20)]
        assert [frame["data"]["content"] for frame in frames] == [str(n) for n in range(20)]
        for n in reversed(range(20)):
            await pair.connection.store(frames[n], seq=n + 1)
    assert [task.result().seq for task in sending] == list(range(1, 21))


async def test_what_was_not_answered_is_sent_again_after_a_lost_connection(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        sending = [tasks.create_task(pair.alice.send(str(n), to="bob", client_id=f"k{n}")) for n in range(3)]
        frames = [await pair.connection.receive("send") for _ in range(3)]
        await pair.connection.store(frames[1], seq=2)
        await sending[1]
        await pair.reconnect()
        again = await pair.connection.receive("send"), await pair.connection.receive("send")
        assert [frame["data"]["client_id"] for frame in again] == ["k0", "k2"]
        for seq, frame in zip((1, 3), again, strict=True):
            await pair.connection.store(frame, seq)
    assert [task.result().seq for task in sending] == [1, 2, 3]


@pytest.mark.parametrize("code", ["unavailable", "rate_limited"])
async def test_a_message_that_came_too_soon_is_sent_again_before_the_next(pair: Pair, code: str) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(pair.alice.send("first", to="bob"))
        frame = await pair.connection.receive("send")
        await pair.connection.refuse(frame, code, retry_after_ms=20)
        await pair.connection.push("typing", conversation_id="c", user_id="bob", active=True)
        await event(pair.alice, Typing)  # so the refusal is there, too
        tasks.create_task(pair.alice.send("second", to="bob"))
        for seq in (1, 2):
            frame = await pair.connection.receive("send")
            await pair.connection.store(frame, seq)
    assert first.result().seq == 1


async def test_a_refused_message_is_an_error_with_its_data(pair: Pair) -> None:
    async def refuse() -> None:
        frame = await pair.connection.receive("send")
        await pair.connection.refuse(frame, "not_a_member", details={"user_id": "alice"})

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(refuse())
        with pytest.raises(ServerError) as refused:
            await pair.alice.send("hi", conversation_id="c")
    assert (refused.value.code, refused.value.details) == ("not_a_member", {"user_id": "alice"})


async def test_an_accepted_message_is_stored_by_its_receipt(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(pair.alice.send("hi", to="bob", client_id="k1"))
        await pair.connection.accept(await pair.connection.receive("send"))
        sent = await sending
        assert (sent.status, sent.seq) == ("accepted", None)
        place = {"conversation_id": "c", "message_id": "m1", "client_id": "k1", "seq": 4, "version": 5}
        await pair.connection.push("receipt", stage="stored", **place)
        stored = await sent.stored()
    assert (stored.status, stored.message_id, stored.seq, stored.version) == ("stored", "m1", 4, 5)


async def test_an_accepted_message_that_is_given_up_fails(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(pair.alice.send("hi", to="bob", client_id="k1"))
        await pair.connection.accept(await pair.connection.receive("send"))
        sent = await sending
        failed = {"conversation_id": "c", "message_id": "m1", "client_id": "k1", "code": "internal"}
        await pair.connection.push("receipt", stage="failed", **failed)
        with pytest.raises(SendFailed):
            await sent.stored()
    assert await event(pair.alice, MessageFailed) == MessageFailed(**failed)


async def test_an_accepted_message_whose_receipt_was_lost_is_asked_for_by_sending_it_again(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(pair.alice.send("hi", to="bob", client_id="k1"))
        await pair.connection.accept(await pair.connection.receive("send"))
        sent = await sending
        await pair.reconnect()
        frame = await pair.connection.receive("send")
        assert frame["data"]["client_id"] == "k1"
        await pair.connection.store(frame, seq=4)
        assert (await sent.stored()).seq == 4


async def test_the_message_itself_settles_it_too(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(pair.alice.send("hi", to="bob", client_id="k4"))
        await pair.connection.receive("send")
        await pair.connection.push("message", **message(4, sender_id="alice"))
    assert sending.result().seq == 4


async def test_closing_fails_what_waits(server: FakeServer) -> None:
    async def send(alice: WarrenClient) -> None:
        with pytest.raises(Closed):
            await alice.send("hi", to="bob")

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        welcoming = tasks.create_task(server.welcome())
        async with client(server) as alice:
            connection, _ = await welcoming
            tasks.create_task(send(alice))
            await connection.receive("send")


# --- receiving


async def test_repeats_are_shown_once(pair: Pair) -> None:
    for seq in (1, 2, 1, 2, 3):
        await pair.connection.push("message", **message(seq))
    assert await texts(pair.alice, 3) == [1, 2, 3]


async def test_a_gap_is_filled_by_a_sync_before_what_follows(pair: Pair) -> None:
    for seq in (1, 4, 5):
        await pair.connection.push("message", **message(seq))
    sync = await pair.connection.receive("sync")
    assert sync["data"] == {"since": "since-0", "conversations": {"c": 1}}
    await pair.connection.reply(sync, conversations=[changes(2, 3, 4)], since="since-1")
    assert await texts(pair.alice, 5) == [1, 2, 3, 4, 5]


async def test_after_a_lost_connection_a_sync_brings_what_was_missed(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    assert await texts(pair.alice, 1) == [1]
    pair.connection.drop()
    connection, hello = await pair.server.welcome(since="ignored")
    assert hello["since"] == "since-0"
    sync = await connection.receive("sync")
    assert sync["data"] == {"since": "since-0", "conversations": {"c": 1}}
    await connection.push("message", **message(4))  # live, before the answer
    await connection.reply(sync, conversations=[changes(2)], since="since-1", has_more=True)
    sync = await connection.receive("sync")
    assert sync["data"] == {"since": "since-1", "conversations": {}}
    await connection.reply(sync, conversations=[changes(3)], since="since-2")
    assert await texts(pair.alice, 3) == [2, 3, 4]


async def test_an_answer_in_several_parts_is_asked_for_to_its_end(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(pair.alice.sync())
        for seq in (1, 2, 3):
            sync = await pair.connection.receive("sync")
            await pair.connection.reply(sync, conversations=[changes(seq)], since=f"since-{seq}", has_more=seq < 3)
    assert await texts(pair.alice, 3) == [1, 2, 3]


async def test_a_limited_answer_is_completed_from_history(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    await pair.connection.push("lagged", conversation_id="c", from_seq=2)
    sync = await pair.connection.receive("sync")
    await pair.connection.reply(sync, conversations=[changes(6, 7, limited=True, before=6)], since="since-1")
    for after, page, has_more in ((1, [2, 3], True), (3, [4, 5, 6], True)):
        history = await pair.connection.receive("history")
        assert (history["data"]["conversation_id"], history["data"]["after"]) == ("c", after)
        await pair.connection.reply(history, messages=[message(seq) for seq in page], has_more=has_more)
    assert await texts(pair.alice, 7) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_refused_sync_is_asked_for_again(pair: Pair) -> None:
    await pair.connection.push("lagged", conversation_id="c", from_seq=2)
    await pair.connection.refuse(await pair.connection.receive("sync"), "unavailable", retry_after_ms=1)
    sync = await pair.connection.receive("sync")
    await pair.connection.reply(sync, conversations=[changes(1, 2)], since="since-1")
    assert await texts(pair.alice, 2) == [1, 2]


async def test_a_token_that_is_refused_in_a_sync_is_left_out_of_the_next(pair: Pair) -> None:
    await pair.connection.push("lagged", conversation_id="c", from_seq=1)
    await pair.connection.refuse(await pair.connection.receive("sync"), "invalid", retry_after_ms=1)
    sync = await pair.connection.receive("sync")
    assert sync["data"] == {"conversations": {}}
    await pair.connection.reply(sync, conversations=[changes(1)], since="since-1")
    assert await texts(pair.alice, 1) == [1]


async def test_sync_returns_when_everything_is_here(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        syncing = tasks.create_task(pair.alice.sync())
        sync = await pair.connection.receive("sync")
        assert not syncing.done()
        await pair.connection.reply(sync, conversations=[changes(1)], since="since-1")
    assert await texts(pair.alice, 1) == [1]


async def test_receipts_and_typing_are_told(pair: Pair) -> None:
    read = {"conversation_id": "c", "user_id": "bob", "stage": "read", "seq": 3}
    await pair.connection.push("receipt", **read)
    await pair.connection.push("receipt", **read)
    await pair.connection.push("typing", conversation_id="c", user_id="bob", name="Bob", active=True)
    async with asyncio.timeout(DEADLINE_S):
        events = [await anext(pair.alice) for _ in range(3)]
    assert events[1:] == [
        ReceiptAdvanced(conversation_id="c", user_id="bob", stage=Stage.READ, seq=3),
        Typing(conversation_id="c", user_id="bob", name="Bob", active=True),
    ]


async def test_a_frame_that_cannot_be_read_or_is_unknown_harms_nothing(pair: Pair) -> None:
    await pair.connection.push("message", nonsense=True)
    await pair.connection.push("horoscope", sign="aries")
    await pair.connection.push("message", **message(1))
    assert await texts(pair.alice, 1) == [1]


async def test_messages_that_cannot_be_read_hold_up_none_of_the_others(pair: Pair) -> None:
    """Live, in a page of history and in the answer to a sync."""
    unreadable: dict[str, Any] = {"created_at": "yesterday"}
    await pair.connection.push("message", **message(1))
    await pair.connection.push("message", **message(2, **unreadable))
    await pair.connection.push("message", **message(8))
    sync = await pair.connection.receive("sync")
    answer = changes(7, 8, limited=True, before=6)
    answer["events"].insert(0, {"type": "message", "data": message(6, **unreadable)})
    await pair.connection.reply(sync, conversations=[answer], since="since-1")
    for page in ([message(2, **unreadable), message(3), message(4, **unreadable)], [message(5)]):
        await pair.connection.reply(await pair.connection.receive("history"), messages=page, has_more=True)
    assert await texts(pair.alice, 5) == [1, 3, 5, 7, 8]


async def test_an_answer_that_cannot_be_read_is_asked_for_again(pair: Pair) -> None:
    await pair.connection.push("lagged", conversation_id="c", from_seq=1)
    await pair.connection.reply(await pair.connection.receive("sync"), nonsense=True)
    sync = await pair.connection.receive("sync")
    await pair.connection.reply(sync, conversations=[changes(1)], since="since-1")
    assert await texts(pair.alice, 1) == [1]


async def test_a_welcome_that_cannot_be_read_is_followed_by_another_attempt(pair: Pair) -> None:
    pair.connection.drop()
    connection = await pair.server.connection()
    await connection.reply(await connection.receive("hello"), nonsense=True)
    connection, _ = await pair.server.welcome()
    await connection.receive("sync")


# --- acknowledging and asking


async def test_acknowledgements_are_coalesced_and_said_again_after_a_lost_connection(pair: Pair) -> None:
    for seq in range(1, 10):
        pair.alice.ack("c", seq)
    said = {"conversation_id": "c", "stage": "delivered", "seq": 9}
    assert (await pair.connection.receive("ack"))["data"] == said
    await pair.reconnect()
    assert (await pair.connection.receive("ack"))["data"] == said


async def test_the_last_acknowledgement_is_said_on_leaving(server: FakeServer) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        welcoming = tasks.create_task(server.welcome())
        async with WarrenClient(server.url, token="t", options=Options(ack_every_s=60)) as alice:
            connection, _ = await welcoming
            alice.ack("c", 9, Stage.READ)
        assert (await connection.receive("ack"))["data"] == {"conversation_id": "c", "stage": "read", "seq": 9}


async def test_a_question_is_asked_again_after_a_lost_connection(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(pair.alice.history("c", before=3, limit=2))
        history = await pair.connection.receive("history")
        assert history["data"] == {"conversation_id": "c", "before": 3, "limit": 2}
        await pair.reconnect()
        frames = [await pair.connection.receive("sync", "history") for _ in range(2)]
        (history,) = (frame for frame in frames if frame["type"] == "history")
        await pair.connection.reply(history, messages=[message(1), message(2)], has_more=False)
    assert [one.seq for one in asking.result().messages] == [1, 2]


async def test_typing_is_lost_without_a_connection(pair: Pair) -> None:
    pair.alice.typing(to="bob")
    frame = await pair.connection.receive("typing")
    assert frame["data"] == {"to": "bob", "active": True}
    assert "id" not in frame
    pair.connection.drop()
    while (await event(pair.alice, ConnectionChanged)).state is not ConnectionState.WAITING:
        continue
    pair.alice.typing(to="bob")
    connection, _ = await pair.server.welcome()
    await connection.receive("sync")  # and no typing before it


async def test_what_was_pushed_while_the_sync_ran_completes_its_answer(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    pair.connection.drop()
    connection, _ = await pair.server.welcome()
    sync = await connection.receive("sync")
    for seq in (3, 4):
        await connection.push("message", **message(seq))
    await connection.reply(sync, conversations=[changes(2)], since="since-1")
    assert await texts(pair.alice, 4) == [1, 2, 3, 4]


async def test_a_token_that_the_server_does_not_know_is_left_out(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    pair.connection.drop()
    connection = await pair.server.connection()
    await connection.refuse(await connection.receive("hello"), "invalid")
    connection, hello = await pair.server.welcome(since="since-9")
    assert "since" not in hello
    sync = await connection.receive("sync")
    assert sync["data"] == {"conversations": {"c": 1}}
    await connection.reply(sync, conversations=[changes(2)], since="since-10")
    assert await texts(pair.alice, 2) == [1, 2]
