"""The service wire, byte by byte: what clients' events mean, and how the server's look."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec.structs import replace

from gateway.dialects.base import (
    Accepted,
    Answer,
    Caller,
    Done,
    Errand,
    Frame,
    Kit,
    Limits,
    Pushed,
    Reply,
    StoredLate,
    Telling,
    Upgrade,
    Welcome,
)
from gateway.dialects.service import ServiceDialect
from gateway.dialects.socket_io import connect_frame
from gateway.dialects.world import Room
from gateway.disconnects import Disconnect
from shared.commands import EMPTY_OBJECT, ConversationKind, JoinRule, MessageType, Stage
from shared.errors import ErrorBody, NotAMember, NotFound, RateLimited
from shared.events import (
    Changed,
    ConversationChange,
    ConversationChanged,
    ConversationState,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageStored,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.history_api import MemberList
from shared.ids import ConversationId, DeviceId, MessageId, SessionId, UserId, message_number
from shared.position import Position
from tests.fakes.clock import START
from tests.fakes.vectors import told, vectors_of
from tests.fakes.world import FakeWorld

read = vectors_of("service")
USER, AGENT = UserId("123"), UserId("agent-7")
SESSION = ConversationId("session-uuid")
TAKEN = ConversationId("taken")  # by the agent
NUMBER = 5
OFFLINE, LIVE = START.replace(hour=START.hour - 1), START


def message(seq: int, **changed: Any) -> Message:
    """Give a message of the agent's in the session."""
    plain = Message(
        id=MessageId(f"m{seq}"),
        number=message_number(NUMBER, seq),
        conversation_id=SESSION,
        seq=seq,
        version=seq,
        client_id=f"c{seq}",
        sender_id=AGENT,
        sender_name="Agent",
        type=MessageType.TEXT,
        content="Hello",
        created_at=LIVE,
    )
    return replace(plain, **changed)


def stored(each: Message) -> MessageStored:
    return MessageStored(message=each, audience=(USER, AGENT))


def part(**said: str) -> msgspec.Raw:
    return msgspec.Raw(json.dumps({"service": said}).encode())


def updated(metadata: msgspec.Raw, actor_id: UserId | None = None) -> ConversationChanged:
    return ConversationChanged(
        conversation_id=SESSION,
        version=9,
        at=LIVE,
        change=ConversationChange.UPDATED,
        actor_id=actor_id,
        audience=(USER, AGENT),
        conversation=ConversationState(
            id=SESSION, number=NUMBER, kind=ConversationKind.GROUP, created_at=START, metadata=metadata, member_count=2
        ),
    )


def receipt(user_id: UserId, stage: Stage = Stage.READ) -> ReceiptAdvanced:
    return ReceiptAdvanced(
        conversation_id=SESSION, user_id=user_id, stage=stage, seq=3, at=LIVE, audience=(USER, AGENT)
    )


