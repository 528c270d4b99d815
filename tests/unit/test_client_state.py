"""The client's decisions, without a socket."""

import asyncio
import json
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import wire
from client.backoff import FIRST_S, LONGEST_S, Ending, delay_s, shuts_out
from client.errors import Closed, OutboxFull
from client.events import (
    ConnectionChanged,
    ConnectionState,
    EventBuffer,
    EventsDropped,
    MessageReceived,
    ReceiptAdvanced,
    Truncated,
)
from client.outbox import Outbox
from client.timeline import Timeline
from client.watermarks import Watermarks
from client.wire import Message, Stage
from tests.fakes import native_server


def a_message(seq: int, version: int | None = None, conversation_id: str = "c") -> Message:
    return Message(
        id=f"m{seq}",
        conversation_id=conversation_id,
        seq=seq,
        version=version or seq,
        sender_id="bob",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def arrived(seq: int, version: int | None = None, conversation_id: str = "c") -> MessageReceived:
    return MessageReceived(a_message(seq, version, conversation_id))


def some_changes(*seqs: int, **fields: Any) -> wire.Changes:
    return msgspec.json.decode(msgspec.json.encode(native_server.changes(*seqs, **fields)), type=wire.Changes)


def seqs_of(events: object) -> list[int]:
    assert isinstance(events, (list, tuple))
    return [event.message.seq for event in events if isinstance(event, MessageReceived)]


# --- outbox


def test_frames_are_due_once_and_in_order() -> None:
    outbox = Outbox(limit=10)
    for name in ("a", "b", "c"):
        outbox.add(name, name.encode())
    assert outbox.due(0.0) == [b"a", b"b", b"c"]
    assert outbox.due(0.0) == []


def test_after_a_lost_connection_the_unsettled_are_due_again_in_order() -> None:
    outbox = Outbox(limit=10)
    for name in ("a", "b", "c"):
        outbox.add(name, name.encode())
    outbox.due(0.0)
    outbox.settle("b")
    outbox.requeue()
    outbox.add("d", b"d")
    assert outbox.due(0.0) == [b"a", b"c", b"d"]


def test_a_postponed_message_holds_those_after_it() -> None:
    outbox = Outbox(limit=10)
    outbox.add("a", b"a")
    outbox.due(0.0)
    outbox.postpone("a", until=5.0)
    outbox.add("b", b"b")
    assert outbox.due(4.9) == ()
    assert outbox.due(5.0) == [b"a", b"b"]


def test_a_client_id_that_is_used_again_is_not_confused_with_its_first_use() -> None:
    outbox = Outbox(limit=10)
    outbox.add("a", b"first")
    outbox.settle("a")
    outbox.add("b", b"b")
    outbox.add("a", b"second")
    assert outbox.due(0.0) == [b"b", b"second"]


def test_a_full_outbox_refuses() -> None:
    outbox = Outbox(limit=1)
    outbox.add("a", b"a")
    with pytest.raises(OutboxFull):
        outbox.add("b", b"b")


# --- timeline


def test_repeats_are_dropped() -> None:
    timeline = Timeline()
    assert seqs_of(timeline.take(arrived(7))) == [7]
    assert timeline.take(arrived(7)) == ()
    assert timeline.take(arrived(6)) == ()


def test_a_gap_holds_messages_back_until_it_is_filled() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    assert timeline.take(arrived(3)) == ()
    assert timeline.behind
    assert timeline.take(arrived(4)) == ()
    assert seqs_of(timeline.apply(some_changes(2, 3))) == [2, 3]
    timeline.synced("since-1")
    assert seqs_of(timeline.caught_up()) == [4]
    assert not timeline.behind


def test_a_gap_among_the_held_needs_another_sync() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    timeline.take(arrived(3))
    timeline.take(arrived(6))
    timeline.apply(some_changes(2, 3, 4))
    assert timeline.caught_up() == []
    assert timeline.behind


def test_an_answer_that_ends_before_what_is_held_needs_another_sync() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    timeline.take(arrived(6))
    timeline.asking()
    timeline.apply(some_changes(2, 3, 4))
    assert timeline.caught_up() == []
    assert timeline.behind


def test_a_change_of_an_unknown_kind_leaves_no_gap_after_a_sync() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    timeline.fall_behind()
    changes = some_changes(version=3)
    poll = wire.Frame(type="poll", data=msgspec.Raw(b'{"conversation_id": "c", "version": 3}'))
    assert timeline.apply(msgspec.structs.replace(changes, events=(poll,))) == []
    timeline.caught_up()
    assert seqs_of(timeline.take(arrived(2, version=4))) == [2]


def test_a_page_that_was_pushed_already_is_taken_from_what_is_held() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    timeline.fall_behind()
    timeline.take(arrived(4))  # the newest page, pushed after `lagged`
    timeline.take(arrived(5))
    changes = some_changes(version=5, limited=True, before=4)
    assert timeline.missing_pages(changes)
    assert seqs_of(timeline.fill([a_message(2), a_message(3)])) == [2, 3]
    assert seqs_of(timeline.apply(changes)) == [4, 5]
    timeline.synced("since-1")
    timeline.caught_up()
    assert not timeline.behind


def test_a_conversation_that_moved_on_while_the_answer_was_made_loses_nothing() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    timeline.fall_behind()
    timeline.apply(some_changes(2, last_version=3))
    timeline.synced("since-1")
    timeline.caught_up()
    assert seqs_of(timeline.take(arrived(3))) == [3]


def test_what_was_pushed_before_the_answer_is_left_out_of_it_and_still_comes_in_its_place() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    timeline.fall_behind()
    timeline.take(arrived(3))
    assert seqs_of(timeline.apply(some_changes(2, 4))) == [2, 3, 4]


def test_pages_from_history_may_hold_edited_messages() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    limited = some_changes(4, limited=True, before=4)
    assert seqs_of(timeline.fill([a_message(2, version=9), a_message(3, version=3)])) == [2, 3]
    assert seqs_of(timeline.apply(limited)) == [4]


def test_an_edit_of_a_message_that_was_had_is_not_received_again() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    assert timeline.take(arrived(1, version=2)) == ()
    assert seqs_of(timeline.take(arrived(2, version=3))) == [2]


def test_only_versions_that_the_token_does_not_know_are_named_in_a_sync() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    assert timeline.position() == (None, {"c": 1})
    timeline.synced("since-1")
    assert timeline.position() == ("since-1", {})
    timeline.caught_up()
    timeline.take(arrived(1, conversation_id="d"))
    assert timeline.position() == ("since-1", {"d": 1})


def test_a_since_counts_once_everything_before_it_is_told() -> None:
    timeline = Timeline()
    timeline.since = "since-0"
    timeline.take(arrived(1))
    timeline.fall_behind()
    timeline.take(arrived(2))
    timeline.synced("since-1")  # the first part of an answer; the server may count what is held as had
    assert timeline.position() == ("since-1", {})
    timeline.lost()
    assert (timeline.since, timeline.position()) == ("since-0", ("since-0", {"c": 1}))


def test_a_limited_answer_asks_for_the_pages_before_it() -> None:
    timeline = Timeline()
    timeline.take(arrived(1))
    limited = some_changes(8, 9, limited=True, before=8)
    assert timeline.missing_pages(limited)
    timeline.fill([a_message(seq) for seq in range(2, 8)])
    assert not timeline.missing_pages(limited)
    assert seqs_of(timeline.apply(limited)) == [8, 9]


def test_a_limited_answer_of_an_unknown_conversation_says_what_is_left_out() -> None:
    timeline = Timeline()
    limited = some_changes(8, 9, limited=True, before=8)
    assert not timeline.missing_pages(limited)
    first, *others = timeline.apply(limited)
    assert first == Truncated(conversation_id="c", before=8)
    assert seqs_of(others) == [8, 9]


def test_only_receipts_that_advance_come_out_live_or_in_a_sync() -> None:
    timeline = Timeline()
    read = ReceiptAdvanced(conversation_id="c", user_id="bob", stage=Stage.READ, seq=5)
    assert timeline.advance(read) == (read,)
    assert timeline.advance(read) == ()
    answer = some_changes()
    marked = wire.Watermark(user_id="bob", delivered_seq=6, read_seq=5)
    conversation = msgspec.structs.replace(answer.conversation, watermarks=(marked,))
    events = timeline.apply(wire.Changes(conversation=conversation, version=0))
    assert events == [ReceiptAdvanced(conversation_id="c", user_id="bob", stage=Stage.DELIVERED, seq=6)]


@given(st.lists(st.integers(1, 12), max_size=40))
def test_whatever_comes_live_a_sync_at_the_end_completes_it_in_order(live: list[int]) -> None:
    timeline = Timeline()
    seen = seqs_of(timeline.take(arrived(1)))
    for seq in live:
        seen += seqs_of(timeline.take(arrived(seq)))
    timeline.fall_behind()
    timeline.take(arrived(13))
    seen += seqs_of(timeline.apply(some_changes(*range(1, 13))))
    seen += seqs_of(timeline.caught_up())
    assert seen == list(range(1, 14))
    assert not timeline.behind


def test_metadata_is_read_only_when_it_is_looked_at() -> None:
    answer = native_server.changes(1)
    raw = json.dumps(answer).replace('"metadata": {}', '"metadata": {"a": 1e999}').encode()
    (event,) = Timeline().apply(msgspec.json.decode(raw, type=wire.Changes))
    assert isinstance(event, MessageReceived)
    assert event.message.metadata == {"a": math.inf}


# --- watermarks


def test_acknowledgements_are_coalesced() -> None:
    marks = Watermarks()
    assert [marks.advance("c", seq, Stage.READ) for seq in (1, 3, 2, 3)] == [True, True, False, False]
    assert marks.take() == {("c", Stage.READ): 3}
    assert marks.take() == {}


def test_the_last_acknowledgements_are_said_again_after_a_lost_connection() -> None:
    marks = Watermarks(remembered=2)
    for name in ("c", "d", "e"):
        marks.advance(name, 1, Stage.READ)
        marks.take()
    marks.advance("e", 2, Stage.READ)
    marks.again()
    assert marks.take() == {("d", Stage.READ): 1, ("e", Stage.READ): 2}


# --- when to connect again


@pytest.mark.parametrize("code", [None, 1000, 1006, 1012, 3000, 3001, 3099])
def test_these_endings_are_followed_by_another_attempt(code: int | None) -> None:
    assert not shuts_out(Ending(code), new_token=False)


@pytest.mark.parametrize("code", [3500, 3501, 3502, 3599])
def test_these_endings_are_for_good(code: int) -> None:
    assert shuts_out(Ending(code), new_token=False)


def test_an_expired_token_is_not_the_end_where_there_is_a_new_one() -> None:
    assert not shuts_out(Ending(3501), new_token=True)
    assert shuts_out(Ending(3500), new_token=True)


def test_the_wait_grows_to_its_bound_and_is_spread() -> None:
    waits = [delay_s(attempt, Ending(None), jitter=1.0) for attempt in (1, 2, 3, 100)]
    assert waits == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, LONGEST_S]
    assert delay_s(1, Ending(None), jitter=0.0) == FIRST_S / 2


def test_the_servers_wish_goes_for_the_first_attempt() -> None:
    ending = Ending(3000, retry_after_ms=700)
    assert delay_s(1, ending, jitter=0.3) == 0.7
    assert delay_s(2, ending, jitter=1.0) == 2 * FIRST_S


# --- events


async def test_a_full_buffer_drops_the_oldest_and_says_so() -> None:
    buffer = EventBuffer(limit=2)
    events = [ConnectionChanged(state) for state in list(ConnectionState)[:3]]
    for event in events:
        buffer.put(event)
    async with asyncio.timeout(1):
        assert [await buffer.get() for _ in range(3)] == [EventsDropped(1), *events[1:]]


async def test_readers_get_what_is_left_then_the_end() -> None:
    buffer = EventBuffer(limit=2)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(buffer.get())
        buffer.put(ConnectionChanged(ConnectionState.CLOSED))
        buffer.end(Closed("over"))
    assert reading.result() == ConnectionChanged(ConnectionState.CLOSED)
    with pytest.raises(Closed):
        await buffer.get()
