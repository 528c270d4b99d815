"""The envelope wire, byte by byte: what client frames mean, and how the server's frames look."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.base import (
    Accepted,
    Answer,
    BadFrame,
    Caller,
    Done,
    Errand,
    Frame,
    Hello,
    Kit,
    Lagged,
    Pushed,
    Reply,
    Request,
    StoredLate,
    Telling,
    Upgrade,
)
from gateway.dialects.envelope import EnvelopeDialect
from gateway.disconnects import Disconnect
from shared.commands import SendMessage, Stage
from shared.errors import ErrorBody, NotAMember, RateLimited, Unauthenticated
from shared.events import (
    ConversationChange,
    MessageFailed,
    MessageStored,
    Notified,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.ids import DeviceId, MessageId
from shared.presence_api import Presence
from tests.clients.envelope import WebSocketMessage
from tests.fakes.clock import START
from tests.fakes.messages import ALICE, BOB, ROOM, became, deleted, edited, message, reacted, stored
from tests.fakes.vectors import vectors_of

read = vectors_of("envelope")
STORED = Stored(
    message_id=MessageId("m1"), conversation_id=ROOM, client_id="c1", seq=7, version=9, number=71, created_at=START
)
FAILED = MessageFailed(
    conversation_id=ROOM,
    message_id=MessageId("m1"),
    client_id="c1",
    sender_id=ALICE,
    at=START,
    error=ErrorBody(code="internal", message="Given up."),
)
MENTION = MessageStored(
    message=msgspec.structs.replace(message(2, sender=BOB), mentions=(ALICE,)), audience=(ALICE, BOB)
)
EVERYTHING = MessageStored(
    message=msgspec.structs.replace(
        message(2, sender=BOB),
        metadata=msgspec.Raw(b'{"a":[1,2.50]}'),
        reply_to=MessageId("room-1"),
        mentions=(BOB,),
        reactions={"👍": (BOB,)},
        edited_at=START,
        deleted_at=START,
    ),
    audience=(ALICE, BOB),
)


def receipt(stage: Stage, *, seq: int = 3) -> ReceiptAdvanced:
    return ReceiptAdvanced(conversation_id=ROOM, user_id=BOB, stage=stage, seq=seq, at=START, audience=(ALICE, BOB))


def by_bob(version: int, change: ConversationChange) -> Pushed:
    return msgspec.structs.replace(became(version, change, ALICE), actor_id=BOB)


NOTE = msgspec.Raw(b'{"url":"/x"}')
EVENTS: dict[str, Pushed] = {  # as alice is told of them
    "chat": stored(1, sender=BOB),
    "chat_of_ones_own": stored(1),
    "chat_with_everything": EVERYTHING,
    "chat_with_a_mention": MENTION,
    "chat_edited": edited(3, seq=1),
    "chat_deleted": deleted(4, seq=1),
    "receipt_delivered": receipt(Stage.DELIVERED),
    "receipt_read": receipt(Stage.READ),
    "receipt_of_oneself": msgspec.structs.replace(receipt(Stage.READ), user_id=ALICE),
    "failed": FAILED,
    "stored_late": StoredLate(sender_id=ALICE, at=START, stored=STORED),
    "reaction": reacted(5, seq=1, user=BOB),
    "created_by_another": by_bob(1, ConversationChange.CREATED),
    "created_by_oneself": became(1, ConversationChange.CREATED),
    "added": by_bob(2, ConversationChange.MEMBER_ADDED),
    "added_another": became(2, ConversationChange.MEMBER_ADDED, BOB),
    "joined": became(2, ConversationChange.MEMBER_ADDED, ALICE),
    "removed": by_bob(3, ConversationChange.MEMBER_REMOVED),
    "role": by_bob(4, ConversationChange.ROLE_CHANGED),
    "updated": became(5, ConversationChange.UPDATED),
    "user_status": Presence(user_id=BOB, status="dnd", last_seen=START, devices=2, text="in a meeting"),
    "user_status_of_nobody": Presence(user_id=BOB, status="offline"),
    "typing": TypingChanged(conversation_id=ROOM, user_id=BOB, name="Bob", active=False),
    "notification": Notified(
        id=MessageId("n1"),
        user_ids=(BOB,),
        title="Maintenance",
        body="At noon.",
        data=msgspec.Raw(b'{"url":"/x"}'),
        at=START,
    ),
    "lagged": Lagged(conversation_id=ROOM, from_seq=3, before=9),
}
ANSWERS: dict[str, Answer] = {
    "accepted": Accepted(message_id=MessageId("m1"), conversation_id=ROOM),
    "done": Done(),
}
SAYS: dict[str, Callable[[EnvelopeDialect], Sequence[Frame]]] = {
    "error": lambda envelope: envelope.refuse(NotAMember("You are not in it.").body(), reply_to="1"),
    "error_with_a_time": lambda envelope: envelope.refuse(
        RateLimited("Slower.", retry_after_ms=250, limit=50).body(), reply_to=None
    ),
    "bye_drain": lambda envelope: envelope.close(Disconnect.DRAIN, retry_after_ms=500),
    "bye_kicked": lambda envelope: envelope.close(Disconnect.KICKED, retry_after_ms=None),
}


def dialect(*, opened: bool = True, max_frame_bytes: int = 128 * 1024) -> EnvelopeDialect:
    envelope = EnvelopeDialect.make(Kit(new_id=lambda: "new-id", now=lambda: START, max_frame_bytes=max_frame_bytes))
    if opened:
        envelope.opened(Caller(ALICE, "Alice", DeviceId("phone")))
    return envelope


def told(frame: str, envelope: EnvelopeDialect) -> object:
    """What the dialect makes of a frame, as plain JSON."""
    try:
        made = envelope.receive(frame)
    except BadFrame as bad:
        return {"code": bad.error.code, "path": bad.error.details.get("path"), "id": bad.reply_to}
    return [_plain(each) for each in made]


def _plain(made: Request | Reply) -> object:
    if isinstance(made, Reply):
        return {"reply": [json.loads(frame) for frame in made.frames]}
    if isinstance(made.wish, Errand):
        return {"errand": "free" if made.wish.free else "counted", "id": made.reply_to}
    plain = msgspec.json.decode(msgspec.json.encode(made.wish))
    return {"wish": type(made.wish).__name__, "id": made.reply_to, **plain}


def frames(said: Sequence[Frame] | Telling) -> list[Any]:
    assert not isinstance(said, Telling)
    for frame in said:
        WebSocketMessage.from_json(json.loads(frame))  # the published client can read it
    return [json.loads(frame) for frame in said]


def as_text(frame: object) -> str:
    return frame if isinstance(frame, str) else json.dumps(frame)


@pytest.mark.parametrize("name", read("receive"))
def test_a_client_frame_means(name: str) -> None:
    vector = read("receive")[name]
    assert told(as_text(vector["frame"]), dialect()) == vector["means"]


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_written(name: str) -> None:
    assert frames(dialect().render(EVENTS[name])) == read("render")[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_written(name: str) -> None:
    assert frames(dialect().answer(ANSWERS[name], reply_to="1")) == read("answer")[name]


@pytest.mark.parametrize("name", SAYS)
def test_the_server_says(name: str) -> None:
    assert frames(SAYS[name](dialect())) == read("server")[name]


def test_a_message_that_is_stored_is_answered_by_its_chat_alone() -> None:
    envelope = dialect()
    envelope.receive(json.dumps({"type": "chat", "id": "c1", "data": {"to": "bob", "content": "hi"}}))
    own = msgspec.structs.replace(STORED, message_id=MessageId("new-id"))
    assert frames(envelope.answer(own, reply_to="c1")) == []


def test_a_message_that_was_stored_before_is_read_again() -> None:
    envelope = dialect()
    envelope.receive(json.dumps({"type": "chat", "id": "c1", "data": {"to": "bob", "content": "hi"}}))
    assert isinstance(envelope.answer(STORED, reply_to="c1"), Telling)


def test_what_is_read_is_not_told_as_delivered_any_more() -> None:
    envelope = dialect()
    told = [
        frames(envelope.render(receipt(stage, seq=seq)))
        for stage, seq in ((Stage.READ, 3), (Stage.DELIVERED, 3), (Stage.DELIVERED, 2), (Stage.DELIVERED, 4))
    ]
    assert [[frame["data"]["seq"] for frame in each] for each in told] == [[3], [], [], [4]]


def test_metadata_is_kept_as_the_client_wrote_it() -> None:
    frame = '{"type":"chat","data":{"to":"bob","content":"","metadata":{"n": 1.50, "big": 12345678901234567890}}}'
    [request] = dialect().receive(frame)
    assert isinstance(request, Request)
    assert isinstance(request.wish, SendMessage)
    assert bytes(request.wish.metadata) == b'{"n": 1.50, "big": 12345678901234567890}'


@pytest.mark.parametrize(("content", "fits"), [("x" * 16_384, True), ("\x01" * 16_384, True), ("é" * 8_193, False)])
def test_content_is_measured_in_bytes(content: str, *, fits: bool) -> None:
    frame = json.dumps({"type": "chat", "id": "1", "data": {"to": "bob", "content": content}})
    made = told(frame, dialect())
    assert isinstance(made, list) == fits
    assert fits or made == {"code": "too_large", "path": None, "id": "1"}


def test_a_frame_over_the_limit_is_refused_by_its_id() -> None:
    frame = json.dumps({"type": "ping", "id": "1", "data": {"x": "x" * 2_000}})
    assert told(frame, dialect(max_frame_bytes=1_024)) == {"code": "too_large", "path": None, "id": "1"}


def test_a_binary_frame_is_refused() -> None:
    with pytest.raises(BadFrame) as bad:
        dialect().receive(None)
    assert bad.value.unreadable


@pytest.mark.parametrize(
    "frame",
    ["[" * 50_000, '{"type":"ping","data":{"x":' + "[" * 50_000, '{"type":"ping","id": "\\ud800"}', "\ud800", "{}\x00"],
)
def test_a_hostile_frame_is_merely_a_bad_one(frame: str) -> None:
    with pytest.raises(BadFrame):
        dialect().receive(frame)


@pytest.mark.parametrize(
    ("query", "device"), [({}, None), ({"device_id": "phone"}, "phone"), ({"deviceId": "phone"}, "phone")]
)
def test_the_upgrade_tells_who_the_client_is(query: dict[str, str], device: str | None) -> None:
    hello = dialect(opened=False).upgraded(Upgrade(token="t", query=query))
    assert isinstance(hello, Hello)
    assert (hello.token, hello.device and hello.device.id) == ("t", device)


@pytest.mark.parametrize(
    "upgrade",
    [
        Upgrade(),
        Upgrade(token=""),
        Upgrade(token="t", query={"device_id": "not an id"}),
        Upgrade(token="t", query={"user_id": ""}),
    ],
)
def test_an_upgrade_that_does_not_is_refused(upgrade: Upgrade) -> None:
    with pytest.raises(BadFrame):
        dialect(opened=False).upgraded(upgrade)


def test_nothing_is_taken_from_who_is_not_known() -> None:
    with pytest.raises(BadFrame) as bad:
        dialect(opened=False).receive('{"type":"chat","data":{"to":"bob","content":"hi"}}')
    assert isinstance(bad.value.error, Unauthenticated)


def test_each_session_has_frames_of_its_own() -> None:
    ids = iter(("a", "b"))
    kit = Kit(new_id=lambda: next(ids), now=lambda: START, max_frame_bytes=1024)
    assert EnvelopeDialect.make(kit).variant != EnvelopeDialect.make(kit).variant


# --- whatever comes, the decoder gives values or raises BadFrame

_WORDS = st.sampled_from(
    [
        *("type", "data", "id", "timestamp", "channelId", "channel", "content", "action", "to", "metadata", "seq"),
        *("chat", "ping", "pong", "systemMessage", "userStatus", "subscribe", "unsubscribe", "typing", "read", "text"),
        *(
            "messageId",
            "isTyping",
            "mentions",
            "replyTo",
            "senderId",
            "status",
            "online",
            "alice",
            "bob",
            "attachments",
        ),
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(max_size=4), inner, max_size=6),
    max_leaves=20,
)
_TYPES = st.sampled_from(["chat", "ping", "pong", "systemMessage", "userStatus"])
_DATA = st.dictionaries(_WORDS, _JSON, max_size=6)
_NEAR = st.builds(lambda type_, data, id_: {"type": type_, "data": data, "id": id_}, _TYPES, _DATA, st.none() | _WORDS)
_CUT = st.builds(lambda frame, at: json.dumps(frame)[:at], _NEAR, st.integers(0, 80))


@given(st.one_of(st.text(), _JSON.map(json.dumps), _NEAR.map(json.dumps), _CUT))
def test_whatever_a_client_sends_is_read_or_refused(frame: str) -> None:
    envelope = dialect()
    try:
        made = envelope.receive(frame)
    except BadFrame as bad:
        envelope.refuse(bad.error.body(), reply_to=bad.reply_to)
    else:
        for each in made:
            assert isinstance(each, Request | Reply)