EVENTS: dict[str, Pushed] = {
    "of_an_agent": stored(message(1, metadata=part(role="agent"))),
    "of_an_agent_on_another_wire": stored(message(1, conversation_id=TAKEN)),
    "of_who_says_to_be_an_agent": stored(message(1, sender_id=UserId("9"), metadata=part(role="agent"))),
    "reply": stored(message(2, reply_to=MessageId("m1"))),
    "from_before_the_connection": stored(message(1, created_at=OFFLINE)),
    "image": stored(message(1, type=MessageType.IMAGE, content="https://example.com/p.png")),
    "of_a_type_of_the_client": stored(message(1, type=MessageType.CUSTOM, metadata=part(type="card"))),
    "spoilt_metadata": stored(message(1, metadata=msgspec.Raw(b'{"service":[1]}'))),
    "own_of_another_socket": stored(message(1, sender_id=USER)),
    "recalled_before_it_came": stored(message(1, content="", deleted_at=LIVE)),
    "edited": MessageEdited(message=message(1, content="Hi", edited_at=LIVE), at=LIVE, audience=()),
    "recalled": MessageDeleted(message=message(1, content="", deleted_at=LIVE), at=LIVE, audience=()),
    "read_by_oneself": receipt(USER),
    "typing": TypingChanged(conversation_id=SESSION, user_id=AGENT, name="Agent", active=True),
    "typing_oneself": TypingChanged(conversation_id=SESSION, user_id=USER, name="Ann", active=True),
    "accepted": updated(part(state="open", agent=AGENT)),
    "changed_by_a_member": updated(part(state="open", agent=AGENT), actor_id=USER),
    "waiting": updated(part(state="waiting")),
    "failed": MessageFailed(
        conversation_id=SESSION,
        message_id=MessageId("m1"),
        client_id="c1",
        sender_id=USER,
        at=LIVE,
        error=ErrorBody(code="internal", message="Given up."),
    ),
}
WELCOME = Welcome(
    session_id=SessionId("s1"),
    user_id=USER,
    device_id=DeviceId("phone"),
    heartbeat_s=30,
    since=Position(START).token(),
    limits=Limits(max_frame_bytes=1, max_content_bytes=2, max_metadata_bytes=3, max_in_flight=4),
)
STORED = Stored(
    message_id=MessageId("m1"), conversation_id=SESSION, client_id="c1", seq=7, version=9, number=71, created_at=LIVE
)
ACCEPTED = Accepted(message_id=MessageId("m1"), conversation_id=SESSION)
ANSWERS: dict[str, tuple[Answer, str]] = {
    "registered": (WELCOME, "1"),
    "registered_without_acknowledgement": (WELCOME, ""),
    "stored": (STORED, "27"),
    "stored_without_acknowledgement": (STORED, ""),
    "accepted": (ACCEPTED, "27"),
    "done": (Done(), "3"),
    "changed": (Changed(change_id=MessageId("x"), conversation_id=SESSION, version=3), "4"),
}


def dialect(*, opened: bool = True) -> ServiceDialect:
    ids = iter(f"new-{number}" for number in range(1, 100))
    kit = Kit(new_id=lambda: next(ids), now=lambda: START, max_frame_bytes=128 * 1024, zone=ZoneInfo("Asia/Shanghai"))
    service = ServiceDialect.make(kit)
    service.upgraded(Upgrade())
    service.receive(connect_frame("sid-1", {}))
    if opened:
        service.receive(packet(["register", {"user_id": 123, "token": "t", "connection_id": "c-1"}]))
        service.opened(Caller(USER, "Ann", DeviceId("phone")))
        service.welcome(WELCOME)
    return service


def world() -> FakeWorld:
    """Give a world with the session of a user and an agent."""
    made = FakeWorld(USER, "Ann")
    made.rooms[SESSION] = room = Room(
        id=SESSION,
        number=NUMBER,
        kind=ConversationKind.GROUP,
        name=None,
        metadata=EMPTY_OBJECT,
        parent_id=None,
        join=JoinRule.INVITE,
        member_ids=(USER, AGENT),
        member_count=2,
    )
    made.rooms[TAKEN] = replace(room, id=TAKEN, metadata=part(state="open", agent=AGENT))
    made.names[AGENT] = "Agent Smith"
    made.said["m1"] = message(1)
    made.history.lists[ConversationId("service.agents")] = MemberList(version=1, since={AGENT: 0})
    return made


def packet(event: object, *, ack: str = "") -> str:
    return f"2{ack}" + json.dumps(event)


def plain(frames: Sequence[Frame]) -> list[object]:
    """Read frames: the packet's type with its acknowledgement, and its JSON."""
    return [[frame.partition("[")[0], *json.loads("[" + frame.partition("[")[2])] for frame in frames]


def means(vector: dict[str, Any]) -> object:
    service = dialect(opened=not vector.get("before_registering"))
    frame = vector["packet"] if "packet" in vector else packet(vector["event"], ack=vector.get("ack", ""))
    return told(frame, service, plain)


async def said(frames: Sequence[Frame] | Telling) -> list[object]:
    return plain(await frames.frames(world()) if isinstance(frames, Telling) else frames)


@pytest.mark.parametrize("name", read("receive"))
def test_an_event_of_a_client_means(name: str) -> None:
    vector = read("receive")[name]
    assert means(vector) == vector["means"]


