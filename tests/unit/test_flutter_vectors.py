"""The flutter wire, byte by byte: what client messages mean, and how the server's messages look."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.dialects.base import Accepted, Answer, Caller, Done, Limits, Pushed, Reply, Welcome
from gateway.dialects.flutter import FlutterDialect
from gateway.dialects.socket_io import connect_frame
from gateway.disconnects import Disconnect
from shared.commands import MessageType, Stage
from shared.errors import ErrorBody, Forbidden, NotAMember, NotFound, RateLimited, Unavailable
from shared.events import MessageFailed, MessageStored, ReceiptAdvanced, Stored, TypingChanged
from shared.ids import DeviceId, MessageId, SessionId, direct_conversation_id
from tests.fakes.clock import START
from tests.fakes.messages import ALICE, BOB, ROOM, message, stored
from tests.fakes.vectors import told, vectors_of

read = vectors_of("flutter")
DIRECT = direct_conversation_id(ALICE, BOB)
MSG_ID = "6f3c1e00e2c511eb8d1900505612ab34"
OWN = replace(
    message(1, room=DIRECT), metadata=msgspec.Raw(b'{"flutter":{"mType":-1,"sex":"1","icon":"i"}}'), client_id=MSG_ID
)
IMAGE = b'{"flutter":{"mType":-2,"text":"[\xe5\x9b\xbe\xe7\x89\x87]","sex":"2","icon":"https://example.com/i.png"}}'
STORED = Stored(
    message_id=MessageId("m1"), conversation_id=ROOM, client_id="c1", seq=7, version=9, number=71, created_at=START
)


def shown(each: Any, **audience: Any) -> MessageStored:
    return MessageStored(message=each, audience=audience.get("audience", (ALICE, BOB)))


EVENTS: dict[str, Pushed] = {
    "of_the_peer": shown(replace(OWN, sender_id=BOB, sender_name="Bob")),
    "of_the_peer_by_a_short_id": shown(replace(OWN, sender_id=BOB, sender_name="Bob", client_id="1")),
    "of_another_wire": stored(2, room=DIRECT, sender=BOB),
    "own_from_another_device": shown(OWN),
    "in_a_group": shown(replace(OWN, conversation_id=ROOM, sender_id=BOB)),
    "image": shown(
        replace(
            message(3, room=DIRECT, sender=BOB, content="https://example.com/p.png"),
            type=MessageType.IMAGE,
            metadata=msgspec.Raw(IMAGE),
        )
    ),
    "image_of_another_wire": shown(
        replace(message(3, room=DIRECT, sender=BOB, content="https://example.com/p.png"), type=MessageType.IMAGE)
    ),
    "image_without_an_address": shown(
        replace(message(3, room=DIRECT, sender=BOB, content="a cat"), type=MessageType.IMAGE)
    ),
    "spoilt_metadata": shown(
        replace(message(3, room=DIRECT, sender=BOB), metadata=msgspec.Raw(b'{"flutter":[1,{"mType":"x"}]}'))
    ),
    "deleted": shown(replace(OWN, sender_id=BOB, content="", deleted_at=START)),
    "read_by_the_peer": ReceiptAdvanced(
        conversation_id=DIRECT, user_id=BOB, stage=Stage.READ, seq=3, at=START, audience=(ALICE, BOB)
    ),
    "read_by_oneself": ReceiptAdvanced(
        conversation_id=DIRECT, user_id=ALICE, stage=Stage.READ, seq=3, at=START, audience=(ALICE, BOB)
    ),
    "delivered_in_a_group": ReceiptAdvanced(
        conversation_id=ROOM, user_id=BOB, stage=Stage.DELIVERED, seq=3, at=START, audience=(ALICE, BOB)
    ),
    "typing": TypingChanged(conversation_id=DIRECT, user_id=BOB, name="Bob", active=True),
    "failed": MessageFailed(
        conversation_id=DIRECT,
        message_id=MessageId("m1"),
        client_id=MSG_ID,
        sender_id=ALICE,
        at=START,
        error=ErrorBody(code="internal", message="Given up."),
    ),
}
WELCOME = Welcome(
    session_id=SessionId("s1"),
    user_id=ALICE,
    device_id=DeviceId("phone"),
    heartbeat_s=30,
    since="token",
    limits=Limits(max_frame_bytes=1, max_content_bytes=2, max_metadata_bytes=3, max_in_flight=4),
)
# what was asked: its type, its msg_id, its acknowledgement
ANSWERS: dict[str, tuple[Answer, list[object]]] = {
    "entered": (WELCOME, ["enter", "1628160085000", None]),
    "stored": (replace(STORED, conversation_id=DIRECT, client_id=MSG_ID), ["cs_cp2p", MSG_ID, None]),
    "stored_by_a_short_id": (replace(STORED, conversation_id=DIRECT), ["cs_cp2p", "c1", None]),
    "stored_in_a_group": (replace(STORED, client_id=MSG_ID), ["cs_cp2p", MSG_ID, None]),
    "stored_without_an_id": (STORED, ["cs_cp2p", None, None]),
    "stored_by_a_number": (replace(STORED, client_id="12"), ["cs_cp2p", 12, None]),
    "stored_and_acknowledged": (STORED, ["chat", "c1", "7"]),
    "accepted": (Accepted(message_id=MessageId("m1"), conversation_id=DIRECT), ["cs_cp2p", MSG_ID, None]),
    "typing": (Done(), ["typing", "1", None]),
}


def dialect(*, opened: bool = True) -> FlutterDialect:
    flutter = FlutterDialect(new_id=lambda: "new-id", now=lambda: START, max_frame_bytes=128 * 1024)
    if opened:
        flutter.opened(Caller(ALICE, "Alice", DeviceId("phone")))
    return flutter


def packet(said: object, *, ack: str = "") -> str:
    """Write what a client emits; what is no string, as the string that it travels in."""
    return f"2{ack}" + json.dumps(["message", said if isinstance(said, str) else json.dumps(said)])


def plain(frames: Sequence[str]) -> list[object]:
    """Read frames: the packet's type, acknowledgement and event, and the JSON in the string."""
    read: list[object] = []
    for frame in frames:
        head, _, data = frame.partition("[")
        *event, text = json.loads("[" + data)
        read.append([head, *event, json.loads(text)])
    return read


