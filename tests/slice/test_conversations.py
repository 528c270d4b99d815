"""What people do with conversations, messages, names and devices, through all four services at once."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.fakes.clock import settle
from tests.slice.sockets import FakeSocket, Frame
from tests.slice.warren import Warren, running


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running() as warren:
        warren.start_gateway("gw-2")
        await settle()
        yield warren


async def rest(warren: Warren, user: str, method: str, path: str, status: int = 200, **body: object) -> Any:
    """Ask a gateway's REST API as a user; gives the answer's body."""
    public = warren.processes["gw-1"].service.public
    assert public is not None
    headers = {"Authorization": f"Bearer {warren.token(user)}"}
    transport = httpx.ASGITransport(public.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://warren", headers=headers) as client:
        response = await client.request(method, path, json=body or None)
    assert response.status_code == status, response.text
    return response.json() if response.content else None


async def room(warren: Warren, *members: str, kind: str = "group", **body: object) -> str:
    """Make a conversation by its first member; its entry is version 1."""
    owner, *others = members
    made = await rest(
        warren, owner, "POST", "/v1/conversations", 201, kind=kind, name="Plans", member_ids=others, **body
    )
    await settle()
    conversation_id: str = made["id"]
    return conversation_id


async def say(socket: FakeSocket, room: str, content: str) -> Frame:
    return await socket.request("send", conversation_id=room, content=content)


def pushed(socket: FakeSocket, *types: str) -> list[tuple[str, int]]:
    """The log as it was pushed: type and version of each entry."""
    entries = [(type_, data["version"]) for type_ in types or ENTRIES for data in socket.unread(type_)]
    return sorted(entries, key=lambda entry: entry[1])


ENTRIES = ("message", "message.updated", "message.deleted", "reaction", "conversation")


async def presence_of(socket: FakeSocket, user: str) -> Frame:
    """The next presence that the socket is told of this user."""
    frame = await socket.next_where(lambda frame: frame["type"] == "presence" and frame["data"]["user_id"] == user)
    data: Frame = frame["data"]
    return data


async def synced(socket: FakeSocket, since: str | None = None) -> list[tuple[str, int]]:
    answer = await socket.request("sync", since=since)
    return [(event["type"], event["data"]["version"]) for each in answer["conversations"] for event in each["events"]]


async def test_all_devices_see_one_log_of_messages_and_changes(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await warren.connect("bob", via="gw-2")
    plans = await room(warren, "alice", "bob")
    sent = await say(alice, plans, "hi")
    edit = await alice.request("edit", message_id=sent["message_id"], content="hello")
    react = await bob.request("react", message_id=sent["number"], emoji="👍")
    await bob.request("react", message_id=sent["message_id"], emoji="👍", remove=True)
    gone = await alice.request("delete", message_id=str(sent["number"]))
    await rest(warren, "alice", "PATCH", f"/v1/conversations/{plans}", name="Better plans")
    await warren.settled()
    assert (edit["version"], react["version"], gone["version"]) == (3, 4, 6)
    log = [
        ("conversation", 1),
        ("message", 2),
        ("message.updated", 3),
        ("reaction", 4),
        ("reaction", 5),
        ("message.deleted", 6),
        ("conversation", 7),
    ]
    assert pushed(alice) == pushed(bob) == log
    assert bob.unread("message.updated")[0]["content"] == "hello"
    assert bob.unread("conversation")[-1]["conversation"]["name"] == "Better plans"
    # What was said with emojis of a message that is gone need not be told any more.
    assert await synced(await warren.connect("bob")) == [entry for entry in log if entry[0] != "reaction"]


async def test_asking_for_what_is_so_already_takes_no_version(warren: Warren) -> None:
    alice = await warren.connect("alice")
    plans = await room(warren, "alice", "bob")
    sent = await say(alice, plans, "hi")
    for _ in range(2):
        assert (await alice.request("react", message_id=sent["message_id"], emoji="👍"))["version"] == 3
        assert (await alice.request("edit", message_id=sent["message_id"], content="hi"))["version"] == 3
    await warren.settled()
    assert pushed(alice) == [("conversation", 1), ("message", 2), ("reaction", 3)]


async def test_who_joins_later_sees_nothing_of_before_and_misses_nothing_after(warren: Warren) -> None:
    alice, carol = await warren.connect("alice"), await warren.connect("carol")
    plans = await room(warren, "alice", "bob", history="joined")
    early = await say(alice, plans, "early")
    await rest(warren, "alice", "PUT", f"/v1/conversations/{plans}/members/carol")
    await alice.request("edit", message_id=early["message_id"], content="earlier")
    await say(alice, plans, "welcome")
    await warren.settled()
    assert pushed(carol) == [("conversation", 3), ("message", 5)]
    assert (await carol.refused("react", message_id=early["message_id"], emoji="👍"))["code"] == "not_found"
    page = await carol.request("history", conversation_id=plans)
    assert [message["content"] for message in page["messages"]] == ["welcome"]
    assert await synced(await warren.connect("carol")) == [("conversation", 3), ("message", 5)]


async def test_who_is_removed_is_told_so_and_nothing_more(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await warren.connect("bob")
    plans = await room(warren, "alice", "bob", "carol")
    await say(alice, plans, "one")
    await rest(warren, "alice", "DELETE", f"/v1/conversations/{plans}/members/bob", 204)
    await say(alice, plans, "two")
    await warren.settled()
    assert pushed(bob) == [("conversation", 1), ("message", 2), ("conversation", 3)]
    assert (await bob.refused("history", conversation_id=plans))["code"] == "not_a_member"
    assert (await bob.refused("send", conversation_id=plans, content="me?"))["code"] == "not_a_member"


async def test_who_was_away_learns_of_the_removal_once(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await warren.connect("bob")
    plans = await room(warren, "alice", "bob")
    since = (await bob.request("sync"))["since"]
    bob.hang_up()
    await say(alice, plans, "one")
    await rest(warren, "alice", "DELETE", f"/v1/conversations/{plans}/members/bob", 204)
    await say(alice, plans, "two")
    again = await warren.connect("bob")
    answer = await again.request("sync", since=since)
    [changes] = answer["conversations"]
    assert [event["type"] for event in changes["events"]] == ["message", "conversation"]
    assert (await again.request("sync", since=answer["since"]))["conversations"] == []


async def test_who_comes_back_to_a_conversation_goes_on_from_there(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await warren.connect("bob")
    plans = await room(warren, "alice", "bob", history="joined")
    await rest(warren, "alice", "DELETE", f"/v1/conversations/{plans}/members/bob", 204)
    await say(alice, plans, "while he is away")
    await rest(warren, "alice", "PUT", f"/v1/conversations/{plans}/members/bob")
    await say(alice, plans, "welcome back")
    await warren.settled()
    assert pushed(bob) == [("conversation", 1), ("conversation", 2), ("conversation", 4), ("message", 5)]


async def test_a_message_deleted_for_oneself_is_gone_on_all_one_s_devices_and_there_for_others(warren: Warren) -> None:
    alice = await warren.connect("alice")
    bob, laptop = await warren.connect("bob"), await warren.connect("bob", via="gw-2")
    plans = await room(warren, "alice", "bob")
    sent = await say(alice, plans, "hi")
    await bob.request("delete", message_id=sent["message_id"], scope="me")
    await alice.request("edit", message_id=sent["message_id"], content="hello")
    await say(alice, plans, "more")
    await warren.settled()
    whole = [("conversation", 1), ("message", 2), ("message.updated", 4), ("message", 5)]
    his = [("conversation", 1), ("message", 2), ("message.deleted", 3), ("message", 5)]
    assert (pushed(alice), pushed(bob), pushed(laptop)) == (whole, his, his)


async def test_only_who_may_change_something_does(warren: Warren) -> None:
    bob = await warren.connect("bob")
    plans = await room(warren, "alice", "bob")
    sent = await say(await warren.connect("alice"), plans, "hi")
    carol = await warren.connect("carol")
    for refused, codes in (
        (await bob.refused("edit", message_id=sent["message_id"], content="x"), ("forbidden",)),
        (await bob.refused("delete", message_id=sent["message_id"]), ("forbidden",)),
        (await carol.refused("react", message_id=sent["message_id"], emoji="👍"), ("not_found", "not_a_member")),
        (await bob.refused("send", conversation_id=plans, content="x", type="system"), ("forbidden",)),
    ):
        assert refused["code"] in codes


async def test_a_conversation_s_number_is_as_good_as_its_id(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await warren.connect("bob")
    plans = await room(warren, "alice", "bob")
    number = (await rest(warren, "alice", "GET", f"/v1/conversations/{plans}"))["number"]
    sent = await alice.request("send", conversation_id=number, content="hi")
    assert sent["conversation_id"] == plans
    await warren.settled()
    bob.send_frame("ack", conversation_id=str(number), seq=1, stage="read")
    await warren.passes(1)
    assert [receipt["stage"] for receipt in alice.unread("receipt") if receipt["user_id"] == "bob"] == [
        "delivered",
        "read",
    ]


async def test_replayed_and_live_entries_come_to_what_is_there(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await warren.connect("bob")
    plans = await room(warren, "alice", "bob")
    since = (await bob.request("sync"))["since"]
    first = await say(alice, plans, "one")
    bob.hang_up()
    await alice.request("edit", message_id=first["message_id"], content="ONE")
    second = await say(alice, plans, "two")
    again = await warren.connect("bob", since=since)
    answer = await again.request("sync", since=since)
    await alice.request("delete", message_id=second["message_id"])
    await warren.settled()
    state: dict[str, Frame] = {}
    replayed = [event for changes in answer["conversations"] for event in changes["events"]]
    live = [{"type": type_, "data": data} for type_ in ENTRIES for data in again.unread(type_)]
    for event in sorted(replayed + live, key=lambda event: int(event["data"]["version"])):
        if event["type"].startswith("message"):
            state[event["data"]["id"]] = event["data"]
    page = await again.request("history", conversation_id=plans)
    fresh = {message["id"]: (message["content"], message["deleted_at"]) for message in page["messages"]}
    assert {known: (one["content"], one["deleted_at"]) for known, one in state.items()} == fresh
    assert [content for content, _ in fresh.values()] == ["ONE", ""]


# --- presence, names, devices


async def test_who_is_watched_is_seen_coming_choosing_and_going(warren: Warren) -> None:
    alice = await warren.connect("alice")
    reply = await alice.request("subscribe", users=["bob"])
    assert [one["status"] for one in reply["presence"]] == ["offline"]
    bob = await warren.connect("bob", via="gw-2")
    await warren.settled()
    assert (await presence_of(alice, "bob"))["status"] == "online"
    await bob.request("presence", status="dnd", text="in a meeting")
    await warren.settled()
    busy = await presence_of(alice, "bob")
    assert (busy["status"], busy["text"]) == ("dnd", "in a meeting")
    await bob.request("presence", status="invisible")
    await warren.settled()
    assert (await presence_of(alice, "bob"))["status"] == "offline"
    assert (await presence_of(bob, "bob"))["status"] == "online"
    assert (await presence_of(bob, "bob"))["status"] == "dnd"
    assert (await presence_of(bob, "bob"))["status"] == "invisible"


async def test_a_short_absence_is_seen_by_nobody_and_a_long_one_is(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await warren.connect("bob")
    await warren.settled()
    await alice.request("subscribe", users=["bob"])
    bob.hang_up()
    await warren.passes(3)
    bob = await warren.connect("bob")
    await warren.passes(10)
    assert [one for one in alice.unread("presence") if one["user_id"] == "bob"] == []
    bob.hang_up()
    await warren.passes(10)
    assert (await presence_of(alice, "bob"))["status"] == "offline"


async def test_a_new_name_is_on_the_messages_that_follow(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await warren.connect("bob", via="gw-2")
    plans = await room(warren, "alice", "bob")
    await rest(warren, "bob", "PATCH", "/v1/users/bob", name="Robert")
    await warren.settled()
    await say(bob, plans, "hi")
    assert (await alice.next("message"))["sender_name"] == "Robert"
    assert (await rest(warren, "alice", "GET", "/v1/users/bob"))["name"] == "Robert"


async def test_a_device_that_is_signed_out_is_closed_everywhere_and_its_token_counts_no_more(warren: Warren) -> None:
    bob, other = await warren.connect("bob"), await warren.connect("bob", via="gw-2")
    old = warren.token("bob")
    await warren.settled()
    await warren.passes(1)
    await rest(warren, "bob", "DELETE", "/v1/devices/bob-phone", 204)
    await warren.settled()
    assert (await bob.closed(), await other.closed()) == (3502, 3502)
    refused = warren.dial(f"token={old}")
    assert await refused.closed() == 3502
    await warren.passes(2)
    await warren.connect("bob")  # with a token from after