@pytest.mark.parametrize("name", EVENTS)
async def test_an_event_is_written(name: str) -> None:
    assert await said(dialect().render(EVENTS[name])) == read("render")[name]


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_is_written(name: str) -> None:
    answer, ack = ANSWERS[name]
    assert await said(dialect().answer(answer, reply_to=ack)) == read("answer")[name]


SAYINGS: dict[str, Callable[[ServiceDialect], Sequence[Frame]]] = {
    "connected": lambda service: [
        frame
        for made in service.receive(connect_frame("sid-1", {}))
        if isinstance(made, Reply)
        for frame in made.frames
    ],
    "welcome": lambda service: service.welcome(WELCOME),
    "refused": lambda service: service.refuse(NotFound("Where?").body(), reply_to="7"),
    "refused_stranger": lambda service: service.refuse(NotAMember("No.").body(), reply_to="7"),
    "refused_event": lambda service: service.refuse(NotFound("Where?").body(), reply_to=""),
    "refused_packet": lambda service: service.refuse(NotFound("Where?").body(), reply_to=None),
    "rate_limited": lambda service: service.refuse(RateLimited("Slower.", retry_after_ms=250).body(), reply_to="7"),
    "bye_drain": lambda service: service.close(Disconnect.DRAIN, retry_after_ms=500),
    "bye_silence": lambda service: service.close(Disconnect.HEARTBEAT, retry_after_ms=None),
    "bye_kicked": lambda service: service.close(Disconnect.KICKED, retry_after_ms=None),
    "bye_replaced": lambda service: service.close(Disconnect.REPLACED, retry_after_ms=None),
    "bye_unregistered": lambda service: service.close(Disconnect.UNAUTHENTICATED, retry_after_ms=None),
    "bye_expired": lambda service: service.close(Disconnect.TOKEN_EXPIRED, retry_after_ms=None),
}


@pytest.mark.parametrize("name", SAYINGS)
def test_the_server_says(name: str) -> None:
    assert plain(SAYINGS[name](dialect())) == read("server")[name]


def test_every_vector_is_looked_at() -> None:
    assert set(read("render")) == set(EVENTS)
    assert set(read("answer")) == set(ANSWERS)
    assert set(read("server")) == set(SAYINGS)


# --- what one session remembers


def test_an_acknowledgement_waits_until_the_message_has_its_number() -> None:
    service = dialect()
    assert service.answer(ACCEPTED, reply_to="27") == ()
    late = StoredLate(sender_id=USER, at=LIVE, stored=STORED)
    frames = service.render(late)
    assert isinstance(frames, Sequence)
    assert plain(frames) == [["327", {"success": True, "message_id": 71, "time": "20:00"}]]
    assert service.render(late) == ()


def test_an_accepted_message_that_fails_is_answered_so() -> None:
    service = dialect()
    service.answer(ACCEPTED, reply_to="27")
    frames = service.render(EVENTS["failed"])
    assert isinstance(frames, Sequence)
    assert plain(frames) == [["327", {"success": False, "message": "Given up.", "code": "internal"}]]


async def test_a_receipt_for_what_was_pushed_asks_nothing() -> None:
    service = dialect()
    await said(service.render(EVENTS["of_an_agent"]))
    number = message(1).number
    for name in (number, str(number)):
        meant = told(packet(["message_read", {"message_id": name}], ack="1"), service, plain)
        assert meant == {
            "wish": "Acknowledge",
            "id": "1",
            "@type": "Acknowledge",
            "conversation_id": SESSION,
            "user_id": USER,
            "stage": "read",
            "seq": 1,
        }


async def test_what_this_socket_has_sent_is_not_pushed_back() -> None:
    service, town = dialect(), world()
    [made] = service.receive(packet(["send_message", {"session_id": "session-uuid", "message": "hi"}], ack="1"))
    assert not isinstance(made, Reply)
    assert isinstance(made.wish, Errand)
    [request] = await made.wish.run(town)
    assert not isinstance(request, Reply)
    own = message(4, sender_id=USER, client_id=request.wish.client_id)  # type: ignore[union-attr]
    assert await said(service.render(stored(own))) == []
    assert await said(service.render(stored(replace(own, client_id="another")))) != []
