"""A session's pushes: every entry of the log in its place, and what is no entry beside them."""

from datetime import timedelta

import msgspec
import pytest

from gateway.feed import Flow, Push
from shared.events import ConversationChange, MessageDeleted, MessageEdited
from shared.ids import ConversationId, UserId
from shared.presence_api import Presence
from tests.fakes.clock import START
from tests.fakes.messages import (
    ALICE,
    BOB,
    ROOM,
    became,
    changed_by,
    changes,
    conversation,
    deleted,
    edited,
    reacted,
    stored,
)
from tests.fakes.reader import Reader, answer

HERE = Presence(user_id=ALICE, status="online", devices=1)


async def kinds(bob: Reader) -> list[tuple[str, int]]:
    """Everything pushed so far: the type and the version."""
    bob.outbox.put(["{}"])
    frames = [msgspec.json.decode(frame) for frame in await bob.outbox.take()]
    return [(frame["type"], frame["data"].get("version", 0)) for frame in frames if frame]


async def test_every_entry_of_the_log_goes_out_in_order_and_once() -> None:
    bob = Reader()
    for event in (stored(1), edited(2, seq=1), reacted(3, seq=1), edited(2, seq=1), deleted(4, seq=1)):
        bob.feed.offer(Push(event))
    bob.feed.offer(Push(became(5, ConversationChange.UPDATED)))
    assert await kinds(bob) == [
        ("message", 1),
        ("message.updated", 2),
        ("reaction", 3),
        ("message.deleted", 4),
        ("conversation", 5),
    ]


async def test_a_missing_edit_is_a_gap_that_history_fills() -> None:
    bob = Reader()
    bob.feed.offer(Push(stored(1)))
    bob.feed.offer(Push(reacted(3, seq=1)))
    assert (bob.wanted, await kinds(bob)) == (1, [("message", 1)])
    bob.feed.catch_up(answer(changed_by(edited(2, seq=1), reacted(3, seq=1))))
    bob.feed.release()
    assert await kinds(bob) == [("message.updated", 2), ("reaction", 3)]


@pytest.mark.parametrize(
    "secret",
    [edited(2, seq=1, hidden_from=(BOB,)), deleted(2, seq=1, only_for=ALICE), edited(2, seq=1, only_for=ALICE)],
)
async def test_what_is_not_for_this_member_moves_the_position_and_says_nothing(
    secret: MessageEdited | MessageDeleted,
) -> None:
    bob = Reader(versions={"room": 1})
    bob.feed.offer(Push(secret))
    bob.feed.offer(Push(reacted(3, seq=1)))
    assert (bob.wanted, await kinds(bob)) == (0, [("reaction", 3)])


async def test_a_message_deleted_for_the_member_alone_is_told_to_that_member() -> None:
    bob = Reader(versions={"room": 1})
    bob.feed.offer(Push(deleted(2, seq=1, only_for=BOB)))
    assert await kinds(bob) == [("message.deleted", 2)]


async def test_only_messages_are_kept_from_the_session_that_sent_them() -> None:
    bob = Reader()
    mine = stored(1, sender=BOB)
    bob.feed.leave_out(mine.message.client_id)
    bob.feed.offer(Push(mine))
    mine_edited = msgspec.structs.replace(mine.message, version=2)
    bob.feed.offer(Push(msgspec.structs.replace(edited(2, seq=1), message=mine_edited)))
    assert await kinds(bob) == [("message.updated", 2)]


async def test_a_slow_reader_is_caught_up_with_changes_as_with_messages() -> None:
    bob = Reader(max_frames=4)
    bob.offer(1, 2, 3)
    bob.feed.offer(Push(edited(4, seq=1)))
    assert bob.feed.flow is Flow.LAGGING
    await bob.read()
    bob.feed.catch_up(answer(changed_by(edited(4, seq=1))))
    bob.feed.release()
    assert await kinds(bob) == [("message.updated", 4)]


async def test_presence_waits_for_no_answer_of_history() -> None:
    bob = Reader()
    bob.feed.hold()
    bob.feed.offer(Push(HERE))
    assert await kinds(bob) == [("presence", 0)]


async def test_a_slow_client_reads_the_latest_presence_of_each_when_it_has_caught_up() -> None:
    bob = Reader(max_frames=4)
    bob.offer(1, 2, 3)
    for status in ("away", "dnd"):
        bob.feed.offer(Push(Presence(user_id=ALICE, status=status)))
    for number in range(5):
        bob.feed.offer(Push(Presence(user_id=UserId(f"user-{number}"), status="online")))
    assert await bob.read() == [1, 2, 3]
    frames = []
    for _ in range(2):
        frames += [msgspec.json.decode(frame)["data"] for frame in await bob.outbox.take()]
        bob.feed.written()
    assert [(one["user_id"], one["status"]) for one in frames] == [
        ("alice", "dnd"),
        *((f"user-{number}", "online") for number in range(5)),
    ]
    assert bob.overflows == []


async def test_a_closed_feed_pushes_nothing() -> None:
    bob = Reader()
    bob.feed.close()
    bob.offer(1)
    assert await kinds(bob) == []


async def test_when_the_latest_message_was_pushed_is_known_for_those_up_to_it() -> None:
    bob = Reader()
    later = START + timedelta(seconds=5)
    bob.feed.offer(Push(stored(1), START))
    bob.feed.offer(Push(stored(2), later))
    bob.feed.offer(Push(edited(3, seq=1), START + timedelta(seconds=9)))
    assert [bob.feed.pushed_at(ROOM, seq) for seq in (1, 2, 3)] == [later, later, None]
    assert bob.feed.pushed_at(ConversationId("other"), 1) is None


async def test_what_is_to_be_fetched_begins_where_the_member_may_read() -> None:
    bob = Reader()
    limited = msgspec.structs.replace(changes(8, 9, limited=True), conversation=conversation(9, first_seq=5))
    bob.feed.catch_up(answer(limited))
    lagged = msgspec.json.decode((await bob.outbox.take())[0])
    assert lagged["data"] == {"conversation_id": "room", "from_seq": 5, "before": 8}


async def test_a_sync_leaves_out_the_changes_that_the_session_was_pushed() -> None:
    bob = Reader()
    bob.feed.offer(Push(stored(1)))
    bob.feed.offer(Push(edited(2, seq=1)))
    bob.feed.hold()
    shown = bob.feed.sync(answer(changed_by(stored(1), edited(2, seq=1), reacted(3, seq=1))))
    assert [event.version for changed in shown.conversations for event in changed.events] == [3]
