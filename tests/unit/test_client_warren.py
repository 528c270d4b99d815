"""The client connects and sends, against a server that forgets and vanishes as each test says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from client.errors import Closed, SendFailed, ServerError, Unreachable
from client.events import ConnectionChanged, ConnectionState, MessageFailed, MessageReceived, Typing
from client.options import Options
from client.warren import WarrenClient
from client.wire import Device
from tests.fakes.native_server import FakeConnection, FakeServer, message
from tests.fakes.pair import DEADLINE_S, Pair, client, event

Welcoming = asyncio.Task[tuple[FakeConnection, dict[str, Any]]]


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer.open() as server:
        yield server


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with Pair.open() as pair:
        yield pair


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


async def test_a_failing_token_factory_is_raised_as_it_is(server: FakeServer) -> None:
    """At the first connection, and at a later one: then out of the body."""

    async def no_token() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with WarrenClient(server.url, token=no_token):
            pytest.fail("connected")

    tokens = iter(["first"])

    async def one_token() -> str:
        return next(tokens, "") or await no_token()

    async def lose(client: WarrenClient, welcoming: Welcoming) -> None:
        async with client:
            connection, _ = await welcoming
            connection.drop()
            await client.next(MessageReceived)

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        welcoming = tasks.create_task(server.welcome())
        with pytest.raises(ZeroDivisionError):
            await lose(WarrenClient(server.url, token=one_token), welcoming)


async def test_a_token_that_cannot_be_had_now_is_asked_for_again(server: FakeServer) -> None:
    attempts = iter([Unreachable("no answer"), ServerError("unavailable", "Later.")])

    async def next_token() -> str:
        for error in attempts:
            raise error
        return "third"

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        welcoming = tasks.create_task(server.welcome())
        async with WarrenClient(server.url, token=next_token):
            _, hello = await welcoming
            assert hello["token"] == "third"


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
