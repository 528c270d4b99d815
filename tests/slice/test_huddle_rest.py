"""The huddle wire's REST API, through all four services at once: teams, channels, pages, users, accounts."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.fakes.clock import settle
from tests.slice.sockets import Frame
from tests.slice.test_huddle import App, app, team_channel
from tests.slice.warren import Warren, running


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="huddle") as warren:
        yield warren


async def test_pages_are_oldest_first_and_have_no_holes_where_messages_are_deleted(warren: Warren) -> None:
    alice = await app(warren, "1")
    general = await team_channel(alice)
    alice.store.show(general)
    sent = [await alice.send(str(number)) for number in range(1, 8)]
    await alice.delete(sent[4]["id"])
    path = f"/messages?channel_id={general}&limit=3"

    async def page(query: str) -> str:
        return "".join(message["content"] for message in await alice.call("GET", path + query))

    assert await page("") == "467"
    assert await page("&skip=2") == "234"
    assert await page(f"&before_message_id={sent[5]['id']}") == "234"
    assert await page(f"&before_message_id={sent[5]['id']}&skip=2") == "12"
    assert await page(f"&after_message_id={sent[2]['id']}") == "467"
    assert await page(f"&after_message_id={sent[0]['id']}&skip=1") == "346"
    assert await alice.refused("GET", f"{path}&before_message_id={sent[1]['id']}&after_message_id=1") == (
        400,
        "invalid",
    )


async def test_channels_are_changed_archived_and_deleted(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2")
    general = await team_channel(alice, "2", description="Everything", topic="Today")
    await bob.call("POST", f"/channels/{general}/join")
    path = f"/channels/{general}"
    shown = await bob.call("GET", path)
    assert (shown["description"], shown["topic"], shown["type"], shown["creator_id"]) == (
        "Everything",
        "Today",
        "public",
        1,
    )
    assert (shown["role"], shown["member_count"]) == ("member", 2)
    assert await bob.refused("PUT", path, {"name": "mine"}) == (403, "forbidden")
    changed = await alice.call("PUT", path, {"name": "all", "topic": None, "type": "private"})
    assert (changed["name"], changed["topic"], changed["description"], changed["type"]) == (
        "all",
        None,
        "Everything",
        "private",
    )
    await alice.call("POST", f"{path}/archive")
    assert (await bob.call("GET", path))["is_archived"]
    assert await bob.own_channels() == []
    assert await bob.refused("POST", "/messages", {"channel_id": general, "content": "hi"}) == (403, "forbidden")
    await alice.call("POST", f"{path}/unarchive")
    bob.store.show(general)
    await bob.send("hi")
    assert await alice.call("GET", f"{path}/stats") == {"member_count": 2, "message_count": 1}
    assert await bob.refused("DELETE", path) == (403, "forbidden")
    await alice.call("DELETE", path)
    for each in (alice, bob):
        assert (await each.refused("GET", path))[0] in (403, 404)
        assert await each.own_channels() == []


async def test_nothing_is_said_in_a_channel_once_it_is_archived_on_any_gateway(warren: Warren) -> None:
    warren.start_gateway("gw-2")
    await settle()
    alice, bob = App(warren, "1", "gw-1"), App(warren, "2", "gw-2")  # without sockets nothing is told to them
    general = await team_channel(alice, "2")
    await bob.call("POST", f"/channels/{general}/join")
    bob.store.show(general)
    await bob.send("hi")
    await alice.call("POST", f"/channels/{general}/archive")
    for each in (alice, bob):
        assert await each.refused("POST", "/messages", {"channel_id": general, "content": "no"}) == (403, "forbidden")
        socket = each.connect()
        socket.send_text(f'{{"type":"send_message","channel_id":{general},"data":{{"content":"no"}}}}')
        assert (await socket.next("error"))["code"] == "forbidden"


async def test_members_come_go_and_have_roles(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2")
    general = await team_channel(alice, "2")
    path = f"/channels/{general}/members"
    joined = await bob.call("POST", f"/channels/{general}/join")
    assert (joined["user_id"], joined["channel_id"], joined["role"], joined["user"]["is_online"]) == (
        2,
        general,
        "member",
        True,
    )
    assert (await alice.call("PUT", f"{path}/2", {"role": "admin"}))["role"] == "admin"
    assert [(member["user_id"], member["role"]) for member in await bob.call("GET", path)] == [
        (1, "owner"),
        (2, "admin"),
    ]
    assert await bob.refused("PUT", f"{path}/1", {"role": "member"}) == (403, "forbidden")
    assert await alice.refused("PUT", f"{path}/3", {"role": "member"}) == (404, "not_found")
    assert await alice.refused("POST", f"/channels/{general}/leave") == (409, "conflict")
    await alice.call("DELETE", f"{path}/2")
    assert [member["user_id"] for member in await alice.call("GET", path)] == [1]


async def test_a_team_that_is_left_or_deleted_takes_its_channels_along(warren: Warren) -> None:
    alice, bob, carol = await app(warren, "1"), await app(warren, "2"), await app(warren, "3")
    general = await team_channel(alice, "2", "3")
    [team] = await alice.call("GET", "/teams")
    path = f"/teams/{team['id']}"
    for each in (bob, carol):
        await each.call("POST", f"/channels/{general}/join")
    assert await alice.call("GET", f"{path}/stats") == {"member_count": 3, "channel_count": 1}
    assert [each["id"] for each in await bob.call("GET", "/teams/search?q=EA")] == [team["id"]]
    assert [each["id"] for each in await bob.call("GET", f"/channels/team/{team['id']}/search?q=gen")] == [general]
    changed = await alice.call("PUT", path, {"name": "Crew", "description": None, "is_public": True})
    assert (changed["name"], changed["description"], changed["is_public"]) == ("Crew", None, True)
    await bob.call("POST", f"{path}/leave")
    await settle()
    assert await bob.own_channels() == []
    assert (await bob.call("POST", f"{path}/join"))["team_id"] == team["id"]
    assert await carol.refused("DELETE", path) == (403, "forbidden")
    await alice.call("DELETE", path)
    await settle()
    for each in (alice, bob, carol):
        assert await each.call("GET", "/teams") == []
    assert await carol.own_channels() == []


async def test_messages_are_found_by_what_they_say_within_the_caller_s_channels(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2")
    general, secret = await team_channel(alice, "2"), await team_channel(alice, type="private")
    await bob.call("POST", f"/channels/{general}/join")
    for channel in (general, secret):
        alice.store.show(channel)
        await alice.send("A Plan")
    assert [found["channel_id"] for found in await alice.search("plan")] == [secret, general]
    assert [found["channel_id"] for found in await alice.search("plan", channel_id=general)] == [general]
    team = (await alice.call("GET", f"/channels/{secret}"))["team_id"]
    assert [found["channel_id"] for found in await alice.search("plan", team_id=team)] == [secret]
    assert [found["channel_id"] for found in await bob.search("PLAN")] == [general]
    assert await bob.refused("GET", f"/messages/search?q=plan&channel_id={secret}") == (404, "not_found")


async def test_users_are_found_and_change_their_own_profile_alone(warren: Warren) -> None:
    alice = await app(warren, "1")
    await app(warren, "2")
    changes = {"full_name": "Alice Young", "username": "alice", "bio": "Hi", "timezone": "Europe/Berlin"}
    changed = await alice.call("PUT", "/users/1", changes)
    assert changes.items() <= changed.items()
    assert [user["id"] for user in await alice.call("GET", "/users/search?q=ali&limit=5")] == [1]
    assert (await alice.call("GET", "/users/2"))["email"] is None
    assert (await alice.call("POST", "/users/2/online"))["is_online"] is True
    assert await alice.refused("PUT", "/users/2", {"bio": "yours"}) == (403, "forbidden")
    assert await alice.refused("GET", "/users/77") == (404, "not_found")


async def test_who_registers_is_invited_by_email_and_chats(warren: Warren) -> None:
    alice, nobody = await app(warren, "1"), App(warren, "", "gw-1")
    account = {"username": "dora", "email": "dora@example.com", "full_name": "Dora D.", "password": "a long password"}
    await nobody.call("POST", "/auth/register", account)
    granted = await nobody.call("POST", "/auth/login", {"username": "dora", "password": "a long password"})
    assert granted["token_type"] == "bearer"
    general = await team_channel(alice)
    [team] = await alice.call("GET", "/teams")
    invited = await alice.call("POST", f"/teams/{team['id']}/invite", {"email": "dora@example.com", "role": "member"})
    assert (invited["user"]["username"], invited["user"]["email"]) == ("dora", None)
    assert await alice.refused("POST", f"/teams/{team['id']}/invite", {"email": "x@example.com"}) == (404, "not_found")
    socket = warren.dial(f"token={granted['access_token']}", path="/ws")
    socket.send_text(f'{{"type":"join_channel","data":{{"channel_id":{general}}}}}')
    await settle()
    socket.send_text(f'{{"type":"send_message","channel_id":{general},"data":{{"content":"hello"}}}}')
    message: Frame = await socket.next("message")
    assert (message["author"]["username"], message["author_id"]) == ("dora", invited["user_id"])
    alice.store.show(general)
    assert await alice.shown() == ["hello"]


async def test_a_channel_user_opens_a_direct_channel_with_a_native_one(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await warren.connect("bob")
    made = [await alice.call("POST", "/channels", {"type": "direct", "user_id": "bob"}) for _ in range(2)]
    assert made[0]["id"] == made[1]["id"]
    assert (made[0]["type"], made[0]["name"]) == ("direct", "Bob")
    alice.store.show(made[0]["id"])
    await alice.send("hi")
    assert (await bob.next("message"))["content"] == "hi"
    alice.service.join_channel(made[0]["id"])
    await alice.shown()
    assert alice.store.online == {"bob": made[0]["id"]}


async def test_a_path_that_ends_with_a_slash_is_found(warren: Warren) -> None:
    public = warren.processes["gw-1"].service.public
    assert public is not None
    headers = {"Authorization": f"Bearer {warren.token('1')}"}
    transport = httpx.ASGITransport(public.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://warren", headers=headers) as client:
        response = await client.post("/api/v1/teams/", json={"name": "Team"}, follow_redirects=True)
    assert (response.status_code, response.json()["name"]) == (201, "Team")


async def test_a_message_sent_again_under_its_client_id_is_stored_once(warren: Warren) -> None:
    alice = await app(warren, "1")
    short = await alice.call("POST", "/api/channels", {"name": "lobby"})
    body = {"content": "hi", "client_id": "c1"}
    sent = [await alice.call("POST", f"/api/channels/{short['id']}/messages", body) for _ in range(2)]
    assert sent[0]["id"] == sent[1]["id"]
    alice.store.show(short["id"])
    assert await alice.shown() == ["hi"]
