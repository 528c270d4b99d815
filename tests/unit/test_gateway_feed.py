"""A session's pushes: one order, no gap, no repeat, whatever the client reads and history answers."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from gateway.dialects.native import NativeDialect
from gateway.disconnects import Disconnect
from gateway.feed import Feed, Flow, Push
from gateway.outbox import Outbox
from shared.commands import Stage
from shared.errors import ErrorBody
from shared.events import (
    ConversationChange,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    ReceiptAdvanced,
    TypingChanged,
)
from shared.history_api import Changes, SyncAnswer, Watermark
from shared.ids import ConversationId, MessageId, UserId
from shared.position import Position
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
from tests.fakes.voice import voice_over

HERE = Presence(user_id=ALICE, status="online", devices=1)
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


class Reader:
    """Bob's feed and what comes out of it."""

    def __init__(self, *, max_frames: int = 1000, max_held: int = 100, versions: dict[str, int] | None = None) -> None:
        self.wanted = 0
        self.overflows: list[Disconnect] = []
        known = {ConversationId(room): version for room, version in (versions or {}).items()}
        self.outbox = Outbox(
            max_frames=max_frames, max_bytes=10**6, overflow=lambda: self.overflows.append(Disconnect.SLOW)
        )
        self.feed = Feed(
            user_id=BOB,
            dialect=NativeDialect(new_id=lambda: "id", now=lambda: START, max_frame_bytes=1000),
            voice=voice_over(self.outbox),
            position=Position(START, known),
            max_held=max_held,
            wants=self._wants,
        )
        self.feed.release()

    def _wants(self, feed: Feed) -> None:
        self.wanted += 1
        feed.hold()

    def offer(self, *seqs: int) -> None:
        for seq in seqs:
            self.feed.offer(Push(stored(seq)))

    async def read(self) -> list[object]:
        """Everything pushed so far: the seq of messages, the type of the rest."""
        self.outbox.put(["{}"])  # so that there is something to take
        frames = [msgspec.json.decode(frame) for frame in await self.outbox.take()]
        self.feed.written()
        return [frame["data"].get("seq") if frame["type"] == "message" else frame["type"] for frame in frames if frame]


def answer(*conversations: Changes, versions: dict[ConversationId, int] | None = None) -> SyncAnswer:
    since = Position(
        START, versions or {changed.conversation.id: changed.conversation.last_version for changed in conversations}
    )
    return SyncAnswer(conversations=conversations, since=since.token())


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
    assert await bob.read() == [1, 2, 3]
    assert bob.feed.catch_up(answer(*rooms))
    bob.feed.release()
    assert await bob.read() == [1, 2, 3]


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
