"""The envelope wire's server-sent events: each under its name, beside the native one or alone, resumable as ever."""

import json

import httpx
import msgspec
import pytest

from gateway.dialects.base import Caller, Kit, Limits, Pushed, Welcome
from gateway.dialects.sse import AllEvents, EnvelopeEvents, NativeEvents
from gateway.disconnects import Disconnect
from shared.commands import Acknowledge, Stage
from shared.errors import ErrorBody, Invalid
from shared.events import (
    ConversationChange,
    MessageFailed,
    MessageStored,
    PresenceChanged,
    ReceiptAdvanced,
    TypingChanged,
)
from shared.history_api import SyncAnswer
from shared.ids import ConversationId, DeviceId, MessageId, SessionId
from shared.position import Position
from shared.presence_api import Presence
from tests.clients.envelope import ChatMessage, NotificationModel, SSEEvent, parse_sse_line
from tests.fakes.clock import START, settle
from tests.fakes.edge import Edge, gateway
from tests.fakes.listener import listening, served
from tests.fakes.messages import ALICE, BOB, ROOM, became, changes, conversation, message, reacted, stored

KIT = Kit(new_id=lambda: "new-id", now=lambda: START, max_frame_bytes=64 * 1024)
READ = ReceiptAdvanced(conversation_id=ROOM, user_id=ALICE, stage=Stage.READ, seq=3, at=START, audience=(ALICE, BOB))
EVENTS: dict[str, Pushed] = {
    "chat": stored(1),
    "userStatus": Presence(user_id=ALICE, status="online", last_seen=START, devices=1),
    "notification": became(2, ConversationChange.MEMBER_ADDED, BOB),
    "typing": TypingChanged(conversation_id=ROOM, user_id=ALICE, name="Alice", active=True),
    "receipt": READ,
}
WELCOME = Welcome(
    session_id=SessionId("s1"),
    user_id=BOB,
    device_id=DeviceId("phone"),
    heartbeat_s=30,
    since="token",
    limits=Limits(max_frame_bytes=1, max_content_bytes=2, max_metadata_bytes=3, max_in_flight=4),
)


def made(kind: type[NativeEvents]) -> NativeEvents:
    events = kind(new_id=KIT.new_id, now=KIT.now, max_frame_bytes=KIT.max_frame_bytes)
    events.opened(Caller(BOB, "Bob", DeviceId("phone")))
    return events


def path(edge: Edge, **query: str) -> str:
    return str(httpx.URL("/sse", params={"token": edge.token(), **query}))


@pytest.mark.parametrize("name", EVENTS)
def test_each_thing_has_its_event(name: str) -> None:
    told = made(EnvelopeEvents).render(EVENTS[name])
    assert isinstance(told, list)
    [event] = told
    first, second, *end = event.split("\n")
    assert first == f"event: {name}"
    assert json.loads(second.removeprefix("data: ")) == json.loads(data(name))
    assert end == ["", ""]


def data(name: str) -> str:
    return json.dumps(
        {
            "chat": {
                "id": "room-1",
                "channelId": "room",
                "senderId": "alice",
                "senderName": "Alice",
                "content": "1",
                "type": "text",
                "createdAt": "2026-01-01T12:00:01.000Z",
                "seq": 1,
                "status": "stored",
                "metadata": {},
                "conversationId": "room",
                "number": 67108865,
                "clientId": "c1",
                "replyTo": None,
                "mentions": [],
                "editedAt": None,
                "deletedAt": None,
            },
            "userStatus": {
                "type": "userStatus",
                "userId": "alice",
                "status": "online",
                "lastSeen": "2026-01-01T12:00:00.000Z",
                "text": "",
            },
            "notification": {
                "type": "notification",
                "id": "room:2",
                "title": "Plans",
                "body": "You were added.",
                "data": {"kind": "added", "channelId": "room", "userId": "alice"},
                "createdAt": "2026-01-01T12:00:02.000Z",
            },
            "typing": {
                "type": "typing",
                "action": "typing",
                "channel": "room",
                "channelId": "room",
                "userId": "alice",
                "userName": "Alice",
                "isTyping": True,
            },
            "receipt": {
                "type": "receipt",
                "action": "receipt",
                "channel": "room",
                "channelId": "room",
                "userId": "alice",
                "status": "read",
                "at": "2026-01-01T12:00:00.000Z",
                "seq": 3,
            },
        }[name]
    )


