"""The native wire, byte by byte: what client frames mean, and how the server's frames look."""

import json
from collections.abc import Callable

import msgspec
import pytest

from gateway.dialects.base import (
    Accepted,
    Answer,
    BadFrame,
    Caller,
    Done,
    Lagged,
    Limits,
    Presences,
    Pushed,
    Reply,
    StoredLate,
    Welcome,
)
from gateway.dialects.native import NativeDialect
from gateway.disconnects import Disconnect
from shared.commands import ConversationKind, Role, Stage
from shared.errors import ErrorBody, RateLimited
from shared.events import (
    Changed,
    ConversationChange,
    ConversationCreated,
    MessageFailed,
    MessageStored,
    Notified,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.history_api import MessagePage, SyncAnswer, Watermark
from shared.ids import DeviceId, MessageId, SessionId
from shared.presence_api import Presence
from tests.fakes.clock import START
from tests.fakes.messages import (
    ALICE,
    BOB,
    ROOM,
    became,
    changed_by,
    changes,
    deleted,
    edited,
    message,
    reacted,
    stored,
)
from tests.fakes.vectors import told, vectors_of

read = vectors_of("native")
STORED = Stored(
    message_id=MessageId("m1"), conversation_id=ROOM, client_id="c1", seq=7, version=9, number=71, created_at=START
)
WATERMARK = Watermark(user_id=BOB, delivered_seq=2, delivered_at=START, read_seq=1, read_at=START)
NOTE = msgspec.Raw(b'{"url":"/x"}')
EVENTS: dict[str, Pushed] = {
    "message": stored(1),
    "message_with_everything": MessageStored(
        message=msgspec.structs.replace(
            message(2),
            metadata=msgspec.Raw(b'{"a":[1,2.50]}'),
            reply_to=MessageId("room-1"),
            mentions=(BOB,),
            reactions={"👍": (BOB,)},
            edited_at=START,
            deleted_at=START,
        ),
        audience=(ALICE, BOB),
    ),
    "receipt_read": ReceiptAdvanced(
        conversation_id=ROOM, user_id=BOB, stage=Stage.READ, seq=3, at=START, audience=(ALICE, BOB)
    ),
    "receipt_stored": StoredLate(sender_id=ALICE, at=START, stored=STORED),
    "receipt_failed": MessageFailed(
        conversation_id=ROOM,
        message_id=MessageId("m1"),
        client_id="c1",
        sender_id=ALICE,
        at=START,
        error=ErrorBody(code="internal", message="Given up."),
    ),
    "message_updated": edited(3, seq=1),
    "message_deleted": deleted(4, seq=1),
    "reaction": reacted(5, seq=1, user=BOB),
    "reaction_removed": reacted(6, seq=1, user=BOB, removed=True),
    "conversation_created": became(1, ConversationChange.CREATED, ALICE, BOB),
    "conversation_role": became(7, ConversationChange.ROLE_CHANGED, BOB, role=Role.ADMIN),
    "conversation_by_the_operator": msgspec.structs.replace(became(8, ConversationChange.UPDATED), actor_id=None),
    "presence": Presence(user_id=BOB, status="dnd", last_seen=START, devices=2, text="in a meeting"),
    "presence_of_nobody": Presence(user_id=BOB, status="offline"),
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
WELCOME = Welcome(
    session_id=SessionId("s1"),
    user_id=ALICE,
    device_id=DeviceId("phone"),
    heartbeat_s=30,
    since="token",
    limits=Limits(max_frame_bytes=1, max_content_bytes=2, max_metadata_bytes=3, max_in_flight=4),
)
ANSWERS: dict[str, Answer] = {
    "stored": STORED,
    "accepted": Accepted(message_id=MessageId("m1"), conversation_id=ROOM),
    "created": ConversationCreated(conversation_id=ROOM, number=1, kind=ConversationKind.DIRECT, created=True),
    "welcome": WELCOME,
    "page": MessagePage(messages=(message(1), message(2)), watermarks=(WATERMARK,), has_more=True),
    "sync": SyncAnswer(conversations=(changes(2, limited=True, watermarks=(WATERMARK,)),), since="token"),
    "sync_of_every_kind": SyncAnswer(
        conversations=(
            changed_by(
                became(1, ConversationChange.CREATED, ALICE, BOB),
                msgspec.structs.replace(stored(1), message=msgspec.structs.replace(message(1), version=2)),
                edited(3, seq=1),
                reacted(4, seq=1),
                deleted(5, seq=1),
            ),
        ),
        since="token",
        has_more=True,
    ),
    "changed": Changed(change_id=MessageId("k1"), conversation_id=ROOM, version=9),
    "presences": Presences(presences=(Presence(user_id=BOB, status="online", last_seen=START, devices=1),)),
    "done": Done(),
}


def dialect(*, opened: bool = True) -> NativeDialect:
    native = NativeDialect(new_id=lambda: "new-id", now=lambda: START, max_frame_bytes=64 * 1024)
    if opened:
        native.opened(Caller(ALICE, "Alice", DeviceId("phone")))
    return native


@pytest.mark.parametrize("name", read("receive"))
def test_a_client_frame_means(name: str) -> None:
    vector = read("receive")[name]
    frame = vector["frame"] if isinstance(vector["frame"], str) else json.dumps(vector["frame"])
    assert told(frame, dialect(opened=not vector.get("before_hello"))) == vector["means"]


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_written(name: str) -> None:
    [frame] = dialect().render(EVENTS[name])
    assert json.loads(frame) == read("render")[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_written(name: str) -> None:
    [frame] = dialect().answer(ANSWERS[name], reply_to="1")
    assert json.loads(frame) == read("answer")[name]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("welcome", lambda native: native.welcome(WELCOME)),
        ("error", lambda native: native.refuse(RateLimited("Slower.", retry_after_ms=250).body(), reply_to="1")),
        ("error_without_id", lambda native: native.refuse(RateLimited("Slower.").body(), reply_to=None)),
        ("bye_drain", lambda native: native.close(Disconnect.DRAIN, retry_after_ms=500)),
        ("bye_kicked", lambda native: native.close(Disconnect.KICKED, retry_after_ms=None)),
    ],
)
def test_the_server_says(name: str, write: Callable[[NativeDialect], tuple[str, ...]]) -> None:
    [frame] = write(dialect())
    assert json.loads(frame) == read("server")[name]


def test_metadata_is_kept_as_the_client_wrote_it() -> None:
    frame = '{"type":"send","data":{"to":"bob","metadata":{"n": 1.50, "big": 12345678901234567890}}}'
    [request] = dialect().receive(frame)
    assert not isinstance(request, Reply)
    assert b'{"n": 1.50, "big": 12345678901234567890}' in msgspec.json.encode(request.wish)


@pytest.mark.parametrize(
    ("content", "fits"), [("x" * 16_384, True), ("x" * 16_385, False), ("é" * 8_192, True), ("é" * 8_193, False)]
)
def test_content_is_measured_in_bytes(content: str, *, fits: bool) -> None:
    outcome = told(json.dumps({"type": "send", "id": "1", "data": {"to": "bob", "content": content}}), dialect())
    assert isinstance(outcome, dict)
    assert outcome.get("code") == (None if fits else "too_large")


@pytest.mark.parametrize(("length", "fits"), [(4_096 - len('{"x": ""}'), True), (4_096, False)])
def test_metadata_is_measured_as_json(length: int, *, fits: bool) -> None:
    outcome = told(
        json.dumps({"type": "send", "id": "1", "data": {"to": "bob", "metadata": {"x": "y" * length}}}), dialect()
    )
    assert isinstance(outcome, dict)
    assert outcome.get("code") == (None if fits else "too_large")


def test_a_frame_over_the_limit_is_refused_by_its_id() -> None:
    frame = json.dumps({"type": "ping", "id": "1", "data": "x" * 65_536})
    assert told(frame, dialect()) == {"code": "too_large", "path": None, "id": "1"}


def test_a_binary_frame_is_refused() -> None:
    with pytest.raises(BadFrame) as bad:
        dialect().receive(None)
    assert bad.value.unreadable


@pytest.mark.parametrize("frame", ["[" * 100_000, '{"type":"ping","data":' + "[" * 100_000, '{"id": "\\ud800"}'])
def test_a_hostile_frame_is_merely_a_bad_one(frame: str) -> None:
    with pytest.raises(BadFrame):
        NativeDialect(new_id=lambda: "id", now=lambda: START, max_frame_bytes=10**6).receive(frame)


@pytest.mark.parametrize("disconnect", Disconnect)
def test_the_close_code_tells_whether_to_reconnect(disconnect: Disconnect) -> None:
    assert disconnect.reconnect == (3000 <= disconnect.code <= 3099)
    assert disconnect.reconnect or 3500 <= disconnect.code <= 3599
