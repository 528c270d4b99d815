"""Operators erase users and let messages expire, and everybody's clients follow."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.admin import build_admin_app
from shared.settings import AdminSettings
from tests.fakes.history_commands import ALICE, BOB, GROUP, create_group, done
from tests.slice.sockets import FakeSocket
from tests.slice.warren import ENVIRON, Warren, running, send


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running() as warren:
        yield warren


@pytest.fixture
async def operator(warren: Warren) -> AsyncIterator[httpx.AsyncClient]:
    service = warren.processes["history"].service
    app = build_admin_app(service, AdminSettings.from_env(ENVIRON), asyncio.Event())
    headers = {"Authorization": f"Bearer {ENVIRON['WARREN_ADMIN_TOKEN']}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://history", headers=headers
    ) as http:
        yield http


async def group(warren: Warren) -> None:
    [created] = await warren.messages.create([create_group((ALICE, BOB), creator=BOB)], at=warren.clock.now())
    done(created)


async def messages(socket: FakeSocket, conversation_id: str) -> list[dict[str, Any]]:
    page: list[dict[str, Any]] = (await socket.request("history", conversation_id=conversation_id))["messages"]
    return page


async def test_who_is_erased_is_gone_from_everyones_sight(warren: Warren, operator: httpx.AsyncClient) -> None:
    await group(warren)
    alice, bob = await warren.connect("alice"), await warren.connect("bob")
    for n in range(3):
        await alice.request("send", conversation_id=GROUP, content=f"secret {n}", client_id=f"c{n}")
    kept = await bob.request("send", conversation_id=GROUP, content="hello", client_id="b")
    await alice.request("react", message_id=kept["message_id"], emoji="👍")
    await send(alice, "bob", "secret", "d")

    answer = await operator.post("/admin/users/alice/erase")
    assert (answer.status_code, answer.json()) == (202, {"conversations": 2, "messages": 4})
    deleted = [await bob.next("message.deleted") for _ in range(4)]
    assert {(each["content"], each["sender_name"]) for each in deleted} == {("", "")}
    assert [(await bob.next("reaction"))["removed"] for _ in range(2)] == [False, True]
    left = await bob.next("conversation")
    assert (left["change"], left["user_ids"], left["actor_id"]) == ("member_removed", ["alice"], None)
    shown = await messages(bob, GROUP)
    assert [(each["content"], each["reactions"]) for each in shown] == [("", {})] * 3 + [("hello", {})]
    await warren.settled()

    assert (await operator.post("/admin/users/alice/erase")).json() == {"conversations": 0, "messages": 0}
    exported = (await operator.post("/admin/users/alice/export")).text
    assert ("secret" in exported, "Alice" in exported) == (False, False)


async def test_reactions_of_who_has_left_before_are_gone_too(warren: Warren, operator: httpx.AsyncClient) -> None:
    await group(warren)
    alice, bob = await warren.connect("alice"), await warren.connect("bob")
    sent = await bob.request("send", conversation_id=GROUP, content="hello", client_id="b")
    await alice.request("react", message_id=sent["message_id"], emoji="👍")
    await operator.post("/admin/users/alice/erase")
    await warren.settled()
    assert [each["reactions"] for each in await messages(bob, GROUP)] == [{}]


async def test_what_expires_is_not_there_any_more_and_the_rest_goes_on(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await warren.connect("bob")
    room = warren.direct("alice", "bob")
    for n in range(3):
        await send(alice, "bob", f"old {n}", f"o{n}")
    await warren.passes(5)
    now = warren.clock.now()
    new = await bob.request("send", to="alice", content="new", client_id="n")
    assert await warren.messages.remove_before(room, now, 10) == 3
    assert [each["id"] for each in await messages(bob, room)] == [new["message_id"]]
    assert (await alice.refused("edit", message_id=1, content="x"))["code"] == "not_found"
    phone = await warren.connect("alice")
    [changes] = (await phone.request("sync"))["conversations"]
    assert [event["data"]["seq"] for event in changes["events"]] == [4]
    assert (changes["conversation"]["unread"], changes["conversation"]["last_seq"]) == (1, 4)
    assert (await send(alice, "bob", "on", "o9"))["seq"] == 5
    await warren.settled()
