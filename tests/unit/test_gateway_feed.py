"""A session's pushes: one order, no gap, no repeat, whatever the client reads and history answers."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from gateway.dialects.native import NativeDialect
from gateway.feed import Flow, Push
from shared.commands import Stage
from shared.errors import ErrorBody
from shared.events import MessageFailed, ReceiptAdvanced, TypingChanged
from shared.history_api import SyncAnswer, Watermark
from shared.ids import ConversationId, MessageId
from shared.position import Position
from tests.fakes.clock import START
from tests.fakes.messages import ALICE, BOB, ROOM, changes, stored
from tests.fakes.reader import Reader, answer

TYPING = TypingChanged(conversation_id=ROOM, user_id=ALICE, name="Alice", active=True)
RECEIPT = ReceiptAdvanced(conversation_id=ROOM, user_id=ALICE, stage=Stage.READ, seq=1, at=START, audience=(BOB,))

FAILED = MessageFailed(
    conversation_id=ROOM,
    message_id=MessageId("m1"),
    client_id="c1",
    sender_id=BOB,
    at=START,
    error=ErrorBody(code="not_a_member", message="No."),
)


async def test_messages_in_order_go_out_once() -> None:
    bob = Reader()
    bob.offer(1, 2, 2, 1, 3)
    assert await bob.read() == [1, 2, 3]


async def test_a_gap_is_filled_from_history_before_the_pushes_go_on() -> None:
    bob = Reader()
    bob.offer(1, 3, 4)
    assert (bob.wanted, await bob.read()) == (1, [1])
    assert bob.feed.catch_up(answer(changes(2, 3)))
    bob.feed.release()
    assert await bob.read() == [2, 3, 4]


async def test_what_a_catch_up_brings_and_live_events_repeat_is_pushed_once() -> None:
    bob = Reader()
    bob.feed.hold()
    bob.offer(1, 2)
    bob.feed.catch_up(answer(changes(1, 2)))
    bob.feed.release()
    bob.offer(3)
    assert await bob.read() == [1, 2, 3]


async def test_a_catch_up_pushes_the_oldest_of_all_conversations_first() -> None:
    bob = Reader()
    bob.feed.hold()
    bob.feed.catch_up(answer(changes(1, 3, 4), changes(2, 5, room=ConversationId("other"))))
    assert await bob.read() == [1, 2, 3, 4, 5]


async def test_a_gap_among_the_held_events_holds_the_rest_again() -> None:
    bob = Reader()
    bob.feed.hold()
    bob.offer(1, 3, 4)
    bob.feed.release()
    assert (bob.feed.flow, await bob.read()) == (Flow.HELD, [1])
    bob.feed.catch_up(answer(changes(2, 3, 4)))
    bob.feed.release()
    assert await bob.read() == [2, 3, 4]


async def test_more_than_may_be_held_is_fetched_instead() -> None:
    bob = Reader(max_held=1)
    bob.feed.hold()
    bob.offer(1, 2, 3)
    bob.feed.catch_up(answer())
    bob.feed.release()
    assert bob.wanted == 1
    bob.feed.catch_up(answer(changes(1, 2, 3)))
    bob.feed.release()
    assert await bob.read() == [1, 2, 3]


async def test_receipts_wait_with_the_messages_and_typing_is_dropped_meanwhile() -> None:
    bob = Reader()
    bob.feed.hold()
    bob.offer(1)
    bob.feed.offer(Push(TYPING))
    bob.feed.offer(Push(RECEIPT))
    bob.feed.release()
    bob.feed.offer(Push(TYPING))
    assert await bob.read() == [1, "receipt", "typing"]


async def test_a_catch_up_tells_the_receipts_that_may_have_been_missed() -> None:
    watermark = Watermark(user_id=ALICE, delivered_seq=1, delivered_at=stored(1).message.created_at)
    old = Watermark(user_id=BOB, read_seq=1, read_at=START)
    bob = Reader(versions={"room": 1})
    bob.feed.hold()
    bob.feed.catch_up(answer(changes(watermarks=(watermark, old))))
    assert await bob.read() == ["receipt"]


async def test_a_sync_leaves_out_what_the_session_was_pushed() -> None:
    bob = Reader()
    bob.offer(1, 2)
    bob.feed.hold()
    shown = bob.feed.sync(answer(changes(1, 2, 3)))
    assert [event.version for changed in shown.conversations for event in changed.events] == [3]
    bob.feed.release()
    bob.offer(3, 4)
    assert await bob.read() == [1, 2, 4]


async def test_pushes_wait_for_the_sync_of_a_client_that_resumes() -> None:
    bob = Reader()
    bob.feed.await_sync(Position(START))
    bob.offer(1, 2)
    assert await bob.read() == []
    bob.feed.hold()
    bob.feed.sync(answer(changes(1)))
    bob.feed.release()
    assert await bob.read() == [2]


async def test_a_slow_reader_loses_typing_first_then_waits_and_is_caught_up() -> None:
    bob = Reader(max_frames=4)
    bob.offer(1, 2, 3)
    bob.feed.offer(Push(TYPING))
    bob.offer(4, 5)
    assert bob.feed.flow is Flow.LAGGING
    assert await bob.read() == [1, 2, 3]
    assert (bob.feed.flow, bob.wanted, bob.overflows) == (Flow.HELD, 1, [])
    bob.feed.catch_up(answer(changes(4, 5)))
    bob.feed.release()
    bob.offer(6)
    assert await bob.read() == [4, 5, 6]


async def test_that_a_message_failed_is_told_whatever_the_pushes_wait_for() -> None:
    bob = Reader(max_frames=4, max_held=0)
    bob.feed.hold()
    bob.feed.offer(Push(FAILED))
    assert await bob.read() == ["receipt"]
    bob.feed.await_sync(Position(START))
    bob.feed.offer(Push(FAILED))
    assert await bob.read() == ["receipt"]
    bob.feed.hold()
    bob.feed.release()
    bob.offer(1, 2, 3, 4)
    assert bob.feed.flow is Flow.LAGGING
    bob.feed.offer(Push(FAILED))
    assert await bob.read() == [1, 2, 3, "receipt"]


async def test_what_one_part_of_a_catch_up_brought_another_does_not_repeat() -> None:
    bob = Reader()
    bob.feed.hold()
    shortened = Position(START, given=START + timedelta(seconds=2)).token()
    bob.feed.catch_up(SyncAnswer(conversations=(changes(1, 2),), since=shortened, has_more=True))
    bob.feed.catch_up(answer(changes(1, 2, 3)))
    bob.feed.release()
    bob.offer(3, 4)
    assert await bob.read() == [1, 2, 3, 4]


async def test_a_catch_up_larger_than_the_outbox_goes_on_when_the_client_has_read() -> None:
    bob = Reader(max_frames=4)
    rooms = [changes(1, 2, 3, room=ConversationId(name)) for name in ("a", "b")]
    assert not bob.feed.catch_up(answer(*rooms))
    assert await bob.read() == [1, 1, 2]
    assert bob.feed.catch_up(answer(*rooms))
    bob.feed.release()
    assert await bob.read() == [2, 3, 3]


async def test_a_page_that_is_not_everything_is_announced_by_lagged() -> None:
    bob = Reader()
    bob.offer(1)
    bob.feed.catch_up(answer(changes(8, 9, limited=True)))
    frames: Sequence[str] = await bob.outbox.take()
    lagged = msgspec.json.decode(frames[1])
    assert (lagged["type"], lagged["data"]) == ("lagged", {"conversation_id": "room", "from_seq": 2, "before": 8})
    assert [msgspec.json.decode(frame)["data"]["seq"] for frame in frames[2:]] == [8, 9]


async def test_a_session_without_echo_is_not_pushed_what_it_sent_itself() -> None:
    bob = Reader()
    bob.feed.leave_out("c1")
    bob.feed.offer(Push(stored(1, sender=BOB)))
    bob.feed.offer(Push(stored(2, sender=BOB)))
    assert await bob.read() == [2]


async def test_the_same_client_id_of_another_sender_is_pushed() -> None:
    bob = Reader()
    bob.feed.leave_out("c1")
    bob.offer(1)
    assert await bob.read() == [1]


@pytest.mark.parametrize("event", [stored(1), TYPING, RECEIPT])
async def test_an_event_is_encoded_once_for_all_sessions_of_a_wire(event: object) -> None:
    push = Push(event)  # type: ignore[arg-type]
    one, other = (NativeDialect(new_id=lambda: "id", now=lambda: START, max_frame_bytes=1000) for _ in range(2))
    assert push.frames(one) is push.frames(other)
