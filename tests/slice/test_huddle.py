"""The huddle wire's published web client beside native ones, through all four services at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import httpx
import pytest

from tests.clients.huddle import HuddleUp, Json
from tests.fakes.clock import settle
from tests.slice.sockets import FakeSocket
from tests.slice.test_conversations import rest
from tests.slice.warren import Warren, running, send


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="huddle") as warren:
        warren.start_gateway("gw-2")
        await settle()
        yield warren


class App(HuddleUp):
    """The app of one user, in a browser."""

    def __init__(self, warren: Warren, user: str, via: str) -> None:
        super().__init__(self._ask, warren.clock.monotonic)
        self.user = user
        self._warren = warren
        self._via = via

    def connect(self) -> FakeSocket:
        """Open the socket, as `buildWebSocketUrl` says."""
        socket = self._warren.dial(f"token={self._warren.token(self.user)}", via=self._via, path="/ws")
        self.service.socket = socket
        return socket

    async def shown(self) -> list[str]:
        """Give what its screen shows."""
        await self._warren.settled()
        await settle()
        self.service.pump()
        return [message["content"] for message in self.store.messages]

    async def refused(self, method: str, path: str, body: Json | None = None) -> tuple[int, str]:
        """Ask for what is refused; gives the status and the code."""
        response = await self._request(method, path, body)
        said = response.json()
        assert set(said) >= {"detail", "status_code"}, said
        assert said["status_code"] == response.status_code
        return response.status_code, said["code"]

    async def _ask(self, method: str, path: str, body: Json | None) -> Any:
        response = await self._request(method, path, body)
        assert response.is_success, response.text
        return response.json()

    async def _request(self, method: str, path: str, body: Json | None) -> httpx.Response:
        public = self._warren.processes[self._via].service.public
        assert public is not None
        headers = {"Authorization": f"Bearer {self._warren.token(self.user)}"}
        prefix = "" if path.startswith("/api/") else "/api/v1"
        transport = httpx.ASGITransport(public.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://warren", headers=headers) as client:
            return await client.request(method, prefix + path, json=body)


async def passing(warren: Warren, asking: Awaitable[object]) -> None:
    """Let time pass for a request that waits until what it says counts."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_awaited(asking))
        await warren.passes(2)


async def _awaited(asking: Awaitable[object]) -> None:
    await asking


async def app(warren: Warren, user: str, via: str = "gw-1") -> App:
    made = App(warren, user, via)
    made.connect()
    await settle()
    return made


async def team_channel(owner: App, *members: str, **wish: Any) -> int:
    """Make a team with members, and an open channel in it."""
    team = await owner.create_team(name="Team", description="All of us")
    for member in members:
        await owner.call(
            "POST", f"/teams/{team['id']}/members", {"user_id": int(member) if member.isdigit() else member}
        )
    made = await owner.create_channel(**{"name": "general", "team_id": team["id"], **wish})
    assert made["team_id"] == team["id"]
    number: int = made["id"]
    return number