@pytest.mark.parametrize("name", read("receive"))
def test_a_client_message_means(name: str) -> None:
    vector = read("receive")[name]
    frame = vector["packet"] if "packet" in vector else packet(vector["message"], ack=vector.get("ack", ""))
    assert told(frame, dialect(opened=not vector.get("before_enter")), plain) == vector["means"]


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_written(name: str) -> None:
    frames = dialect().render(EVENTS[name])
    assert isinstance(frames, Sequence)
    assert plain(frames) == read("render")[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_written(name: str) -> None:
    answer, asked = ANSWERS[name]
    assert plain(dialect().answer(answer, reply_to=json.dumps(asked))) == read("answer")[name]


SAYINGS: dict[str, Callable[[FlutterDialect], Sequence[str]]] = {
    "connected": lambda flutter: [
        frame
        for said in flutter.receive(connect_frame("sid-1", {}))
        if isinstance(said, Reply)
        for frame in said.frames
    ],
    "welcome": lambda flutter: flutter.welcome(WELCOME),
    "refused": lambda flutter: flutter.refuse(NotFound("Where?").body(), reply_to='["cs_cp2p","1",null]'),
    "refused_page": lambda flutter: flutter.refuse(NotAMember("No.").body(), reply_to='["cs_gcds","1","7"]'),
    "refused_entry": lambda flutter: flutter.refuse(Forbidden("No.").body(), reply_to='["enter","1",null]'),
    "rate_limited": lambda flutter: flutter.refuse(RateLimited("Slower.").body(), reply_to='["chat",1,null]'),
    "unavailable": lambda flutter: flutter.refuse(Unavailable("Later.").body(), reply_to='["cs_ain","1",null]'),
    "refused_packet": lambda flutter: flutter.refuse(Forbidden("No.").body(), reply_to="12"),
    "refused_without_id": lambda flutter: flutter.refuse(Forbidden("No.").body(), reply_to=None),
    "bye_drain": lambda flutter: flutter.close(Disconnect.DRAIN, retry_after_ms=500),
    "bye_kicked": lambda flutter: flutter.close(Disconnect.KICKED, retry_after_ms=None),
    "bye_expired": lambda flutter: flutter.close(Disconnect.TOKEN_EXPIRED, retry_after_ms=None),
}


@pytest.mark.parametrize("name", SAYINGS)
def test_the_server_says(name: str) -> None:
    assert plain(SAYINGS[name](dialect())) == read("server")[name]