@pytest.mark.parametrize("kind", [AllEvents, EnvelopeEvents])
def test_slow_listeners_are_told_everything_since_they_have_no_word_for_what_is_left_out(
    kind: type[NativeEvents],
) -> None:
    assert not kind.habits.fetches


def test_a_reaction_has_no_event() -> None:
    assert made(EnvelopeEvents).render(reacted(2, seq=1)) == []


def test_a_message_that_came_to_nothing_is_a_receipt() -> None:
    error = ErrorBody(code="internal", message="Given up.")
    failed = MessageFailed(
        conversation_id=ROOM, message_id=MessageId("m1"), client_id="c1", sender_id=BOB, at=START, error=error
    )
    told = made(EnvelopeEvents).render(failed)
    assert isinstance(told, list)
    assert told[0].startswith("event: receipt\n")
    assert '"status":"failed"' in told[0]


@pytest.mark.parametrize("kind", [NativeEvents, AllEvents, EnvelopeEvents])
def test_whatever_a_message_holds_an_event_s_data_are_one_line(kind: type[NativeEvents]) -> None:
    strange = msgspec.structs.replace(
        message(1, content="a\nb\rc\u2028d\u0085e\u2029f"), metadata=msgspec.Raw(b'{"a":\n1,\r\n"b": "\xe2\x80\xa8"}')
    )
    for event in made(kind).render(MessageStored(message=strange, audience=(ALICE, BOB))):
        *name, line, empty, end = event.split("\n")
        assert event.splitlines() == [*name, line, empty]
        assert (empty, end) == ("", "")
        read = json.loads(line.removeprefix("data: "))
        shown = read.get("data", read)
        assert shown["content"] == strange.content
        assert shown["metadata"] == {"a": 1, "b": "\u2028"}


def test_what_is_said_at_the_beginning_and_the_end_is_no_error_event() -> None:
    """A browser's EventSource has an event `error` of its own."""
    events = made(EnvelopeEvents)
    said = [
        *events.welcome(WELCOME),
        *events.refuse(Invalid("What?").body(), reply_to=None),
        *events.close(Disconnect.DRAIN, retry_after_ms=500),
    ]
    assert {event.split("\n")[0] for event in said} == {"event: systemMessage"}
    assert [json.loads(event.split("data: ")[1])["action"] for event in said] == ["welcome", "error", "bye"]


async def test_a_listener_is_told_each_thing_by_name_and_natively_each_with_an_id() -> None:
    async with gateway() as edge, served(edge.app) as http, listening(http, path(edge)) as listener:
        await listener.next("welcome")
        await edge.deliver(stored(1))
        chat, native = await listener.any(), await listener.any()
        assert (chat.name, native.name) == ("chat", None)
        assert chat.id is not None
        assert native.id is not None
        assert Position.from_token(chat.id).versions == {}  # the native one is still to come
        assert Position.from_token(native.id).versions == {ROOM: 1}
        assert chat.frame is not None
        assert native.frame is not None
        assert ChatMessage.from_json(chat.frame).content == native.frame["data"]["content"] == "1"


@pytest.mark.parametrize("events", ["native", "envelope"])
async def test_a_listener_may_choose_one_of_the_two(events: str) -> None:
    async with gateway() as edge, served(edge.app) as http:
        async with listening(http, path(edge, events=events)) as listener:
            first = await listener.any()
            await edge.deliver(stored(1), stored(2))
            told = [first, await listener.any(), await listener.any()]
        names = {"native": [None, None, None], "envelope": ["systemMessage", "chat", "chat"]}
        assert [each.name for each in told] == names[events]
        ids = [each.id for each in told]
        assert [Position.from_token(id_ or "").versions for id_ in ids] == [{}, {ROOM: 1}, {ROOM: 2}]


async def test_where_the_wire_is_not_served_events_have_no_name() -> None:
    async with gateway(wires="devices") as edge, served(edge.app) as http:
        async with listening(http, path(edge)) as listener:
            await listener.next("welcome")
            await edge.deliver(stored(1))
            assert (await listener.any()).name is None
        refused = await http.get(path(edge, events="envelope"))
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
        unknown = await http.get(path(edge, events="some"))
        assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_field")