async def test_two_people_chat_edit_and_delete_in_a_channel(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2", "gw-2")
    general = await team_channel(alice, "2")
    await alice.open_channel(general)
    await settle()
    [offered] = await bob.team_channels((await bob.call("GET", "/teams"))[0]["id"])
    assert (offered["id"], offered["is_member"]) == (general, False)
    bob.store.show(general)
    bob.service.join_channel(general)  # an open channel is joined by showing it
    await settle()
    sent = await alice.send("hi")
    await alice.send("there")
    assert await bob.shown() == await alice.shown() == ["hi", "there"]
    assert (sent["author_id"], bob.store.messages[0]["author"]["username"]) == (1, "1".title())
    await alice.edit(sent["id"], "hello")
    assert await bob.shown() == ["hello", "there"]
    assert bob.store.messages[0]["is_edited"]
    await alice.delete(sent["id"])
    assert await bob.shown() == await alice.shown() == ["there"]
    await bob.load(general)
    assert await bob.shown() == ["there"]
    assert alice.service.errors == bob.service.errors == []


async def test_the_author_s_other_devices_get_the_message(warren: Warren) -> None:
    here, there = await app(warren, "1"), await app(warren, "1", "gw-2")
    general = await team_channel(here)
    there.store.show(general)
    here.store.show(general)
    await here.send("hi")
    assert await there.shown() == await here.shown() == ["hi"]


async def test_a_native_user_and_a_channel_user_talk_directly(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "2", "gw-2")
    sent = await send(alice, "2", "hi", "c-1")
    await settle()
    [direct] = [each for each in await bob.own_channels() if each["type"] == "direct"]
    bob.store.show(direct["id"])
    assert await bob.shown() == ["hi"]
    assert direct["id"] == sent["number"] >> 26
    await bob.send("hello")
    assert (await alice.next("message"))["content"] == "hi"
    assert (await alice.next("message"))["content"] == "hello"
    await warren.passes(1)
    assert (await alice.next("receipt"))["stage"] == "delivered"
    await passing(warren, bob.mark_read(direct["id"], bob.store.messages[0]["id"]))
    assert [receipt["stage"] for receipt in alice.unread("receipt")] == ["read"]


async def test_messages_sent_while_away_come_on_reconnect(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2", "gw-2")
    general = await team_channel(alice, "2")
    await bob.open_channel(general)
    await settle()
    alice.store.show(general)
    await alice.send("one")
    assert await bob.shown() == ["one"]
    bob.service.join_channel(general)  # anything that it says confirms what it was written
    await settle()
    assert bob.service.socket is not None
    bob.service.socket.hang_up()
    await warren.passes(1)
    await alice.send("two")
    await alice.send("three")
    bob.connect()
    await settle()
    assert await bob.shown() == ["one", "two", "three"]


async def test_what_was_said_before_one_came_is_not_pushed(warren: Warren) -> None:
    alice, bob, carol = await app(warren, "1"), await app(warren, "2", "gw-2"), App(warren, "3", "gw-1")
    general = await team_channel(alice, "2", "3")
    for each in (alice, bob, carol):
        each.store.show(general)
    for number in range(250):  # more than a page of history's
        await alice.send(f"before {number}")
    bob.service.join_channel(general)
    await carol.call("POST", f"/channels/{general}/join")
    await settle()
    assert await bob.shown() == []
    await alice.send("after")
    carol.connect()  # for the first time
    await settle()
    assert await bob.shown() == await carol.shown() == ["after"]


async def test_typing_is_told_to_the_others_and_expires_after_three_seconds(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2", "gw-2")
    general = await team_channel(alice, "2")
    for each in (alice, bob):
        await each.open_channel(general) if each is alice else each.service.join_channel(general)
        await settle()
    bob.store.show(general)
    alice.service.send_typing(general, is_typing=True)
    await bob.shown()
    await alice.shown()
    now = warren.clock.monotonic
    assert bob.store.typists(now()) == ["1"]
    assert alice.store.typists(now()) == []
    await warren.passes(4)
    assert bob.service.socket is not None
    assert bob.service.socket.taken()[-1]["data"]["is_typing"] is False


async def test_who_is_online_in_a_channel_is_told_and_goes_with_the_last_device(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2", "gw-2")
    other = await app(warren, "2")
    general = await team_channel(alice, "2")
    bob.service.join_channel(general)
    await settle()
    await alice.open_channel(general)
    await alice.shown()
    assert alice.store.online == {2: general}
    assert bob.service.socket is not None
    assert other.service.socket is not None
    bob.service.socket.hang_up()
    await warren.passes(30)
    await alice.shown()
    assert alice.store.online == {2: general}
    other.service.socket.hang_up()
    await warren.passes(30)
    await alice.shown()
    assert alice.store.online == {}
    bob.connect()
    await settle()
    await alice.shown()
    assert alice.store.online == {2: general}


async def test_a_private_channel_is_for_its_members(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2")
    secret = await team_channel(alice, "2", name="secret", type="private")
    alice.store.show(secret)
    sent = await alice.send("between us")
    assert await bob.refused("GET", f"/channels/{secret}") == (404, "not_found")
    assert await bob.refused("GET", f"/messages?channel_id={secret}") == (404, "not_found")
    assert await bob.refused("GET", f"/messages/{sent['id']}") == (404, "not_found")
    assert await bob.refused("POST", "/messages", {"channel_id": secret, "content": "hi"}) == (404, "not_found")
    bob.service.join_channel(secret)
    await bob.shown()
    assert [(error["type"], error["data"]["code"], error["channel_id"]) for error in bob.service.errors] == [
        ("error", "not_found", secret)
    ]
    await alice.call("POST", f"/channels/{secret}/members", {"user_id": 2})
    bob.store.show(secret)
    await alice.send("welcome")
    assert await bob.shown() == ["welcome"]


async def test_only_the_author_edits_or_deletes(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2")
    general = await team_channel(alice, "2")
    bob.store.show(general)
    await bob.call("POST", f"/channels/{general}/join")
    sent = await bob.send("mine")
    path = f"/messages/{sent['id']}"
    assert await alice.refused("PUT", path, {"content": "yours"}) == (403, "forbidden")
    assert await alice.refused("DELETE", path) == (403, "forbidden")
    await bob.call("PUT", f"/api{path}", {"content": "still mine"})
    await bob.call("DELETE", f"/api{path}")
    assert await bob.shown() == []


async def test_mentions_become_notifications_until_they_are_read(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2")
    general = await team_channel(alice, "2")
    await bob.call("PUT", "/users/me", {"username": "bob", "full_name": "Bob Stone"})
    await bob.call("POST", f"/channels/{general}/join")
    alice.store.show(general)
    await alice.send("hi @Bob, look")
    await alice.send("nobody@bob.example")
    await settle()
    assert [message["content"] for message in await bob.mentions()] == ["hi @Bob, look"]
    [notification] = await bob.call("GET", "/notifications")
    assert (notification["is_read"], notification["channel_id"]) == (False, general)
    assert (await bob.call("GET", "/notifications/unread-count"))["count"] == 1
    await passing(warren, bob.call("PUT", f"/notifications/{notification['id']}/read"))
    assert (await bob.call("GET", "/notifications/unread-count"))["count"] == 0
    assert await bob.call("GET", "/notifications?unread_only=true") == []


async def test_native_members_see_the_channel_and_its_team(warren: Warren) -> None:
    alice = await app(warren, "1")
    bob = await warren.connect("bob")
    general = await team_channel(alice, "bob")
    await alice.call("POST", f"/channels/{general}/members", {"user_id": "bob"})
    alice.store.show(general)
    parent = await alice.send("hi")
    reply = await alice.send(
        "again", parent_id=parent["id"], attachment_url="https://files/a.png", attachment_type="image/png"
    )
    await settle()
    assert (await bob.next("message"))["content"] == "hi"
    message = await bob.next("message")
    assert message["type"] == "image"
    assert message["metadata"]["huddle"]["attachment_url"] == "https://files/a.png"
    assert (reply["parent_id"], reply["attachment_type"]) == (parent["id"], "image/png")
    assert [each["id"] for each in await alice.replies(parent["id"])] == [reply["id"]]
    kinds = {each["kind"] for each in (await rest(warren, "bob", "GET", "/v1/conversations"))["conversations"]}
    assert kinds == {"space", "channel"}
