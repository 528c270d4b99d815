"""Clients of different wires are one system: they meet in the same conversations on two gateways, and lose nothing."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from tests.e2e.stack import Stack, running
from tests.e2e.wires import OnDevices, OnHuddle, OnService, Party, Place, meet
from tests.nodes import Mongo, Rabbit

ROUNDS_WITHOUT_HARM = 2
DEVICE, WEB, AGENT = "101", "102", "103"


@pytest.fixture
async def stack(rabbit_node: Rabbit, mongo_node: Mongo, tmp_path: Path) -> AsyncIterator[Stack]:
    """Run Warren with two gateways and open devices."""
    environ = {
        "WARREN_AMQP_URL": rabbit_node.add_vhost(f"wires-{uuid4().hex}"),
        "WARREN_MONGO_URL": mongo_node.url,
        "WARREN_MONGO_DATABASE": f"wires_{uuid4().hex}",
        "WARREN_GATEWAY_OPEN_DEVICES": "true",
    }
    async with running(environ, tmp_path, gateways=2) as stack:
        yield stack


class Town:
    """One user on each of three wires, two gateways, and all the conversations that there can be among them."""

    def __init__(self, stack: Stack, group: Place, directs: dict[tuple[str, str], Place]) -> None:
        self.stack = stack
        self.group = group
        self.directs = directs
        changed = asyncio.Event()
        places = {place.session: place for place in (group, *directs.values())}
        places |= {place.id: place for place in (group, *directs.values())}
        self.device = OnDevices(stack, DEVICE, changed, places=places)
        self.web = OnHuddle(stack, WEB, changed)
        self.agent = OnService(stack, AGENT, changed, places=places, gateway=1)
        self.parties: tuple[Party, ...] = (self.device, self.web, self.agent)

    def places_of(self, party: Party) -> list[Place]:
        return [self.group, *(place for pair, place in self.directs.items() if party.user_id in pair)]

    def direct(self, one: str, other: str) -> Place:
        low, high = sorted((one, other))
        return self.directs[low, high]


@asynccontextmanager
async def town_of(stack: Stack) -> AsyncIterator[Town]:
    group = await meet(stack, "group", DEVICE, WEB, AGENT)
    directs = {pair: await meet(stack, "direct", *pair) for pair in itertools.combinations((DEVICE, WEB, AGENT), 2)}
    town = Town(stack, group, directs)
    async with AsyncExitStack() as lives:
        for party in town.parties:
            await lives.enter_async_context(party.running())
        await town.agent.frame(lambda frame: frame["type"] == "registered")
        await town.device.frame(lambda frame: frame["type"] == "connection")
        yield town


async def test_three_wires_meet_in_one_conversation(stack: Stack) -> None:
    async with town_of(stack) as town:
        for party in town.parties:
            await party.say(town.group, f"hello from {party.user_id}")
            await _all_have_heard(town, (town.group.number, f"hello from {party.user_id}"))
        assert town.device.got == town.web.got == town.agent.got == town.device.said + town.web.said + town.agent.said


async def test_receipts_and_typing_cross_the_wires(stack: Stack) -> None:
    async with town_of(stack) as town:
        to_agent, to_web = town.direct(DEVICE, AGENT), town.direct(AGENT, WEB)
        await town.device.say(to_agent, "are you there?")
        pushed = await town.agent.frame(lambda frame: frame.get("text") == "are you there?")
        assert (pushed["from_user_id"], pushed["session_id"]) in ((101, to_agent.id), (101, to_agent.session))
        await town.device.frame(lambda frame: frame["type"] == "receipt" and frame["status"] == "delivered")
        assert town.agent.client is not None
        await asyncio.to_thread(town.agent.client.send_message_read, int(pushed["id"]), int(AGENT))
        await town.device.frame(lambda frame: frame["type"] == "receipt" and frame["status"] == "read")
        await town.agent.say(to_web, "a web page acknowledges nothing")
        await town.agent.frame(lambda frame: frame["type"] == "message_status" and frame["status"] == "delivered")
        await asyncio.to_thread(
            town.agent.client.request, "typing", {"session_id": to_agent.session, "is_typing": True}
        )
        typing = await town.device.frame(lambda frame: frame["type"] == "typing")
        assert (typing["sender_id"], typing["is_typing"]) == (AGENT, True)


async def test_nothing_is_lost_between_wires_while_services_die(stack: Stack) -> None:
    async with town_of(stack) as town:
        calm = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for party in town.parties:
                tasks.create_task(_talk(party, town.places_of(party), calm))
            for name in ("gateway-1", "history", "delivery", "gateway-2", "presence"):
                await _all_have_spoken(town)
                await stack.kill(name)
            calm.set()
        for party in town.parties:
            await _has_heard_all(town, party)
        for party in town.parties:
            _check(town, party)


async def _talk(party: Party, places: list[Place], calm: asyncio.Event) -> None:
    """Speak everywhere in turn until all is calm, and then a little more."""
    left = ROUNDS_WITHOUT_HARM
    for round_ in itertools.count(1):
        for place in places:
            await party.say(place, f"{party.user_id}.{round_}.{place.number}")
        left -= calm.is_set()
        if not left:
            return


async def _all_have_spoken(town: Town) -> None:
    """Wait until everyone has said something more than by now."""
    before = [len(party.said) for party in town.parties]
    await town.device.until(
        lambda: all(len(party.said) >= had + 4 for party, had in zip(town.parties, before, strict=True))
    )


async def _all_have_heard(town: Town, said: tuple[int, str]) -> None:
    await town.device.until(lambda: all(said in party.got for party in town.parties))


async def _has_heard_all(town: Town, party: Party) -> None:
    stored = len(_stored(town, party))
    await party.until(lambda: len(party.got) >= stored)


def _stored(town: Town, party: Party) -> list[tuple[int, str]]:
    """Read what is in the database of this user's conversations, each in order."""
    client: MongoClient[dict[str, Any]] = MongoClient(town.stack.environ["WARREN_MONGO_URL"])
    found: list[tuple[int, str]] = []
    with client:
        messages = client[town.stack.environ["WARREN_MONGO_DATABASE"]]["messages"]
        for place in town.places_of(party):
            documents = list(messages.find({"conversation_id": place.id, "seq": {"$exists": True}}).sort("seq"))
            assert [document["seq"] for document in documents] == list(range(1, len(documents) + 1))
            found += [(place.number, document["content"]) for document in documents]
    return found


def _check(town: Town, party: Party) -> None:
    stored = _stored(town, party)
    assert len(set(stored)) == len(stored), "a message is stored twice"
    assert set(party.said) <= set(stored), "what was answered as stored is not there"
    for place in town.places_of(party):
        had = [content for number, content in party.got if number == place.number]
        wanted = [content for number, content in stored if number == place.number]
        if isinstance(party, OnService):  # it notes what it sent when it is answered, which may be behind what follows
            had = [content for content in had if not content.startswith(f"{party.user_id}.")]
            wanted = [content for content in wanted if not content.startswith(f"{party.user_id}.")]
        assert had == wanted, f"{party.user_id} in {place.session}"
