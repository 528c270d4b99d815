"""The synchronous client against the gateway's own service wire, over a real port, with all four services behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from client.errors import MessageRefused, ServerError
from client.websocket_client import ConnectionStatus, WebSocketClient
from tests.fakes.socket_io import listening
from tests.slice.warren import Warren, running, send

PATIENCE_S = 10.0


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="service") as warren:
        yield warren


@pytest.fixture
async def url(warren: Warren) -> AsyncIterator[str]:
    async with listening(warren.app()) as address:
        yield f"http://{address}"


class Program:
    """A program in a thread of its own, and what its callbacks were told."""

    def __init__(self, warren: Warren, url: str, user: str) -> None:
        self.client = WebSocketClient(server_url=url)
        self.client.retry_interval = 0.02
        self.messages: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.statuses: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.client.on_message(self.messages.put)
        self.client.on_message_status(self.statuses.put)
        self._warren = warren
        self._user = user

    async def connect(self) -> bool:
        token = self._warren.token(self._user)
        return await asyncio.to_thread(self.client.connect, self._user, token, f"{self._user}-phone", {"platform": "x"})

    async def send(self, session_id: str, message: str, **more: Any) -> dict[str, Any]:
        sending = self.client.send_message(session_id, message, **more)
        return await asyncio.to_thread(sending.result, PATIENCE_S)

    async def leave(self) -> None:
        """Disconnect when the receipts are answered, for which time must pass."""
        async with asyncio.TaskGroup() as tasks:
            leaving = tasks.create_task(asyncio.to_thread(self.client.disconnect, PATIENCE_S))
            while not leaving.done():
                await self._warren.passes(0.2)

    async def next(self, told: SimpleQueue[dict[str, Any]]) -> dict[str, Any]:
        """Give what a callback is told next, while time passes."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await asyncio.to_thread(told.get, True, 0.05)
                except Empty:
                    await self._warren.passes(0.2)


@pytest.fixture
async def programs(warren: Warren, url: str) -> AsyncIterator[Callable[[str], Program]]:
    made: list[Program] = []

    def make(user: str) -> Program:
        made.append(Program(warren, url, user))
        return made[-1]

    yield make
    for program in made:
        await asyncio.to_thread(program.client.disconnect, 0)


async def test_two_programs_talk_and_hear_what_became_of_it(programs: Callable[[str], Program]) -> None:
    alice, bob = programs("alice"), programs("bob")
    assert await alice.connect()
    assert await bob.connect()
    answers = [await alice.send("help-1", f"{n}", to_user_id="bob") for n in range(3)]
    assert all(answer["success"] for answer in answers)
    heard = [await bob.next(bob.messages) for _ in answers]
    assert [(each["id"], each["text"], each["from_user_id"]) for each in heard] == [
        (str(answer["message_id"]), f"{n}", "alice") for n, answer in enumerate(answers)
    ]
    assert (await alice.next(alice.statuses))["status"] == "delivered"
    await bob.send("help-1", "thanks")
    assert (await alice.next(alice.messages))["text"] == "thanks"


async def test_what_was_sent_while_away_comes_once_and_in_order(
    warren: Warren, url: str, programs: Callable[[str], Program]
) -> None:
    bob = programs("bob")
    assert await bob.connect()
    ann = await warren.connect("ann")
    await send(ann, "bob", "0", "c0")
    assert (await bob.next(bob.messages))["text"] == "0"
    await bob.leave()
    for n in range(1, 4):
        await send(ann, "bob", f"{n}", f"c{n}")
    await warren.passes(1)
    assert await bob.connect()
    heard = [await bob.next(bob.messages) for _ in range(3)]
    assert [(each["text"], each["offline"]) for each in heard] == [("1", True), ("2", True), ("3", True)]


async def test_a_false_token_is_refused(url: str, programs: Callable[[str], Program]) -> None:
    alice = programs("alice")
    with pytest.raises(ServerError) as refused:
        await asyncio.to_thread(alice.client.connect, "alice", "false", "phone")
    assert refused.value.code == "unauthenticated"
    assert alice.client.get_status() is ConnectionStatus.DISCONNECTED


async def test_another_conversation_is_refused_and_the_next_message_goes_out(
    warren: Warren, programs: Callable[[str], Program]
) -> None:
    alice = programs("alice")
    assert await alice.connect()
    ann = await warren.connect("ann")
    await send(ann, "bob", "secret", "c1")
    with pytest.raises(MessageRefused):
        await alice.send(warren.direct("ann", "bob"), "let me in")
    assert (await alice.send("help-2", "hi", to_user_id="bob"))["success"]