@pytest.mark.parametrize("events", ["envelope", "all"])
async def test_a_listener_that_comes_back_is_told_all_that_it_missed_by_name_and_once(events: str) -> None:
    async with gateway() as edge, served(edge.app) as http:
        async with listening(http, path(edge, events=events)) as listener:
            await listener.any()
            await edge.deliver(stored(1))
            while listener.last_id is None or Position.from_token(listener.last_id).versions != {ROOM: 1}:
                await listener.any()
        since = Position(START, {ROOM: 3}).token()
        edge.history.answers = [SyncAnswer(conversations=(changes(2, 3),), since=since)]
        async with listening(http, path(edge, events=events), last_event_id=listener.last_id) as listener:
            told = [await listener.any() for _ in range(3 if events == "envelope" else 5)]
            contents = [each.frame["content"] for each in told if each.frame and each.name == "chat"]
            assert contents == ["2", "3"]
        assert edge.history.asked[-1].oldest_first  # nothing may be left out: there is no word for it


async def test_what_is_written_to_a_listener_of_these_events_alone_counts_as_delivered() -> None:
    async with gateway() as edge, served(edge.app) as http:
        async with listening(http, path(edge, events="envelope")) as listener:
            await listener.any()
            await edge.deliver(stored(1))
            await listener.any()
            await edge.clock.advance(1)
            [envelope] = await edge.posted()
        assert isinstance(envelope.body, Acknowledge)
        assert (envelope.body.user_id, envelope.body.stage, envelope.body.seq) == (BOB, Stage.DELIVERED, 1)


async def test_a_listener_follows_the_peers_of_its_user() -> None:
    async with gateway() as edge, served(edge.app) as http:
        edge.history.known = {ROOM: conversation(0)}
        edge.presence.here = {ALICE: Presence(user_id=ALICE, status="online", last_seen=START, devices=1)}
        async with listening(http, path(edge)) as listener:
            await listener.next("welcome")
            assert (await listener.any()).name == "userStatus"
            await listener.next("presence")
            await edge.tell(PresenceChanged(user_id=ALICE, status="away", last_seen=START, devices=1))
            gone = await listener.any()
            assert (gone.name, gone.frame and gone.frame["status"]) == ("userStatus", "away")


async def test_a_listener_is_let_in_while_presence_is_away_and_follows_its_peers_later() -> None:
    async with gateway() as edge, served(edge.app) as http:
        edge.history.known = {ROOM: conversation(0)}
        edge.presence.down = True
        async with listening(http, path(edge)) as listener:
            await listener.next("welcome")
            await edge.deliver(stored(1))
            await listener.next("message")
            edge.presence.down = False
            await edge.clock.advance(60)
            assert (await listener.next("presence"))["user_id"] == "alice"


@pytest.mark.parametrize("header", ["authorization", "x_access_token"])
async def test_a_header_may_bring_the_token(header: str) -> None:
    async with gateway() as edge, served(edge.app) as http:
        token = edge.token()
        given = f"Bearer {token}" if header == "authorization" else token
        async with listening(http, "/sse", **{header: given}) as listener:
            assert (await listener.next("welcome"))["user_id"] == "bob"


async def test_the_published_client_reads_each_line() -> None:
    async with gateway() as edge, served(edge.app) as http:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        async with http.stream("GET", path(edge, events="envelope"), headers=headers) as response:
            assert response.status_code == 200
            lines = response.aiter_lines()
            await settle()
            await edge.deliver(stored(1, room=ConversationId("plans")))
            await edge.tell(PresenceChanged(user_id=ALICE, status="away", last_seen=START, devices=1))
            read: list[SSEEvent] = []
            while not any(event.type == "chat" for event in read[:-1]):
                event = parse_sse_line(await anext(lines))
                read += [] if event is None else [event]
    assert [event.type for event in read] == ["id", "systemMessage", "message", "id", "chat", "message"]
    assert ChatMessage.from_json(json.loads(read[-1].data)).channel_id == "plans"


def test_a_mention_is_a_notification_besides_the_message() -> None:
    mention = msgspec.structs.replace(message(1, content="bob! " * 100), mentions=(BOB,))
    told = made(EnvelopeEvents).render(MessageStored(message=mention, audience=(ALICE, BOB)))
    note, chat = (json.loads(each.split("data: ")[1]) for each in told if isinstance(each, str))
    note = NotificationModel.from_json(note)
    assert ChatMessage.from_json(chat).content == mention.content  # the last of them is the one that has an id
    assert (note.title, len(note.body), note.data["messageId"]) == ("Alice", 200, "room-1")
