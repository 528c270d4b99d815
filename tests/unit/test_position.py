"""A position never lets a reader skip or repeat an event, and survives the wire."""

import base64
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.commands import MessageType
from shared.errors import Invalid
from shared.events import Message, MessageStored
from shared.ids import ConversationId, MessageId, UserId, direct_conversation_id
from shared.position import MAX_TOKEN_BYTES, Position, Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
ROOM = ConversationId("room")


def stored(version: int, at: datetime, previous_at: datetime | None) -> MessageStored:
    message = Message(
        id=MessageId(f"m{version}"),
        number=version,
        conversation_id=ROOM,
        seq=version,
        version=version,
        client_id=f"c{version}",
        sender_id=UserId("alice"),
        sender_name="Alice",
        type=MessageType.TEXT,
        content="hi",
        created_at=at,
    )
    return MessageStored(message=message, audience=(UserId("alice"),), previous_at=previous_at)


def log(seconds: list[int]) -> list[MessageStored]:
    """A conversation whose versions 1, 2, 3 … came to be at these seconds after START."""
    times = [START + timedelta(seconds=second) for second in seconds]
    return [
        stored(version, at, times[version - 2] if version > 1 else None) for version, at in enumerate(times, start=1)
    ]


def test_the_version_after_the_last_is_next() -> None:
    position = Position(START, {ROOM: 4})
    assert position.judge(stored(5, START, START)) is Verdict.NEXT


def test_a_version_that_was_had_is_a_repeat() -> None:
    position = Position(START, {ROOM: 4})
    assert position.judge(stored(4, START, START)) is Verdict.REPEAT


def test_a_version_further_on_is_a_gap() -> None:
    position = Position(START, {ROOM: 4})
    assert position.judge(stored(6, START, START)) is Verdict.GAP


def test_the_first_message_of_a_new_conversation_is_next() -> None:
    assert Position(START).judge(stored(1, START + timedelta(seconds=1), None)) is Verdict.NEXT


def test_in_an_unknown_conversation_a_predecessor_after_the_floor_was_missed() -> None:
    later = START + timedelta(seconds=1)
    assert Position(START).judge(stored(9, later, later)) is Verdict.GAP


@given(
    gaps=st.lists(st.integers(min_value=0, max_value=60), min_size=1, max_size=12),
    taken_after=st.integers(min_value=0, max_value=12),
    floor_s=st.integers(min_value=0, max_value=400),
    arrivals=st.lists(st.integers(min_value=0, max_value=11), max_size=40),
)
def test_whatever_arrives_in_whatever_order_is_taken_once_and_without_gaps(
    gaps: list[int], taken_after: int, floor_s: int, arrivals: list[int]
) -> None:
    """A position as history takes it: floor in the past, versions of what changed after the floor."""
    moments = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    events = log(moments)
    had = min(taken_after, len(events))
    floor = START + timedelta(seconds=floor_s)
    # history only takes floors before which everything is visible: nothing not yet had may lie before the floor
    if any(event.message.created_at <= floor for event in events[had:]):
        floor = START - timedelta(seconds=1)
    known = {ROOM: had} if had and events[had - 1].message.created_at > floor else {}
    position = Position(floor, known)
    taken: list[int] = []
    for index in arrivals:
        event = events[index % len(events)]
        if position.judge(event) is Verdict.NEXT:
            position.advance(ROOM, event.message.version)
            taken.append(event.message.version)
    assert taken == list(range(had + 1, had + 1 + len(taken)))


@given(
    milliseconds=st.integers(min_value=0, max_value=4_000_000_000_000),
    versions=st.dictionaries(st.from_regex(r"[A-Za-z0-9_.@:+-]{1,128}", fullmatch=True), st.integers(1, 2**53)),
)
def test_a_token_reads_back_as_the_position_it_was_made_from(milliseconds: int, versions: dict[str, int]) -> None:
    position = Position(
        datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds),
        {ConversationId(name): version for name, version in versions.items()},
    )
    back = Position.from_token(position.token())
    assert (back.floor, back.versions) == (position.floor, position.versions)


@given(st.text(max_size=80))
def test_a_token_that_is_not_ours_is_invalid_and_nothing_else(text: str) -> None:
    with suppress(Invalid):
        position = Position.from_token(text)
        assert Position.from_token(position.token()).floor == position.floor


def test_a_token_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(Invalid, match="too long"):
        Position.from_token("A" * (MAX_TOKEN_BYTES + 1))


def test_what_history_answers_is_read_however_long_it_is() -> None:
    users = (UserId(str(n)) for n in range(30_000))
    position = Position(START, {direct_conversation_id(UserId("alice"), user): 1000 for user in users})
    assert len(position.token()) > MAX_TOKEN_BYTES
    assert Position.from_history(position.token()).versions == position.versions


def test_a_position_of_three_thousand_conversations_fits() -> None:
    users = (UserId(str(n)) for n in range(3000))
    position = Position(START, {direct_conversation_id(UserId("alice"), user): 1000 for user in users})
    assert Position.from_token(position.token()).versions == position.versions


def test_a_small_token_does_not_become_a_large_object() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b"\x00" * 50_000_000)).decode().rstrip("=")
    assert len(bomb) < MAX_TOKEN_BYTES
    with pytest.raises(Invalid, match="not one of this server's"):
        Position.from_token(bomb)


def test_a_token_that_was_cut_off_is_refused() -> None:
    token = Position(START, {ROOM: 1}).token()
    with pytest.raises(Invalid, match="not one of this server's"):
        Position.from_token(token[:-8])


def test_a_token_keeps_how_far_a_long_sync_has_come() -> None:
    up_to = START + timedelta(seconds=5)
    read = Position.from_token(Position(START, {ROOM: 3}, given=up_to).token())
    assert (read.floor, read.given, read.versions) == (START, up_to, {ROOM: 3})
    assert Position.from_token(Position(START).token()).given is None
