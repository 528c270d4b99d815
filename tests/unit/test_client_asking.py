"""What the client asks, acknowledges and changes, against a server that vanishes as each test says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from client.errors import ServerError
from client.events import ConnectionChanged, ConnectionState, PresenceChanged
from client.options import Options
from client.warren import WarrenClient
from client.wire import Changed, Stage
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


# --- changes and presence


async def test_changes_say_what_the_server_expects_and_give_the_new_version(pair: Pair) -> None:
    calls: dict[str, tuple[Callable[[], Coroutine[Any, Any, Changed]], dict[str, Any]]] = {
        "edit": (lambda: pair.alice.edit("m1", "other"), {"message_id": "m1", "content": "other"}),
        "delete": (lambda: pair.alice.delete("m1", scope="me"), {"message_id": "m1", "scope": "me"}),
        "react": (lambda: pair.alice.react("m1", "👍"), {"message_id": "m1", "emoji": "👍", "remove": False}),
    }
    for version, (kind, (call, data)) in enumerate(calls.items()):
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            changing = tasks.create_task(call())
            frame = await pair.connection.receive(kind)
            assert frame["data"] == data
            await pair.connection.reply(frame, conversation_id="c", version=version)
        assert changing.result() == Changed(conversation_id="c", version=version)


async def test_a_change_whose_answer_was_lost_is_asked_for_again(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        changing = tasks.create_task(pair.alice.edit("m1", "other"))
        await pair.connection.receive("edit")
        await pair.reconnect()
        frames = [await pair.connection.receive("sync", "edit") for _ in range(2)]
        (edit,) = (frame for frame in frames if frame["type"] == "edit")
        await pair.connection.reply(edit, conversation_id="c", version=2)
    assert changing.result().version == 2


async def test_a_refused_change_is_an_error(pair: Pair) -> None:
    async def refuse() -> None:
        await pair.connection.refuse(await pair.connection.receive("delete"), "forbidden")

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(refuse())
        with pytest.raises(ServerError) as refused:
            await pair.alice.delete("m1")
    assert refused.value.code == "forbidden"


async def test_a_status_is_set(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(pair.alice.set_status("away", "lunch"))
        frame = await pair.connection.receive("presence")
        assert frame["data"] == {"status": "away", "text": "lunch"}
        await pair.connection.reply(frame)


async def subscribed(pair: Pair, *users: str, status: str = "online") -> None:
    """Let alice subscribe, and answer."""
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(pair.alice.subscribe(users))
        frame = await pair.connection.receive("subscribe")
        assert frame["data"] == {"users": list(users)}
        await pair.connection.reply(frame, presence=[{"user_id": user, "status": status} for user in users])
    assert [seen.status for seen in asking.result()] == [status] * len(users)


async def test_whom_one_watches_is_seen_now_and_when_that_changes(pair: Pair) -> None:
    await subscribed(pair, "bob", "carol")
    bob = {"user_id": "bob", "status": "away", "text": "lunch", "devices": 2, "last_seen": None}
    await pair.connection.push("presence", **{**bob, "status": "online", "text": "", "devices": 0})  # nothing new
    await pair.connection.push("presence", **bob)
    away = await event(pair.alice, PresenceChanged)
    assert (away.user_id, away.status, away.text, away.devices) == ("bob", "away", "lunch", 2)
    assert {user: seen.status for user, seen in pair.alice.presences.items()} == {"bob": "away", "carol": "online"}


async def test_subscriptions_are_made_again_on_the_next_connection_and_what_differs_is_told(pair: Pair) -> None:
    await subscribed(pair, "bob", "carol")
    await pair.reconnect()
    while (frame := await pair.connection.receive("sync", "subscribe"))["type"] != "subscribe":
        continue
    assert frame["data"] == {"users": ["bob", "carol"]}
    seen = [{"user_id": "bob", "status": "online"}, {"user_id": "carol", "status": "offline"}]
    await pair.connection.reply(frame, presence=seen)
    assert (await event(pair.alice, PresenceChanged)).user_id == "carol"


async def test_whom_one_watches_no_more_is_not_subscribed_to_again(pair: Pair) -> None:
    await subscribed(pair, "bob")
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(pair.alice.unsubscribe(["bob"]))
        frame = await pair.connection.receive("unsubscribe")
        await pair.connection.reply(frame, presence=[])
    await pair.reconnect()
    await pair.connection.receive("sync")
    await pair.connection.push("message", **message(1))
    pair.alice.typing(to="bob")
    await pair.connection.receive("typing")  # and no subscription before it
