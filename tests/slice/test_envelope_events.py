"""Server-sent events of the envelope wire, through all four services: what is told by name, and resuming elsewhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.clients.envelope import ChatMessage
from tests.fakes.clock import settle
from tests.fakes.listener import Listener, listening, served
from tests.slice.test_conversations import rest, room, say
from tests.slice.warren import Warren, running, send


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="envelope") as warren:
        warren.start_gateway("gw-2")
        await settle()
        yield warren


@asynccontextmanager
async def listener(warren: Warren, user: str, via: str, **query: str) -> AsyncIterator[Listener]:
    """Let a user listen, until the context ends."""
    public = warren.processes[via].service.public
    assert public is not None
    asked = httpx.URL("/sse", params={"token": warren.token(user), **query})
    async with served(public.app) as http, listening(http, str(asked)) as heard:
        await settle()
        yield heard


async def named(heard: Listener, name: str, **data: object) -> dict[str, object]:
    """The data of the next event of this name with these data; others are passed over."""
    while True:
        told = await heard.any()
        if told.name == name and told.frame is not None and data.items() <= told.frame.items():
            return told.frame


async def hear(heard: Listener, content: str) -> tuple[list[object], str]:
    """Give the contents of the messages up to this one, and the id that covers it: each burst has one at its end."""
    contents: list[object] = []
    while True:
        told = await heard.any()
        if told.name == "chat" and told.frame is not None:
            contents.append(told.frame["content"])
        if content in contents and told.id is not None:
            return contents, told.id


async def test_everything_that_happens_has_its_event(warren: Warren) -> None:
    alice = await warren.connect("alice")
    async with listener(warren, "bob", "gw-2", events="envelope") as bob:
        await named(bob, "systemMessage")
        plans = await room(warren, "alice", "bob")
        assert (await named(bob, "notification"))["title"] == "Plans"
        await say(alice, plans, "hi")
        assert ChatMessage.from_json(await named(bob, "chat")).content == "hi"
        alice.send_frame("typing", conversation_id=plans)
        assert (await named(bob, "typing"))["userId"] == "alice"
        alice.send_frame("ack", conversation_id=plans, seq=1, stage="read")
        await settle()
        await warren.passes(1)
        assert (await named(bob, "receipt"))["channelId"] == plans
        assert ("bob", "delivered") in [(told["user_id"], told["stage"]) for told in alice.unread("receipt")]


async def test_a_listener_follows_whom_its_user_talks_to_directly(warren: Warren) -> None:
    alice = await warren.connect("alice")
    await send(alice, "bob", "hi", "c1")
    await warren.settled()
    async with listener(warren, "bob", "gw-2") as bob:
        assert await named(bob, "userStatus", userId="alice", status="online")
        alice.hang_up()
        await warren.passes(10)
        assert await named(bob, "userStatus", userId="alice", status="offline")


@pytest.mark.parametrize("events", ["all", "envelope"])
async def test_a_listener_resumes_at_any_gateway_without_loss_or_repeat(warren: Warren, events: str) -> None:
    alice = await warren.connect("alice")
    contents: list[object] = []
    since: dict[str, str] = {}
    for number, via in enumerate(("gw-1", "gw-2", "gw-1")):
        async with listener(warren, "bob", via, events=events, **since) as bob:
            await send(alice, "bob", f"live {number}", f"live-{number}")
            more, since["since"] = await hear(bob, f"live {number}")
            contents += more
        await send(alice, "bob", f"away {number}", f"away-{number}")
        await warren.settled()
    assert contents == ["live 0", "away 0", "live 1", "away 1", "live 2"]


async def messages(heard: Listener, *last: object) -> list[tuple[str | None, object, str | None]]:
    """The next message, or all up to the last, by its name and content: the name, the content and the id of each."""
    told: list[tuple[str | None, object, str | None]] = []
    while not told or (last and told[-1][:2] != last):
        each = await heard.any()
        if each.frame is not None and each.name == "chat":
            told.append((each.name, each.frame["content"], each.id))
        elif each.frame is not None and each.frame.get("type") == "message":
            told.append((each.name, each.frame["data"]["content"], each.id))
    return told


@pytest.mark.parametrize(("events", "last"), [("all", None), ("envelope", "chat"), ("native", None)])
async def test_a_listener_that_is_cut_off_behind_any_message_goes_on_right_there(
    warren: Warren, events: str, last: str | None
) -> None:
    alice = await warren.connect("alice")
    async with listener(warren, "bob", "gw-1", events=events) as bob:
        for number in range(3):
            await send(alice, "bob", str(number), f"c{number}")
        told = await messages(bob, last, "2")
    await warren.settled()
    assert len(told) == (6 if events == "all" else 3)
    for number, (_, _, id_) in enumerate(told[:-1]):
        assert id_ is not None
        async with listener(warren, "bob", "gw-2", events=events, since=id_) as bob:
            rest = await messages(bob, last, "2")
        assert [each[:2] for each in (*told[: number + 1], *rest)] == [each[:2] for each in told]


@pytest.mark.parametrize("events", ["all", "envelope", "native"])
async def test_a_listener_that_is_cut_off_behind_each_message_is_told_all_of_them_once(
    warren: Warren, events: str
) -> None:
    async with listener(warren, "bob", "gw-1", events=events) as bob:
        await bob.any()
        since = bob.last_id
    senders = {name: await warren.connect(name) for name in ("alice", "carol")}
    first, second = sorted(senders, key=lambda name: warren.direct(name, "bob"))  # their turns, where both have news
    await send(senders[second], "bob", "one", "c1")
    later = {"two": first, "three": second, "four": first}
    told: list[tuple[str | None, object]] = []
    while len(told) < (8 if events == "all" else 4):
        assert since is not None
        await warren.settled()
        async with listener(warren, "bob", "gw-2", events=events, since=since) as bob:
            [(name, content, since)] = await messages(bob)
        told.append((name, content))
        for text in list(later)[:1]:
            await send(senders[later.pop(text)], "bob", text, text)
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("events", ["all", "envelope"])
async def test_who_is_added_hears_that_once_and_nothing_of_what_was_said_before(warren: Warren, events: str) -> None:
    alice = await warren.connect("alice")
    async with listener(warren, "bob", "gw-2", events=events) as bob:
        news = await room(warren, "alice", kind="channel")
        await say(alice, news, "before")
        await rest(warren, "alice", "POST", f"/v1/conversations/{news}/members", user_ids=["bob"])
        await say(alice, news, "now")
        told: list[object] = []
        while not told or told[-1] != "now":
            each = await bob.any()
            if each.frame is not None and each.name in ("chat", "notification"):
                told.append(each.frame.get("content") or each.frame["body"])
    assert told == ["You were added.", "now"]
