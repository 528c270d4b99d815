"""The huddle wire, byte by byte: what client frames mean, and how the server's frames look."""

import dataclasses
import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.base import (
    BadFrame,
    Caller,
    Errand,
    Lagged,
    Pushed,
    Reply,
    Request,
    StoredLate,
    Telling,
    Upgrade,
)
from gateway.dialects.huddle import HuddleDialect
from gateway.dialects.huddle_reading import decode
from gateway.dialects.huddle_views import batches
from gateway.dialects.numbers import shown_user_id
from gateway.disconnects import Disconnect
from shared.commands import MessageType, Role, SendMessage, SetTyping, Stage
from shared.errors import ErrorBody, RateLimited
from shared.events import (
    ConversationChange,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageStored,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.history_api import MessagePlace
from shared.ids import ConversationId, DeviceId, MessageId, UserId
from shared.presence_api import MAX_USERS, Presence, Profile
from tests.fakes.clock import START
from tests.fakes.messages import ALICE, BOB, ROOM, became, conversation, message, reacted, stored
from tests.fakes.socket_world import FakeSocketWorld
from tests.fakes.vectors import vectors_of

read = vectors_of("huddle")
MAX_FRAME_BYTES = 64 * 1024
ONE = UserId("1")
CALLER = Caller(ONE, "One", DeviceId("browser"))
LATER = START + timedelta(minutes=2)
NUMBER = 2**26


def written(**changes: object) -> Message:
    return msgspec.structs.replace(message(1, sender=ONE), **changes)


def put(message: Message) -> MessageStored:
    return MessageStored(message=message, audience=(ALICE, BOB))


ATTACHMENT = (
    b'{"huddle":{"attachment_url":"/a.png","attachment_type":"image/png","attachment_name":"a.png",'
    b'"attachment_size":7}}'
)
EVENTS: dict[str, Pushed] = {
    "message": put(written()),
    "message_with_everything": put(
        written(reply_to=MessageId("parent"), metadata=msgspec.Raw(ATTACHMENT), type=MessageType.IMAGE)
    ),
    "message_of_another_wire": put(
        written(sender_id=BOB, metadata=msgspec.Raw(b'{"url":"https://a/b","huddle":7}'), type=MessageType.FILE)
    ),
    "message_after_a_parent_that_is_gone": put(written(reply_to=MessageId("unknown"))),
    "message_deleted_meanwhile": put(written(deleted_at=START, content="")),
    "message_updated": MessageEdited(
        message=written(content="edited", edited_at=START), at=START, audience=(ALICE, BOB)
    ),
    "message_deleted": MessageDeleted(message=written(deleted_at=START, content=""), at=START, audience=(ALICE, BOB)),
    "typing": TypingChanged(conversation_id=ROOM, user_id=BOB, name="Bob", active=True),
    "failed": MessageFailed(
        conversation_id=ROOM,
        message_id=MessageId("m1"),
        client_id="c1",
        sender_id=ONE,
        at=START,
        error=ErrorBody(code="internal", message="Given up."),
    ),
    "reaction": reacted(5, seq=1, user=BOB),
    "conversation": became(7, ConversationChange.UPDATED),
    "presence_of_nobody_who_is_shown": Presence(user_id=BOB, status="online", last_seen=START, devices=1),
    "receipt": ReceiptAdvanced(
        conversation_id=ROOM, user_id=BOB, stage=Stage.READ, seq=3, at=START, audience=(ALICE, BOB)
    ),
    "lagged": Lagged(conversation_id=ROOM, from_seq=3, before=9),
    "stored_late": StoredLate(
        sender_id=ONE,
        at=START,
        stored=Stored(
            message_id=MessageId("m1"),
            conversation_id=ROOM,
            client_id="c",
            seq=7,
            version=9,
            number=7,
            created_at=START,
        ),
    ),
}


def dialect() -> HuddleDialect:
    huddle = HuddleDialect(variant="huddle:1", now=lambda: LATER, max_frame_bytes=MAX_FRAME_BYTES)
    huddle.opened(CALLER)
    return huddle


def world() -> FakeSocketWorld:
    made = FakeSocketWorld(CALLER)
    made.history.known[ROOM] = msgspec.structs.replace(conversation(3), member_ids=(ONE, BOB), role=Role.MEMBER)
    made.history.numbers[1] = ROOM
    place = MessagePlace(message_id=MessageId("parent"), conversation_id=ROOM, seq=9)
    made.history.places = {MessageId("parent"): place, NUMBER + 9: place}
    made.presence.people[BOB] = Profile(
        user_id=BOB, name="Bob Stone", username="bob", avatar_url="https://a/bob.png", created_at=START
    )
    return made


def told(frame: str) -> object:
    """What is read of a frame, as plain JSON."""
    try:
        asked = decode(frame, CALLER)
    except BadFrame as bad:
        return {
            "code": bad.error.code,
            "path": bad.error.details.get("path"),
            "channel": bad.reply_to,
            "unreadable": bad.unreadable,
        }
    fields = {field.name: getattr(asked, field.name) for field in dataclasses.fields(asked)}
    return {"asks": type(asked).__name__, **msgspec.json.decode(msgspec.json.encode(fields))}


async def rendered(huddle: HuddleDialect, event: Pushed, around: FakeSocketWorld) -> list[Any]:
    said = huddle.render(event)
    frames = await said.frames(around) if isinstance(said, Telling) else said
    return [json.loads(frame) for frame in frames]


async def carried_out(frame: dict[str, Any], around: FakeSocketWorld, huddle: HuddleDialect) -> list[Any]:
    """What comes of a frame: the commands, and the frames that are sent back."""
    [request] = huddle.receive(json.dumps(frame))
    assert isinstance(request, Request)
    assert isinstance(request.wish, Errand)
    outcome: list[Any] = []
    for made in await request.wish.run(around):
        outcome += [json.loads(each) for each in made.frames] if isinstance(made, Reply) else [made.wish]
    return outcome


@pytest.mark.parametrize("name", read("receive"))
def test_a_client_frame_means(name: str) -> None:
    vector = read("receive")[name]
    frame = vector["frame"] if isinstance(vector["frame"], str) else json.dumps(vector["frame"])
    assert told(frame) == vector["means"]


@pytest.mark.parametrize("name", EVENTS)
async def test_an_event_is_written(name: str) -> None:
    assert await rendered(dialect(), EVENTS[name], world()) == read("render")[name]


async def test_a_message_is_written_while_presence_is_away() -> None:
    around = world()
    around.presence.down = True
    [frame] = await rendered(dialect(), stored(1), around)
    assert frame["data"]["author"]["username"] == "Alice"


async def test_what_takes_names_does_not_hold_up_messages_while_presence_is_away() -> None:
    around, huddle = world(), dialect()
    assert await carried_out({"type": "join_channel", "channel_id": 1}, around, huddle) == []
    around.presence.down = True
    [came] = await rendered(huddle, Presence(user_id=BOB, status="online", devices=1), around)
    assert (came["type"], came["data"]["username"]) == ("user_online", "bob")
    assert await rendered(huddle, EVENTS["typing"], around) == []
    assert await rendered(huddle, became(9, ConversationChange.MEMBER_ADDED, UserId("carol")), around) == []


async def test_members_who_join_and_leave_a_channel_that_is_shown_are_told() -> None:
    around, huddle = world(), dialect()
    await carried_out({"type": "join_channel", "channel_id": 1}, around, huddle)
    around.presence.here[ALICE] = Presence(user_id=ALICE, status="away")
    [joined] = await rendered(huddle, became(8, ConversationChange.MEMBER_ADDED, ALICE), around)
    assert (joined["type"], joined["data"]["action"], joined["channel_id"]) == ("user_online", "join_channel", 1)
    [left] = await rendered(huddle, became(9, ConversationChange.MEMBER_REMOVED, ALICE), around)
    assert (left["type"], left["data"]["action"], left["user_id"]) == ("user_offline", "leave_channel", "alice")


def test_users_are_asked_about_in_numbers_that_presence_takes() -> None:
    crowd = [UserId(f"user-{number:04}") for number in range(2 * MAX_USERS + 1)]
    asked = list(batches([*crowd, *crowd]))
    assert [len(some) for some in asked] == [MAX_USERS, MAX_USERS, 1]
    assert [user_id for some in asked for user_id in some] == crowd


@pytest.mark.parametrize(
    ("user_id", "shown"),
    [("7", 7), ("007", "007"), ("9007199254740993", "9007199254740993"), ("bob", "bob"), ("٣", "٣")],
)
def test_a_user_id_is_an_integer_where_that_gives_it_back(user_id: str, shown: object) -> None:
    assert shown_user_id(UserId(user_id)) == shown


def test_the_server_says() -> None:
    huddle, said = dialect(), read("server")
    error = RateLimited("Slower.", retry_after_ms=250).body()
    refusals = {
        "error": huddle.refuse(error, reply_to="1\nc1"),
        "error_without_channel": huddle.refuse(error, reply_to=None),
    }
    for name, frames in refusals.items():
        assert [json.loads(frame) for frame in frames] == [said[name]]
    [pong] = huddle.receive('{"type":"ping","data":{"n": 1.50}}')
    assert isinstance(pong, Reply)
    assert pong.frames == (json.dumps(said["pong"], separators=(",", ":")).replace('"n":1.5', '"n": 1.50'),)


def test_a_client_needs_a_token_and_is_closed_with_1008_without() -> None:
    with pytest.raises(BadFrame) as refused:
        dialect().upgraded(Upgrade())
    assert refused.value.error.code == "unauthenticated"
    assert [dialect().close_code(each) for each in (Disconnect.UNAUTHENTICATED, Disconnect.TOKEN_EXPIRED)] == [1008] * 2


async def test_a_message_is_sent_with_real_ids_its_attachment_and_its_mentions() -> None:
    data = {"content": "hi @Bob.", "parent_id": NUMBER + 9, "client_id": "c1", "attachment_url": "/a.mp4"}
    frame = {"type": "send_message", "channel_id": 1, "data": {**data, "attachment_type": "video/mp4"}}
    [send] = await carried_out(frame, world(), dialect())
    assert isinstance(send, SendMessage)
    assert (send.conversation_id, send.sender_id, send.client_id, send.reply_to) == (ROOM, ONE, "c1", "parent")
    assert (send.type, send.mentions) == (MessageType.VIDEO, (BOB,))
    assert json.loads(bytes(send.metadata))["huddle"]["attachment_url"] == "/a.mp4"


async def test_typing_is_told_of_a_channel_by_its_id() -> None:
    [typing] = await carried_out({"type": "typing", "data": {"channel_id": 1, "is_typing": False}}, world(), dialect())
    assert typing == SetTyping(conversation_id=ROOM, user_id=ONE, name="One", active=False)


async def test_showing_an_open_channel_joins_it() -> None:
    around = world()
    lobby = ConversationId("lobby")
    around.history.closed.add(lobby)
    around.history.open[lobby] = msgspec.structs.replace(conversation(0, room=lobby), role=None)
    huddle = dialect()
    [request] = huddle.receive('{"type":"join_channel","data":{"channel_id":"lobby"}}')
    assert isinstance(request, Request)
    assert isinstance(request.wish, Errand)
    with pytest.raises(Exception, match="You are not in this conversation"):  # the fake lets nobody in
        await request.wish.run(around)
    [command] = around.altered
    assert (command.conversation_id, command.actor_id) == (lobby, ONE)


def test_a_frame_over_the_limit_and_a_binary_one_are_refused() -> None:
    with pytest.raises(BadFrame) as long:
        dialect().receive(json.dumps({"type": "ping", "data": "x" * MAX_FRAME_BYTES}))
    assert long.value.error.code == "too_large"
    with pytest.raises(BadFrame) as binary:
        dialect().receive(None)
    assert binary.value.unreadable


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(("channel_id", "user_id", "author_id", "is_typing", "content", "parent_id", "attachment_size"))
TYPES = st.sampled_from(("join_channel", "leave", "user_typing", "send_message", "user_online", "ping", "message"))
DATA = st.dictionaries(NAMES, JSON | st.integers(1, 3) | st.just("1"), max_size=4)
FRAMES = st.fixed_dictionaries(
    {"type": TYPES | JSON, "data": DATA | JSON}, optional={"channel_id": JSON | st.integers(1, 9), "user_id": JSON}
)


@given(st.text() | st.binary().map(lambda raw: raw.decode(errors="surrogateescape")) | FRAMES.map(json.dumps))
def test_no_frame_makes_the_decoder_raise_anything_but_its_own_error(frame: str) -> None:
    huddle = dialect()
    try:
        made = huddle.receive(frame)
    except BadFrame as bad:
        made = (Reply(huddle.refuse(bad.error.body(), reply_to=bad.reply_to)),)
    assert len(made) == 1


@pytest.mark.parametrize(
    "frame", ["[" * 50_000, '{"type":"ping","data":' + "[" * 50_000, '{"type": "\\ud800"}', "\ud800"]
)
def test_a_hostile_frame_is_merely_a_bad_one(frame: str) -> None:
    with pytest.raises(BadFrame):
        dialect().receive(frame)
