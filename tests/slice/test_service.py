"""The service wire through all four services at once: users, the agents that help them, and native clients beside."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import msgspec
import pytest

from tests.fakes.clock import settle
from tests.slice.service_client import Client, token_of
from tests.slice.warren import Warren, running, send

Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="service,flutter") as warren:
        warren.start_gateway("gw-2")
        await settle()
        yield warren


@pytest.fixture
def connect(warren: Warren) -> Connect:
    async def connect(user: str, *, agent: bool = False, **where: Any) -> Client:
        token = token_of(warren, user, role="agent") if agent else token_of(warren, user)
        client = Client(warren, user, token=token, **where)
        await client.open()
        assert (await client.register())["success"]
        return client

    return connect


# --- registering


async def test_a_client_is_greeted_and_registers(warren: Warren) -> None:
    client = Client(warren, "123", token=token_of(warren, "123"))
    await client.open()
    [greeting] = await client.heard("connect_success")
    assert greeting["success"]
    info = {"device_name": "iPhone 13", "device_type": "mobile", "platform": "iOS", "browser": "Safari"}
    answer = await client.register(user_id=123, connection_id="uuid", device_info=info)
    assert answer == {
        "success": True,
        "connection_id": "uuid",
        "socket_id": greeting["socket_id"],
        "message": "连接注册成功",
    }
    [device] = (await client.ask("get_devices"))["devices"]
    assert (device["device_id"], device["device_name"], device["device_type"]) == ("d1", "iPhone 13", "mobile")
    assert device["is_active"]


async def test_what_comes_before_registering_fails_and_the_connection_lives(warren: Warren) -> None:
    client = Client(warren, "alice", token=token_of(warren, "alice"))
    await client.open()
    for event in ("send_message", "heartbeat", "nonsense"):
        answer = await client.ask(event, session_id="s1", message="hi")
        assert not answer["success"]
        assert answer["code"] in ("unauthenticated", "unknown_type")
    assert (await client.register())["success"]


async def test_who_does_not_register_in_time_is_closed(warren: Warren) -> None:
    client = Client(warren, "alice", token=token_of(warren, "alice"))
    await client.open()
    await warren.passes(11)
    assert await client.socket.ended() == 1008
    assert client.socket.is_disconnected


async def test_a_token_given_when_connecting_will_do(warren: Warren) -> None:
    client = Client(warren, "alice", token="")
    await client.open({"token": token_of(warren, "alice")})
    assert (await client.register(token=None))["success"]


@pytest.mark.parametrize("wrong", ["garbage", "", "a.b.c"])
async def test_a_false_token_is_refused_and_closes(warren: Warren, wrong: str) -> None:
    client = Client(warren, "alice", token=wrong)
    await client.open()
    answer = await client.register()
    assert (answer["success"], answer["code"]) == (False, "unauthenticated")


async def test_somebody_elses_token_is_refused(warren: Warren) -> None:
    client = Client(warren, "mallory", token=token_of(warren, "alice"))
    await client.open()
    assert (await client.register())["code"] == "forbidden"
    assert await client.socket.ended() == 1008


async def test_registering_again_on_the_same_socket_is_answered_again(connect: Connect) -> None:
    alice = await connect("alice")
    assert (await alice.register(connection_id="c2"))["connection_id"] == "c2"
    assert (await alice.register(user_id="mallory"))["code"] == "forbidden"
    assert (await alice.register(token="garbage"))["code"] == "unauthenticated"


async def test_a_newer_socket_of_a_device_takes_over(connect: Connect) -> None:
    older = await connect("alice")
    newer = await connect("alice", via="gw-2")
    [kicked] = await older.heard("kicked")
    assert kicked["code"] == "replaced"
    assert older.socket.is_disconnected
    assert (await newer.ask("heartbeat", connection_id="c1"))["success"]


async def test_a_heartbeat_is_answered_and_silence_closes(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    for _ in range(5):
        await warren.passes(30)
        answer = await alice.ask("heartbeat", connection_id="c1")
        assert answer == {"success": True, "timestamp": warren.clock.now().strftime("%Y-%m-%dT%H:%M:%S")}
    await bob.settle()
    assert bob.socket.close_code == 3002
    assert alice.socket.close_code is None


# --- messages


async def test_a_message_reaches_the_other_user_with_every_documented_key(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("123"), await connect("456", via="gw-2")
    sent = await alice.say("s-1", "Hello", from_user_id=123, role="user", to_user_id=456, message_type="text")
    assert sent == {"success": True, "message_id": sent["message_id"], "time": f"{warren.clock.now():%H:%M}"}
    assert isinstance(sent["message_id"], int)
    [message] = await bob.heard("new_message")
    assert message == {
        "id": str(sent["message_id"]),
        "session_id": "s-1",
        "from": "user",
        "from_user_id": 123,
        "from_user_name": "123",
        "to_user_id": 456,
        "text": "Hello",
        "time": sent["time"],
        "avatar": "",
        "message_type": "text",
        "reply_to_message_id": None,
        "status": "sent",
        "offline": False,
        "timestamp": message["timestamp"],
    }
    assert await alice.heard("new_message") == []
    await bob.say(message["session_id"], "Hi", reply_to_message_id=sent["message_id"])
    [reply] = await alice.heard("new_message")
    assert (reply["text"], reply["session_id"], reply["reply_to_message_id"]) == ("Hi", "s-1", sent["message_id"])


async def test_receipts_come_to_all_the_senders_sockets_one_a_message(connect: Connect) -> None:
    desk, phone = await connect("alice", device="desk"), await connect("alice", device="phone", via="gw-2")
    bob = await connect("bob")
    ids = [(await desk.say("s1", text, to_user_id="bob"))["message_id"] for text in ("1", "2", "3")]
    assert await phone.texts() == ["1", "2", "3"]
    assert await bob.texts() == ["1", "2", "3"]
    assert (await bob.ask("message_delivered", message_id=ids[1], user_id="bob"))["success"]
    assert (await bob.ask("message_read", message_id=str(ids[0])))["success"]
    assert (await bob.ask("message_read", message_id=ids[2]))["success"]
    for socket in (desk, phone):
        told = [(each["message_id"], each["status"]) for each in await socket.heard("message_status")]
        first, second, third = (str(each) for each in ids)
        assert told[:2] == [(first, "delivered"), (second, "delivered")]
        assert told[2:] == [(first, "read"), (third, "delivered"), (second, "read"), (third, "read")]


async def test_what_came_while_away_is_pushed_in_order_as_offline_and_once(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.say("s1", "seen", to_user_id="bob")
    [seen] = await bob.heard("new_message")
    await bob.ask("message_delivered", message_id=int(seen["id"]))
    await warren.passes(2)
    await bob.hang_up()
    for number in range(5):
        await alice.say("s1", f"m{number}")
        await warren.passes(1)
    back = await connect("bob", via="gw-2")
    pushed = await back.heard("new_message")
    assert [each["text"] for each in pushed] == [f"m{number}" for number in range(5)]
    assert all(each["offline"] for each in pushed)
    await alice.say("s1", "live")
    [live] = await back.heard("new_message")
    assert (live["text"], live["offline"]) == ("live", False)
    for each in [*pushed, live]:
        await back.ask("message_delivered", message_id=int(each["id"]))
    await warren.passes(2)
    await back.hang_up()
    again = await connect("bob")
    assert await again.texts() == []


async def test_own_messages_come_to_the_users_other_devices_alone_and_not_back(connect: Connect) -> None:
    alice, _, tablet = await connect("alice"), await connect("bob"), await connect("alice", device="tablet")
    await tablet.hang_up()
    await alice.say("s1", "mine", to_user_id="bob")
    await alice.hang_up()
    assert await (await connect("alice", via="gw-2")).texts() == []
    assert await (await connect("alice", device="tablet")).texts() == ["mine"]


async def test_what_was_pushed_and_not_acknowledged_is_pushed_again(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    for text in ("1", "2", "3"):
        await alice.say("s1", text, to_user_id="bob")
    first, *_ = await bob.heard("new_message")
    await bob.ask("message_delivered", message_id=int(first["id"]))
    await warren.passes(2)
    await bob.hang_up()
    assert await (await connect("bob")).texts() == ["2", "3"]


async def test_a_message_sent_again_has_the_same_answer_and_comes_once(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    first = await alice.say("s1", "once", to_user_id="bob", client_id="k1")
    assert await alice.say("s1", "once", to_user_id="bob", client_id="k1") == first
    assert await alice.say("s1", "once", to_user_id="bob", msg_id="k1") == first
    assert await bob.texts() == ["once"]


async def test_requests_without_an_acknowledgement_are_carried_out(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.emit("send_message", session_id="s1", message="hi", to_user_id="bob")
    [message] = await bob.heard("new_message")
    await bob.emit("message_read", message_id=int(message["id"]))
    assert [each["status"] for each in await alice.heard("message_status")] == ["read"]
    await bob.emit("message_read", message_id=999)
    [error] = await bob.heard("error")
    assert (error["success"], error["code"]) == (False, "not_found")


async def test_many_messages_at_once_keep_their_order(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    for number in range(100):
        said = {"session_id": "s1", "message": f"{number}", "to_user_id": "bob"}
        alice.socket.emit("send_message", said, f"9{number:03}")
    assert await bob.texts() == [f"{number}" for number in range(100)]
    await alice.settle()
    answers = [alice.socket.acks[f"9{number:03}"]["message_id"] for number in range(100)]
    assert answers == sorted(answers)


async def test_messages_are_recalled_and_edited_by_who_wrote_them(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    one = (await alice.say("s1", "one", to_user_id="bob"))["message_id"]
    two = (await alice.say("s1", "two"))["message_id"]
    await bob.heard("new_message")
    assert (await bob.ask("recall_message", message_id=one))["code"] == "forbidden"
    assert (await bob.ask("edit_message", message_id=one, message="x"))["code"] == "forbidden"
    assert (await alice.ask("recall_message", message_id=one))["success"]
    assert (await alice.ask("edit_message", message_id=two, message="zwei"))["success"]
    for socket in (alice, bob):
        [recalled] = await socket.heard("message_recalled")
        [edited] = await socket.heard("message_edited")
        assert (recalled["message_id"], recalled["session_id"]) == (str(one), "s1")
        assert (edited["message_id"], edited["text"]) == (str(two), "zwei")
    page = await bob.ask("get_session_messages", session_id="s1", limit=10)
    assert [each["text"] for each in page["messages"]] == ["zwei"]


async def test_typing_is_told_to_the_others(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.say("s1", "hi", to_user_id="bob")
    assert (await alice.ask("typing", session_id="s1", is_typing=True))["success"]
    [typing] = await bob.heard("typing")
    assert typing == {"session_id": "s1", "user_id": "alice", "user_name": "Alice", "is_typing": True}
    assert await alice.heard("typing") == []


# --- sessions


async def test_strangers_learn_and_do_nothing(connect: Connect) -> None:
    alice, mallory = await connect("alice"), await connect("mallory")
    sent = await alice.say("s1", "secret", to_user_id="bob")
    message_id = sent["message_id"]
    refused = [
        await mallory.say("s1", "hi"),
        await mallory.say("s1", "hi", to_user_id="mallory"),
        await mallory.ask("get_session_messages", session_id="s1"),
        await mallory.ask("get_session_messages", session_id="no-such-session"),
        await mallory.ask("typing", session_id="s1"),
        await mallory.ask("match_agent", session_id="s1"),
        await mallory.ask("accept_session", session_id="s1"),
        await mallory.say("d-" + "0" * 32, "hi"),
        await mallory.say("service.agents", "hi"),
    ]
    assert [each["code"] for each in refused] == ["forbidden"] * len(refused)
    for event in ("message_read", "message_delivered", "recall_message"):
        assert (await mallory.ask(event, message_id=message_id))["code"] == "not_found"
    assert (await mallory.ask("edit_message", message_id=message_id, message="x"))["code"] == "not_found"
    assert {event for event, _ in mallory.told} == {"connect_success", "message"}  # greetings


async def test_a_pair_names_the_direct_conversation(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await warren.connect("bob")
    assert (await alice.say("alice_bob", "hi"))["success"]
    message = await bob.next("message")
    assert message["conversation_id"] == warren.direct("alice", "bob")
    await send(bob, "alice", "hello", "c1")
    [reply] = await alice.heard("new_message")
    assert (reply["session_id"], reply["text"], reply["to_user_id"]) == ("alice_bob", "hello", "alice")


async def test_a_session_may_be_called_by_digits_alone(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    assert (await alice.say(1001, "hi", to_user_id="bob"))["success"]
    [message] = await bob.heard("new_message")
    assert message["session_id"] == "1001"
    assert (await bob.say("1001", "ho"))["success"]
    [reply] = await alice.heard("new_message")
    assert reply["session_id"] == 1001


async def test_a_conversation_is_called_by_its_id_or_number_too(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await warren.connect("bob")
    await send(bob, "alice", "hi", "c1")
    [message] = await alice.heard("new_message")
    assert message["session_id"] == warren.direct("alice", "bob")
    number = int(message["id"]) >> 26
    assert (await alice.say(message["session_id"], "by id"))["success"]
    assert (await alice.say(number, "by number"))["success"]
    assert [(await bob.next("message"))["content"] for _ in range(3)] == ["hi", "by id", "by number"]


# --- agents


async def test_a_user_is_matched_with_the_agent_who_has_least_to_do(connect: Connect) -> None:
    one, two = await connect("agent1", agent=True), await connect("agent2", agent=True, via="gw-2")
    user, other = await connect("user1"), await connect("user2")
    await user.say("s1", "help")
    assert (await user.ask("match_agent", session_id="s1"))["agent"] == {"id": "agent1", "name": "Agent1"}
    await other.say("s2", "me too")
    matched = await other.ask("match_agent", session_id="s2")
    assert (matched["success"], matched["agent"]["id"]) == (True, "agent2")
    page = await two.ask("get_session_messages", session_id="s2")
    assert [each["text"] for each in page["messages"]] == ["me too"]
    await two.say("s2", "how can I help?")
    [message] = await other.heard("new_message")
    assert (message["from"], message["text"]) == ("agent", "how can I help?")
    await other.say("s2", "thanks")
    assert (await two.heard("new_message"))[-1]["from"] == "user"
    assert (await one.ask("get_session_messages", session_id="s2"))["code"] == "forbidden"


async def test_without_an_agent_nobody_is_matched(warren: Warren, connect: Connect) -> None:
    agent, user = await connect("agent1", agent=True), await connect("user1")
    await agent.hang_up()
    await warren.passes(60)
    await user.say("s1", "help")
    answer = await user.ask("match_agent", session_id="s1")
    assert not answer["success"]


async def test_an_agent_takes_a_session_that_waits_and_its_user_is_told(connect: Connect) -> None:
    agent, late = await connect("agent1", agent=True), await connect("agent2", agent=True)
    user = await connect("user1")
    await user.say("s1", "help", role="user")
    assert (await agent.ask("accept_session", session_id="s1"))["success"]
    [accepted] = await user.heard("session_accepted_for_user")
    assert accepted == {"session_id": "s1", "agent": {"id": "agent1", "name": "Agent1"}}
    assert (await agent.ask("accept_session", session_id="s1"))["success"]
    assert (await late.ask("accept_session", session_id="s1"))["code"] == "conflict"
    assert (await user.ask("accept_session", session_id="s1"))["code"] == "forbidden"


async def test_of_agents_who_accept_a_session_at_once_one_gets_it(connect: Connect) -> None:
    one, two = await connect("agent1", agent=True), await connect("agent2", agent=True, via="gw-2")
    user = await connect("user1")
    await user.say("s1", "help")
    for agent in (one, two):
        agent.socket.emit("accept_session", {"session_id": "s1"}, "99")
    await one.settle()
    await two.settle()
    first, second = sorted((one.socket.acks["99"], two.socket.acks["99"]), key=lambda answer: not answer["success"])
    assert first["success"]
    assert (second["success"], second["code"]) == (False, "conflict")
    assert len(await user.heard("session_accepted_for_user")) == 1


async def test_an_agent_who_sends_into_a_waiting_session_joins_it(connect: Connect) -> None:
    agent, user = await connect("agent1", agent=True), await connect("user1")
    await user.say("s1", "help")
    assert (await agent.say("s1", "here I am"))["success"]
    assert await user.texts() == ["here I am"]
    await user.say("s1", "good")
    assert (await agent.heard("new_message"))[-1]["text"] == "good"


async def test_an_agent_joins_no_session_of_users_among_themselves(connect: Connect) -> None:
    agent, user = await connect("agent1", agent=True), await connect("user1")
    await user.say("s1", "between us", to_user_id="user2")
    assert (await agent.say("s1", "hi"))["code"] == "forbidden"
    assert (await agent.say("unknown", "hi"))["code"] == "forbidden"
    assert (await agent.ask("accept_session", session_id="s1"))["code"] == "forbidden"


async def test_who_is_no_agent_is_not_shown_as_one(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.say("s1", "I am an agent", to_user_id="bob", role="agent")
    [message] = await bob.heard("new_message")
    assert message["from"] == "user"


# --- devices


async def test_a_kicked_device_is_told_and_closed(connect: Connect) -> None:
    phone, desk = await connect("alice", device="phone"), await connect("alice", device="desk", via="gw-2")
    assert (await desk.ask("kick_device", device_id="phone"))["success"]
    [kicked] = await phone.heard("kicked")
    assert kicked["code"] == "kicked"
    assert phone.socket.is_disconnected
    assert (await desk.ask("kick_device", device_id="nothing"))["code"] == "not_found"


# --- REST


async def ask_rest(warren: Warren, token: str | None, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(warren.app()), base_url="http://warren") as client:
        answer = await client.request(method, path, headers=headers, content=content)
    return answer.status_code, answer.json()


async def test_a_session_is_made_by_rest_and_talked_in(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("1"), await connect("2")
    made = await ask_rest(warren, alice.token, "POST", "/api/sessions", {"session_id": "s1", "user_ids": [2]})
    assert made == (200, {"success": True, "session_id": "s1", "user_ids": [1, 2]})
    assert made == await ask_rest(warren, bob.token, "POST", "/api/sessions", {"session_id": "s1", "user_ids": [1]})
    assert (await bob.say("s1", "hi"))["success"]
    assert await alice.texts() == ["hi"]
    status, taken = await ask_rest(
        warren, token_of(warren, "3"), "POST", "/api/sessions", {"session_id": "s1", "user_ids": [1]}
    )
    assert (status, taken["success"], taken["code"]) == (403, False, "forbidden")


async def test_a_session_made_without_an_id_has_one_and_waits_for_an_agent(warren: Warren, connect: Connect) -> None:
    agent, user = await connect("agent1", agent=True), await connect("user1")
    _, made = await ask_rest(warren, user.token, "POST", "/api/sessions", {"user_ids": []})
    assert (await agent.ask("accept_session", session_id=made["session_id"]))["success"]


async def test_devices_are_listed_and_kicked_by_rest(warren: Warren, connect: Connect) -> None:
    phone, desk = await connect("alice", device="phone"), await connect("alice", device="desk")
    status, listed = await ask_rest(warren, desk.token, "GET", "/api/devices")
    assert (status, listed["success"]) == (200, True)
    assert {each["device_id"] for each in listed["devices"]} == {"phone", "desk"}
    await warren.passes(1)
    fresh = token_of(warren, "alice")
    assert await ask_rest(warren, fresh, "DELETE", "/api/devices/phone") == (200, {"success": True})
    assert [each["code"] for each in await phone.heard("kicked")] == ["kicked"]
    await warren.passes(20)
    _, listed = await ask_rest(warren, fresh, "GET", "/api/devices")
    assert [each["device_id"] for each in listed["devices"]] == ["desk"]
    assert (await ask_rest(warren, fresh, "DELETE", "/api/devices/none"))[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid_field"),
        (b"{", 400, "invalid"),
        (b"\xff", 400, "invalid"),
        ([], 422, "invalid_field"),
        ({}, 422, "invalid_field"),
        ({"user_ids": "2"}, 422, "invalid_field"),
        ({"user_ids": [True]}, 422, "invalid_field"),
        ({"user_ids": [["2"]]}, 422, "invalid_field"),
        ({"user_ids": ["a b"]}, 422, "invalid_field"),
        ({"user_ids": [2], "session_id": "a b"}, 422, "invalid_field"),
        ({"user_ids": [2], "session_id": {}}, 422, "invalid_field"),
        ({"user_ids": [2], "session_id": "d-" + "0" * 32}, 403, "forbidden"),
        ({"user_ids": [2], "session_id": "service.agents"}, 403, "forbidden"),
        ({"user_ids": ["2"] * 501}, 422, "invalid_field"),
        (b'{"user_ids": ["' + b"x" * 1024 * 1024 + b'"]}', 413, "too_large"),
    ],
)
async def test_wrong_bodies_are_refused_in_the_wires_words(warren: Warren, body: Any, status: int, code: str) -> None:
    answer = await ask_rest(warren, token_of(warren, "alice"), "POST", "/api/sessions", body)
    assert (answer[0], answer[1]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/sessions"), ("GET", "/api/devices"), ("DELETE", "/api/devices/d1")]
)
@pytest.mark.parametrize("token", [None, "garbage"])
async def test_every_route_wants_a_token(warren: Warren, method: str, path: str, token: str | None) -> None:
    status, answer = await ask_rest(warren, token, method, path)
    assert (status, answer["success"], answer["code"]) == (401, False, "unauthenticated")


# --- what cannot be read or may not be


@pytest.mark.parametrize(
    "packet",
    [
        '427["send_message",{"session_id":"s1"}]',
        '427["send_message",{"session_id":"s1","message":7}]',
        '427["send_message",{"session_id":"s1","message":"hi","from_user_id":"mallory"}]',
        '427["send_message",{"session_id":"s1","message":"hi","token":"garbage"}]',
        '427["send_message",{"session_id":"a b","message":"hi"}]',
        '427["send_message",{"session_id":"s1","message":"hi","reply_to_message_id":99}]',
        '427["send_message",{"session_id":"s1","message":"' + "x" * 16_385 + '"}]',
        '427["send_message",{"session_id":"s1","message":"' + "x" * 200_000 + '"}]',
        '427["send_message",null]',
        '427["send_message"]',
        '427["message_read",{"message_id":"none"}]',
        '427["message_read",{"message_id":9007199254740993}]',
        '427["recall_message",{"message_id":67108865}]',
        '427["get_session_messages",{"session_id":"nobodys"}]',
        '427["get_session_messages",{"session_id":"nobodys","limit":0}]',
        '427["kick_device",{"device_id":"somebody elses"}]',
        '427["accept_session",{"session_id":"s1"}]',
        '427["nonsense",{}]',
        "427[7]",
        "427[]",
        '427["send_message",{]',
        '451-7["send_message",{"_placeholder":true,"num":0}]',
    ],
)
async def test_a_wrong_request_fails_and_the_connection_lives(connect: Connect, packet: str) -> None:
    alice = await connect("alice")
    alice.socket.send_text(packet)
    await alice.settle()
    failed = alice.socket.acks.pop("7")
    assert failed["success"] is False
    assert failed["code"] not in ("internal", "unavailable")
    assert (await alice.ask("heartbeat", connection_id="c1"))["success"]


@pytest.mark.parametrize("packet", ["42{}", "42", "429", '42/admin,["a"]', "44{}", '42["' + "x" * 200_000 + '"]'])
async def test_a_packet_that_is_no_request_is_told_as_an_error(connect: Connect, packet: str) -> None:
    alice = await connect("alice")
    alice.socket.send_text(packet)
    [error] = await alice.heard("error")
    assert error["success"] is False
    assert (await alice.ask("heartbeat", connection_id="c1"))["success"]


async def test_ten_packets_in_a_row_that_cannot_be_read_close(connect: Connect) -> None:
    alice = await connect("alice")
    for _ in range(10):
        alice.socket.send_text("42{}")
    await alice.settle()
    assert await alice.socket.ended() == 3504


# --- beside other wires


async def test_an_agent_is_one_on_other_wires_too(warren: Warren, connect: Connect) -> None:
    agent, user = await connect("agent1", agent=True), await connect("user1")
    await user.say("s1", "help")
    await agent.ask("accept_session", session_id="s1")
    native = await warren.connect("agent1")
    await native.request("send", conversation_id="s1", content="from my phone")
    [message] = await user.heard("new_message")
    assert (message["from"], message["text"], message["session_id"]) == ("agent", "from my phone", "s1")
    assert await agent.texts() == ["help", "from my phone"]


async def test_a_native_client_reads_and_is_told_what_this_wire_says(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await warren.connect("bob")
    sent = await alice.say("s1", "hi", to_user_id="bob")
    message = await bob.next("message")
    assert (message["conversation_id"], message["number"], message["content"]) == ("s1", sent["message_id"], "hi")
    bob.send_frame("ack", conversation_id="s1", seq=1, stage="read")
    told = [(each["message_id"], each["status"]) for each in await alice.heard("message_status")]
    assert told[-1] == (str(sent["message_id"]), "read")
    await alice.ask("typing", session_id="s1", is_typing=True)
    assert (await bob.next("typing"))["active"]
