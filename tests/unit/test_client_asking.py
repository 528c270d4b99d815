"""What the client asks, acknowledges and changes, against a server that vanishes as each test says."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from client.events import ConnectionChanged, ConnectionState
from client.options import Options
from client.warren import WarrenClient
from client.wire import Stage
from tests.fakes.native_server import FakeServer, message
from tests.fakes.pair import DEADLINE_S, Pair, event


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer.open() as server:
        yield server


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with Pair.open() as pair:
        yield pair


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
