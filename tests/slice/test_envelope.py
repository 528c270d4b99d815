"""The envelope wire's published client beside native ones, through all four services at once."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.clients.envelope import MessageType, RealtimeDataSync, WebSocketMessage
from tests.fakes.clock import settle
from tests.slice.sockets import FakeSocket, Frame
from tests.slice.test_conversations import rest, room, say
from tests.slice.warren import Warren, running, send


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="envelope") as warren:
        warren.start_gateway("gw-2")
        await settle()
        yield warren


class App(RealtimeDataSync):
    """An app of one user, on a device that the token names."""

    def __init__(self, warren: Warren, user: str, via: str) -> None:
        super().__init__()
        self._warren = warren
        self._user = user
        self._via = via
        self.socket: FakeSocket

    async def connect(self) -> None:
        query = f"token={self._warren.token(self._user)}"
        self.socket = self._warren.dial(query, via=self._via, path="/ws/envelope")
        await settle()
        self.manager.connect(self.socket)
        await settle()

    async def told(self, type_: MessageType) -> list[WebSocketMessage]:
        await settle()
        self.manager.pump()
        return [message for message in self.manager.messages if message.type is type_]

    async def system(self, action: str) -> list[Frame]:
        told = await self.told(MessageType.SYSTEM_MESSAGE)
        return [message.data for message in told if message.data["action"] == action]

    async def errors(self) -> list[tuple[str, str | None]]:
        return [(message.data["code"], message.id) for message in await self.told(MessageType.ERROR)]

    def ask(self, id_: str, type_: MessageType = MessageType.SYSTEM_MESSAGE, **data: Any) -> None:
        self.manager.send(WebSocketMessage(type=type_, data=data, id=id_))


async def done(warren: Warren) -> None:
    """Wait until all that was sent has come to something."""
    await settle()
    await warren.settled()
    await settle()


async def app(warren: Warren, user: str, via: str = "gw-2") -> App:
    made = App(warren, user, via)
    await made.connect()
    return made


async def test_a_direct_message_reaches_the_published_client_and_its_answer_a_native_one(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    sent = await send(alice, "bob", "hi", "c1")
    await done(warren)
    direct = warren.direct("alice", "bob")
    assert bob.chats(direct) == ["hi"]
    chat = bob.local[f"chat_{direct}"]
    assert (chat.id, chat.sender_id, chat.sender_name, chat.seq) == (sent["message_id"], "alice", "Alice", 1)
    bob.say(direct, "hello", "b-1")
    await done(warren)
    assert [message["content"] for message in alice.unread("message")] == ["hi", "hello"]
    assert bob.chats(direct) == ["hi", "hello"]
    [_, own] = await bob.told(MessageType.CHAT)
    assert (own.id, own.data["senderId"], own.data["clientId"]) == ("b-1", "bob", "b-1")


async def test_what_is_written_to_it_counts_as_delivered(warren: Warren) -> None:
    alice, _ = await warren.connect("alice"), await app(warren, "bob")
    await send(alice, "bob", "hi", "c1")
    await warren.passes(1)
    receipts = [(receipt["user_id"], receipt["stage"], receipt["seq"]) for receipt in alice.unread("receipt")]
    assert receipts == [("bob", "delivered", 1)]


@pytest.mark.parametrize("called", ["id", "number", "name"])
async def test_anyone_may_subscribe_to_an_open_channel_by_any_of_its_names(warren: Warren, called: str) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    made = await rest(
        warren, "alice", "POST", "/v1/conversations", 201, kind="channel", name="City news", join="open", member_ids=[]
    )
    await say(alice, made["id"], "before")
    channel = {"id": made["id"], "number": str(made["number"]), "name": "City news"}[called]
    bob.subscribe_to_channel(channel)
    [answer] = await bob.system("subscribe")
    assert (answer["channel"], answer["ok"], answer["conversationId"]) == (channel, True, made["id"])
    await say(alice, made["id"], "hi all")
    bob.say(channel, "hi alice", "b-1")
    await done(warren)
    assert bob.chats(channel) == ["hi all", "hi alice"]
    assert [message["content"] for message in alice.unread("message")] == ["before", "hi all", "hi alice"]
    bob.unsubscribe_from_channel(channel)
    assert len(await bob.system("unsubscribe")) == 1
    await say(alice, made["id"], "is bob gone?")
    await done(warren)
    assert bob.chats(channel) == ["hi all", "hi alice"]
    assert (await rest(warren, "alice", "GET", f"/v1/conversations/{made['id']}"))["members"] == ["alice"]
    bob.subscribe_to_channel(channel)
    await done(warren)
    assert bob.chats(channel) == ["hi all", "hi alice", "is bob gone?"]  # its history is open to whoever joins


async def test_what_others_may_not_join_is_refused_and_the_connection_goes_on(warren: Warren) -> None:
    alice, eve = await warren.connect("alice"), await app(warren, "eve")
    plans = await room(warren, "alice", "bob")
    for number, channel in enumerate([plans, "Plans", "nothing", "999", warren.direct("alice", "bob")]):
        eve.ask(f"s-{number}", action="subscribe", channel=channel)
        eve.ask(f"t-{number}", action="typing", channel=channel)
        eve.ask(f"r-{number}", action="read", channel=channel, seq=1)
        eve.ask(f"c-{number}", MessageType.CHAT, channelId=channel, content="let me in")
    errors = await eve.errors()
    assert len(errors) == 20
    assert {code for code, _ in errors} == {"not_found", "not_a_member"}
    assert {code for code, id_ in errors if id_ in ("s-1", "s-2", "c-3")} == {"not_found"}
    await say(alice, plans, "secret")
    await done(warren)
    eve.manager.heartbeat()
    assert await eve.told(MessageType.CHAT) == []
    assert eve.manager.pongs == 1


async def test_a_member_hears_no_more_of_what_it_unsubscribes_until_it_subscribes_again(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    plans = await room(warren, "alice", "bob")
    await say(alice, plans, "one")
    await done(warren)
    bob.unsubscribe_from_channel(plans)
    await settle()
    await say(alice, plans, "two")
    await done(warren)
    bob.manager.heartbeat()  # its answer is written, "two" is not
    await warren.passes(1)
    bob.say(plans, "own", "b-1")  # has its answer all the same
    await done(warren)
    assert [receipt["seq"] for receipt in alice.unread("receipt") if receipt["user_id"] == "bob"] == [1]
    bob.subscribe_to_channel(plans)
    await settle()
    await say(alice, plans, "three")
    await done(warren)
    assert bob.chats(plans) == ["one", "own", "three"]
    assert "bob" in (await rest(warren, "alice", "GET", f"/v1/conversations/{plans}"))["members"]


async def test_what_was_missed_comes_on_reconnect_and_what_was_confirmed_does_not(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    direct = warren.direct("alice", "bob")
    await send(alice, "bob", "one", "c1")
    await done(warren)
    bob.manager.heartbeat()  # confirms it
    await warren.passes(2)
    await send(alice, "bob", "two", "c2")
    await done(warren)
    assert bob.chats(direct) == ["one", "two"]
    bob.manager.lose()  # before "two" is confirmed
    await settle()
    await send(alice, "bob", "three", "c3")
    bob.say(direct, "four", "b-1")  # into the queue of the client
    await bob.connect()
    await done(warren)
    assert bob.chats(direct) == ["one", "two", "two", "three", "four"]


async def test_a_message_that_is_sent_again_is_answered_alike_and_stored_once(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    plans = await room(warren, "alice", "bob")
    bob.say(plans, "hi", "b-1")
    await done(warren)
    bob.say(plans, "hi", "b-1")
    await done(warren)
    first, second = await bob.told(MessageType.CHAT)
    assert (first.id, first.data) == (second.id, second.data)
    assert [message["content"] for message in alice.unread("message")] == ["hi"]


async def test_a_message_that_is_sent_twice_at_once_is_answered_twice(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    plans = await room(warren, "alice", "bob")
    bob.say(plans, "hi", "b-1")
    bob.say(plans, "hi", "b-1")
    await done(warren)
    assert [(told.id, told.data["seq"]) for told in await bob.told(MessageType.CHAT)] == [("b-1", 1), ("b-1", 1)]
    assert [message["content"] for message in alice.unread("message")] == ["hi"]


async def test_what_is_sent_right_before_a_channel_is_left_is_answered(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    news = await room(warren, "alice", kind="channel")
    bob.subscribe_to_channel(news)
    await done(warren)
    bob.say(news, "hi", "b-1")
    bob.unsubscribe_from_channel(news)
    bob.subscribe_to_channel(news)
    await done(warren)
    assert [told.id for told in await bob.told(MessageType.CHAT)] == ["b-1"]
    assert [message["content"] for message in alice.unread("message")] == ["hi"]


async def test_typing_and_receipts_are_told_both_ways(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    plans = await room(warren, "alice", "bob")
    sent = await say(alice, plans, "hi")
    bob.say(plans, "ho", "b-1")
    await done(warren)
    bob.ask("t-1", action="typing", channel=plans)
    bob.ask("r-1", action="read", channel=plans, seq=1)
    bob.ask("r-2", action="read", messageId=sent["message_id"])
    alice.send_frame("typing", conversation_id=plans)
    alice.send_frame("ack", conversation_id=plans, seq=2, stage="read")
    await warren.passes(1)
    assert [typing["active"] for typing in alice.unread("typing")] == [True]
    assert ("read", 1) in [(receipt["stage"], receipt["seq"]) for receipt in alice.unread("receipt")]
    [typing] = [told for told in await bob.system("typing") if "userId" in told]
    assert (typing["channelId"], typing["userId"], typing["userName"], typing["isTyping"]) == (
        plans,
        "alice",
        "Alice",
        True,
    )
    receipts = await bob.system("receipt")
    assert [(told["channelId"], told["userId"], told["status"], told["seq"]) for told in receipts] == [
        (plans, "alice", "delivered", 2),
        (plans, "alice", "read", 2),
    ]
    await warren.passes(6)
    assert [told["isTyping"] for told in await bob.system("typing") if "userId" in told] == [True, False]


async def test_peers_and_members_of_what_is_subscribed_are_followed(warren: Warren) -> None:
    alice = await warren.connect("alice")
    await send(alice, "bob", "hi", "c1")
    plans = await room(warren, "carol", "bob", "dave")
    await done(warren)
    bob = await app(warren, "bob")
    await bob.told(MessageType.USER_STATUS)
    assert bob.local["user_status_alice"] == "online"
    assert "user_status_carol" not in bob.local
    carol = await warren.connect("carol")
    bob.subscribe_to_channel(plans)
    await bob.told(MessageType.USER_STATUS)
    assert (bob.local["user_status_carol"], bob.local["user_status_dave"]) == ("online", "offline")
    await carol.request("presence", status="dnd")
    alice.hang_up()
    await warren.passes(10)
    await bob.told(MessageType.USER_STATUS)
    assert (bob.local["user_status_carol"], bob.local["user_status_alice"]) == ("dnd", "offline")
    bob.unsubscribe_from_channel(plans)
    await settle()
    await carol.request("presence", status="online")
    await warren.passes(1)
    await bob.told(MessageType.USER_STATUS)
    assert bob.local["user_status_carol"] == "dnd"


async def test_a_status_can_be_chosen(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    await alice.request("subscribe", users=["bob"])
    alice.taken()
    bob.ask("u-1", MessageType.USER_STATUS, status="away", text="lunch")
    await warren.passes(1)
    presence = await alice.next("presence")
    assert (presence["user_id"], presence["status"], presence["text"]) == ("bob", "away", "lunch")
    assert await bob.system("userStatus") == [{"action": "userStatus", "ok": True}]


async def test_who_writes_directly_for_the_first_time_is_followed(warren: Warren) -> None:
    bob, alice = await app(warren, "bob"), await warren.connect("alice")
    await send(alice, "bob", "hi", "c1")
    await done(warren)
    await bob.told(MessageType.USER_STATUS)
    assert bob.local["user_status_alice"] == "online"
    alice.hang_up()
    await warren.passes(10)
    await bob.told(MessageType.USER_STATUS)
    assert bob.local["user_status_alice"] == "offline"


async def test_how_a_sender_is_comes_once_with_all_that_was_missed(warren: Warren) -> None:
    alice = await warren.connect("alice")
    for number in range(5):
        await send(alice, "bob", str(number), f"c{number}")
    await warren.settled()
    bob = await app(warren, "bob")
    await warren.passes(2)
    statuses = [told.data["userId"] for told in await bob.told(MessageType.USER_STATUS)]
    assert bob.chats(warren.direct("alice", "bob")) == ["0", "1", "2", "3", "4"]
    assert 1 <= statuses.count("alice") <= 2  # as the sender of what was missed, and as a peer


async def test_that_the_user_is_online_is_no_news_to_its_own_app_but_what_was_chosen_is(warren: Warren) -> None:
    bob, phone = await app(warren, "bob"), await app(warren, "bob")
    await warren.passes(2)
    assert await bob.told(MessageType.USER_STATUS) == []
    for status in ("away", "online"):
        phone.ask("u-1", MessageType.USER_STATUS, status=status)
        await warren.passes(2)
    assert [told.data["status"] for told in await bob.told(MessageType.USER_STATUS)] == ["away", "online"]


async def test_what_concerns_the_user_outside_of_what_it_looks_at_is_notified(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    plans = await room(warren, "alice", "bob")
    await alice.request("send", conversation_id=plans, content="bob!", mentions=["bob"])
    bob.subscribe_to_channel(plans)
    await settle()
    await alice.request("send", conversation_id=plans, content="bob?", mentions=["bob"])
    await rest(warren, "alice", "DELETE", f"/v1/conversations/{plans}/members/bob", 204)
    await done(warren)
    notes = [message.data for message in await bob.told(MessageType.NOTIFICATION)]
    assert [(note["data"]["kind"], note["title"], note["data"]["channelId"]) for note in notes] == [
        ("added", "Plans", plans),
        ("mention", "Alice", plans),
        ("removed", "Plans", plans),
    ]
    assert bob.chats(plans) == ["bob!", "bob?"]
    bob.subscribe_to_channel(plans)
    assert await bob.errors() == [("not_a_member", None)]
    await alice.request("presence", status="dnd")
    await warren.passes(1)
    await bob.told(MessageType.USER_STATUS)
    assert bob.local["user_status_alice"] == "online"  # is not followed any more


async def test_edits_and_deletions_come_as_the_message_is_now(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    sent = await send(alice, "bob", "hi", "c1")
    await alice.request("edit", message_id=sent["message_id"], content="hello")
    await alice.request("delete", message_id=sent["message_id"])
    await done(warren)
    chats = [message.data for message in await bob.told(MessageType.CHAT)]
    assert [(chat["id"], chat["content"]) for chat in chats] == [
        (sent["message_id"], "hi"),
        (sent["message_id"], "hello"),
        (sent["message_id"], ""),
    ]
    assert chats[1]["editedAt"]
    assert chats[2]["deletedAt"]


async def test_a_message_can_be_sent_to_a_user(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    bob.ask("b-1", MessageType.CHAT, to="alice", content="by name")
    bob.ask("b-2", MessageType.CHAT, channelId="alice_bob", content="by the pair")
    await done(warren)
    assert [message["content"] for message in alice.unread("message")] == ["by name", "by the pair"]
    assert await bob.errors() == []
    bob.subscribe_to_channel("alice_bob")
    bob.unsubscribe_from_channel("bob_alice")  # there is no such name
    assert [told["conversationId"] for told in await bob.system("subscribe")] == [warren.direct("alice", "bob")]
    assert await bob.errors() == [("not_found", None)]


async def test_a_message_is_taken_while_history_is_away_and_comes_back_when_it_is_stored(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await app(warren, "bob")
    plans = await room(warren, "alice", "bob")
    await done(warren)
    await warren.processes["history"].kill()
    bob.say(plans, "hi", "b-1")
    await warren.passes(10)
    assert bob.chats(plans) == []
    warren.start_history()
    await warren.passes(10)
    await done(warren)
    assert bob.chats(plans) == ["hi"]
    assert [message["content"] for message in alice.unread("message")] == ["hi"]
