"""The devices wire, byte by byte: what client frames mean, and how the server's frames look."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.dialects.base import (
    BadFrame,
    Caller,
    Errand,
    Frame,
    Kit,
    Lagged,
    Limits,
    Pushed,
    Reply,
    Request,
    StoredLate,
    Telling,
    Upgrade,
    Welcome,
)
from gateway.dialects.devices import DevicesDialect
from gateway.dialects.world import Person, Room, SocketWorld
from gateway.disconnects import Disconnect
from gateway.rest.device_chat import knowing
from gateway.rest.device_chat.knowing import here_among, names_of
from shared.commands import ConversationKind, JoinRule, MessageType, Stage
from shared.errors import ErrorBody, RateLimited, WarrenError
from shared.events import (
    ConversationChange,
    Message,
    MessageFailed,
    MessageStored,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.history_api import MessagePage, Watermark
from shared.ids import DeviceId, MessageId, SessionId, UserId, direct_conversation_id
from shared.position import Position
from shared.presence_api import Presence, Profile
from tests.fakes.clock import START
from tests.fakes.messages import ALICE, BOB, ROOM, became, deleted, edited, message, reacted
from tests.fakes.vectors import vectors_of
from tests.fakes.world import FakeWorld

read = vectors_of("devices")
DIRECT = direct_conversation_id(ALICE, BOB)
CAROL = UserId("carol")
STORED = Stored(
    message_id=MessageId("m1"), conversation_id=ROOM, client_id="c1", seq=7, version=9, number=71, created_at=START
)


def room_of(kind: ConversationKind, *members: UserId, name: str | None = None) -> Room:
    return Room(
        id=DIRECT if kind is ConversationKind.DIRECT else ROOM,
        number=1,
        kind=kind,
        name=name,
        metadata=msgspec.Raw(b"{}"),
        parent_id=None,
        join=JoinRule.INVITE,
        member_ids=members,
        member_count=len(members),
    )


def stored(said: Message) -> MessageStored:
    return MessageStored(message=said, audience=())


IN = message(1, room=DIRECT, sender=BOB)
OWN = message(2, room=DIRECT)
EVERYTHING = replace(
    IN,
    type=MessageType.VIDEO,
    content='日本 "quoted"',
    metadata=msgspec.Raw(b'{"a":[1,2.50]}'),
    mentions=(ALICE,),
    reactions={"👍": (BOB,)},
    edited_at=START,
)
EVENTS: dict[str, Pushed] = {
    "message_from_a_device": stored(IN),
    "message_of_another_kind": stored(EVERYTHING),
    "message_from_a_device_without_a_name": stored(replace(IN, sender_name="bob")),
    "own_message": stored(OWN),
    "message_in_a_group": stored(message(1, sender=BOB)),
    "own_message_in_a_group": stored(message(2)),
    "message_that_is_deleted": stored(replace(IN, deleted_at=START)),
    "receipt": ReceiptAdvanced(
        conversation_id=DIRECT, user_id=BOB, stage=Stage.READ, seq=2, at=START, audience=(ALICE, BOB)
    ),
    "own_receipt": ReceiptAdvanced(
        conversation_id=DIRECT, user_id=ALICE, stage=Stage.READ, seq=2, at=START, audience=(ALICE, BOB)
    ),
    "receipt_failed": MessageFailed(
        conversation_id=ROOM,
        message_id=MessageId("m1"),
        client_id="c1",
        sender_id=ALICE,
        at=START,
        error=ErrorBody(code="internal", message="Given up."),
    ),
    "typing": TypingChanged(conversation_id=DIRECT, user_id=BOB, name="Bob", active=True),
    "typing_ended": TypingChanged(conversation_id=DIRECT, user_id=BOB, name="Bob", active=False),
    "stored_late": StoredLate(sender_id=ALICE, at=START, stored=STORED),
    "message_updated": edited(3, seq=1),
    "message_deleted": deleted(4, seq=1),
    "reaction": reacted(5, seq=1, user=BOB),
    "conversation": became(7, ConversationChange.CREATED, ALICE, BOB),
    "presence": Presence(user_id=BOB, status="online", last_seen=START, devices=1),
    "lagged": Lagged(conversation_id=ROOM, from_seq=3, before=9),
}
WELCOME = Welcome(
    session_id=SessionId("s1"),
    user_id=ALICE,
    device_id=DeviceId("alice"),
    heartbeat_s=30,
    since=Position(START).token(),
    limits=Limits(max_frame_bytes=1, max_content_bytes=2, max_metadata_bytes=3, max_in_flight=4),
)
WRITERS: dict[str, Callable[[DevicesDialect], Any]] = {
    "connected": lambda wire: wire.welcome(WELCOME),
    "error": lambda wire: wire.refuse(RateLimited("Slower.", retry_after_ms=250, limit=1).body(), reply_to=None),
    "replaced": lambda wire: wire.close(Disconnect.REPLACED, retry_after_ms=None),
    "unauthenticated": lambda wire: wire.close(Disconnect.UNAUTHENTICATED, retry_after_ms=None),
}


def dialect() -> DevicesDialect:
    wire = DevicesDialect(Kit(new_id=lambda: "new-id", now=lambda: START, max_frame_bytes=1024))
    wire.opened(Caller(ALICE, "Alice", DeviceId("alice")))
    wire.welcome(WELCOME)
    return wire


def world() -> FakeWorld:
    made = FakeWorld(ALICE)
    made.names = {BOB: "Bob"}
    made.rooms = {
        DIRECT: room_of(ConversationKind.DIRECT, ALICE, BOB),
        ROOM: room_of(ConversationKind.GROUP, ALICE, BOB, CAROL, name="Team"),
    }
    made.said = {said.id: said for said in (IN, OWN, message(3, room=DIRECT, sender=BOB), message(5, sender=BOB))}
    made.history.page = MessagePage(
        messages=(IN, OWN), watermarks=(Watermark(user_id=ALICE), Watermark(user_id=BOB)), has_more=False
    )
    return made


async def never(user_ids: object) -> Mapping[UserId, Person]:
    await asyncio.Event().wait()
    raise AssertionError


async def means(frame: str, wire: DevicesDialect, around: SocketWorld) -> object:
    """What the dialect makes of a frame, as plain JSON."""
    try:
        [made] = wire.receive(frame)
        if isinstance(made, Reply):
            return {"reply": [json.loads(reply) for reply in made.frames]}
        assert isinstance(made.wish, Errand)
        follows = await made.wish.run(around)
    except BadFrame as bad:
        return {"code": bad.error.code, "path": bad.error.details.get("path")}
    except WarrenError as error:
        return {"code": error.code}
    wishes = [each.wish for each in follows if isinstance(each, Request)]
    replies = [json.loads(frame) for each in follows if isinstance(each, Reply) for frame in each.frames]
    made_of = {"wishes": [{"wish": type(wish).__name__, **msgspec.to_builtins(wish)} for wish in wishes]}
    return {**made_of, "reply": replies} if replies else made_of


async def rendered(event: Pushed, wire: DevicesDialect, around: SocketWorld) -> list[object]:
    frames = wire.render(event)
    if isinstance(frames, Telling):
        frames = await frames.frames(around)
    return [json.loads(frame) for frame in frames]


@pytest.mark.parametrize("name", read("receive"))
async def test_a_client_frame_means(name: str) -> None:
    vector = read("receive")[name]
    frame = vector["frame"] if isinstance(vector["frame"], str) else json.dumps(vector["frame"])
    assert await means(frame, dialect(), world()) == vector["means"]


@pytest.mark.parametrize("name", EVENTS)
async def test_an_event_is_written(name: str) -> None:
    assert await rendered(EVENTS[name], dialect(), world()) == read("render")[name]


@pytest.mark.parametrize("name", WRITERS)
def test_the_server_says(name: str) -> None:
    [frame] = WRITERS[name](dialect())
    assert json.loads(frame) == read("server")[name]


def test_a_binary_frame_is_refused() -> None:
    with pytest.raises(BadFrame) as bad:
        dialect().receive(None)
    assert bad.value.unreadable


UPGRADES: dict[str, tuple[dict[str, str], tuple[str, str, str]]] = {
    "nothing": ({}, ("Device-flutter-", "client", "unknown")),
    "all": ({"name": "Ann", "type": "phone", "platform": "android"}, ("Ann", "phone", "android")),
    "names of people": ({"name": "👩\u200d💻 Ann"}, ("👩\u200d💻 Ann", "client", "unknown")),
    "what cannot be shown": ({"name": "a\x00\udfff\n", "type": "x" * 200}, ("a", "x" * 128, "unknown")),
    "blanks": ({"name": " ", "type": "", "platform": ""}, ("Device-flutter-", "client", "unknown")),
}


@pytest.mark.parametrize("said", UPGRADES)
def test_the_path_names_the_device_and_the_query_tells_of_it(said: str) -> None:
    query, told = UPGRADES[said]
    hello = dialect().upgraded(Upgrade(token="t", path={"device_id": "flutter-device-1"}, query=query))
    assert (hello.claims, hello.token, hello.takes_over) == ("flutter-device-1", "t", True)
    assert hello.device is not None
    assert (hello.device.id, hello.device.name, hello.device.type, hello.device.platform) == (
        "flutter-device-1",
        *told,
    )


@pytest.mark.parametrize("device_id", ["b b", "é", "x" * 129, "bob\n", ""])
def test_a_device_that_cannot_be_named_so_is_refused(device_id: str) -> None:
    with pytest.raises(BadFrame):
        dialect().upgraded(Upgrade(path={"device_id": device_id}))


def test_nothing_is_asked_for_an_own_receipt() -> None:
    assert dialect().render(EVENTS["own_receipt"]) == ()


async def test_who_is_in_a_group_is_asked_again_when_it_changes() -> None:
    wire, around = dialect(), world()
    receipt = ReceiptAdvanced(conversation_id=ROOM, user_id=BOB, stage=Stage.READ, seq=1, at=START, audience=())
    assert isinstance(wire.render(receipt), Telling)
    await rendered(receipt, wire, around)
    assert not isinstance(wire.render(receipt), Telling)
    wire.render(became(7, ConversationChange.MEMBER_REMOVED, CAROL))
    assert isinstance(wire.render(receipt), Telling)


async def test_who_was_written_to_before_is_a_device_whatever_groups_are_called() -> None:
    around = world()
    direct = direct_conversation_id(ALICE, UserId(ROOM))
    around.rooms[direct] = replace(room_of(ConversationKind.DIRECT, ALICE, UserId(ROOM)), id=direct)
    frame = json.dumps({"type": "typing", "recipient_id": ROOM, "is_typing": True})
    told = await means(frame, dialect(), around)
    assert isinstance(told, dict)
    assert told["wishes"][0]["to"] == ROOM


async def test_a_group_does_not_stand_in_for_a_device_of_the_same_name() -> None:
    around = world()
    around.presence.people = {UserId(ROOM): Profile(user_id=UserId(ROOM), name="Roomy", created_at=START)}
    frame = json.dumps({"type": "typing", "recipient_id": ROOM, "is_typing": True})
    told = await means(frame, dialect(), around)
    assert isinstance(told, dict)
    assert told["wishes"][0]["to"] == ROOM


FRAMES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["bob", "room"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "recipient_id", "session_id", "is_typing", "message_ids", "sender_id", "device_id", "x"]
            ),
            inner | st.sampled_from(["ping", "typing", "read_receipt", "message"]),
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(st.text(max_size=200) | FRAMES.map(json.dumps))
def test_whatever_comes_is_read_or_is_a_bad_frame(frame: Frame) -> None:
    try:
        for made in dialect().receive(frame):
            assert isinstance(made, Reply) or isinstance(made.wish, Errand)
    except BadFrame as bad:
        dialect().refuse(bad.error.body(), reply_to=bad.reply_to)


async def test_nobody_waits_long_for_names_and_for_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing, "PATIENCE_S", 0.01)
    around = world()
    around.presence.gate.clear()
    assert await here_among(around, (BOB, CAROL)) == set()
    around.people = never  # type: ignore[method-assign]
    assert await names_of(around, (BOB, CAROL)) == {}
