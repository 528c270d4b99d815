"""What the terminal chat shows of one conversation."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from client.events import ReactionChanged, ReceiptAdvanced
from client.sending import Sent
from client.transcript import TYPING_EXPIRES_S, Tick, Transcript
from client.wire import Message, Stage, Watermark

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_message(seq: int, sender_id: str = "bob", client_id: str = "", status: str = "stored", **fields: Any) -> Message:
    return Message(
        id=f"m{seq}",
        conversation_id="c",
        seq=seq,
        version=seq,
        sender_id=sender_id,
        client_id=client_id,
        status=status,
        created_at=NOW,
        **{"content": f"text {seq}", **fields},
    )


async def sent(client_id: str, seq: int | None) -> Sent:
    return Sent(
        client_id=client_id,
        status="accepted" if seq is None else "stored",
        message_id="m",
        conversation_id="c",
        seq=seq,
        settled=asyncio.get_running_loop().create_future(),
    )


def receipt(stage: Stage, seq: int, user_id: str = "bob") -> ReceiptAdvanced:
    return ReceiptAdvanced(conversation_id="c", user_id=user_id, stage=stage, seq=seq)


def ticks(transcript: Transcript) -> list[Tick | None]:
    return [line.tick for line in transcript.lines]


async def test_the_ticks_of_a_message_from_pending_to_read() -> None:
    transcript = Transcript("alice")
    line = transcript.write("k1", "hi")
    seen = [line.tick]
    transcript.sent(await sent("k1", None))
    seen.append(line.tick)
    transcript.sent(await sent("k1", 1))
    seen.append(line.tick)
    for stage in Stage:
        assert transcript.advanced(receipt(stage, 1)) is line
        seen.append(line.tick)
    assert seen == [Tick.PENDING, Tick.ACCEPTED, Tick.STORED, Tick.DELIVERED, Tick.READ]
    assert transcript.advanced(receipt(Stage.DELIVERED, 1)) is None
    assert line.tick is Tick.READ


async def test_a_receipt_that_overtakes_the_answer_counts() -> None:
    transcript = Transcript("alice")
    transcript.write("k1", "hi")
    transcript.advanced(receipt(Stage.DELIVERED, 1))
    transcript.sent(await sent("k1", 1))
    assert ticks(transcript) == [Tick.DELIVERED]


def test_our_own_receipts_are_no_ticks() -> None:
    transcript = Transcript("alice")
    transcript.received(a_message(1, sender_id="alice"))
    transcript.advanced(receipt(Stage.READ, 1, user_id="alice"))
    assert ticks(transcript) == [Tick.STORED]


def test_our_own_message_takes_the_place_of_the_pending_line() -> None:
    transcript = Transcript("alice")
    transcript.write("k1", "text 1")
    assert transcript.received(a_message(1, sender_id="alice", client_id="k1")) is None
    assert ticks(transcript) == [Tick.STORED]


def test_earlier_messages_come_first_and_pending_ones_last() -> None:
    transcript = Transcript("alice")
    transcript.write("k9", "pending")
    for seq in (5, 3, 4, 5):
        transcript.received(a_message(seq))
    assert [line.text for line in transcript.lines] == ["text 3", "text 4", "text 5", "pending"]
    assert transcript.first_seq == 3


def test_history_tells_how_far_our_messages_have_come() -> None:
    transcript = Transcript("alice")
    for seq, status in ((1, "read"), (2, "delivered"), (3, "stored")):
        transcript.received(a_message(seq, sender_id="alice", status=status))
    assert ticks(transcript) == [Tick.READ, Tick.DELIVERED, Tick.STORED]


def test_typing_ends_with_a_message_or_with_time() -> None:
    transcript = Transcript("alice")
    transcript.typing("bob", "Bob", active=True, now=0.0)
    assert transcript.who_types(TYPING_EXPIRES_S - 0.1) == ["Bob"]
    assert transcript.who_types(TYPING_EXPIRES_S) == []
    transcript.received(a_message(1))
    assert transcript.who_types(0.0) == []


def reaction(emoji: str, user_id: str, *, removed: bool = False) -> ReactionChanged:
    return ReactionChanged(
        conversation_id="c", version=9, message_id="m1", seq=1, user_id=user_id, emoji=emoji, removed=removed
    )


def bodies(transcript: Transcript) -> list[str]:
    return [line.body for line in transcript.lines]


def test_an_edit_a_deletion_and_reactions_show_in_the_line() -> None:
    transcript = Transcript("alice")
    line = transcript.received(a_message(1))
    assert transcript.changed(a_message(1, content="other", edited_at=NOW)) is line
    assert transcript.reacted(reaction("👍", "bob")) is line
    transcript.reacted(reaction("👍", "alice"))
    assert bodies(transcript) == ["other (edited) 👍2"]
    transcript.reacted(reaction("👍", "bob", removed=True))
    assert bodies(transcript) == ["other (edited) 👍"]
    transcript.changed(a_message(1, content="", edited_at=NOW, deleted_at=NOW))
    assert bodies(transcript) == ["(deleted)"]


def test_what_changes_nothing_that_is_shown_gives_no_line() -> None:
    transcript = Transcript("alice")
    transcript.received(a_message(1, reactions={"👍": ("bob",)}))
    assert transcript.changed(a_message(1, reactions={"👍": ("bob",)})) is None
    assert transcript.changed(a_message(7)) is None
    assert transcript.reacted(reaction("👍", "bob")) is None
    assert transcript.reacted(reaction("🎉", "bob", removed=True)) is None


def test_a_reply_shows_what_it_answers() -> None:
    transcript = Transcript("alice")
    transcript.received(a_message(1, content="how are\nyou?"))
    transcript.received(a_message(2, content="fine", reply_to="m1"))
    transcript.received(a_message(3, content="yes", reply_to="m0"))
    assert bodies(transcript)[1:] == ["↪ bob: how are you? · fine", "↪ an earlier message · yes"]


def test_what_a_reply_answers_is_shown_as_it_is_now() -> None:
    transcript = Transcript("alice")
    transcript.received(a_message(1, content="the code is 1234"))
    transcript.received(a_message(2, content="thanks", reply_to="m1"))
    transcript.changed(a_message(1, content="", deleted_at=NOW))
    assert bodies(transcript) == ["(deleted)", "↪ bob: (deleted) · thanks"]


def test_a_message_of_a_group_is_read_when_everyone_has_read_it() -> None:
    transcript = Transcript("alice")
    transcript.others = frozenset({"bob", "carol"})
    transcript.received(a_message(1, sender_id="alice"))
    transcript.advanced(receipt(Stage.READ, 1))
    assert ticks(transcript) == [Tick.STORED]
    transcript.marked((Watermark(user_id="carol", delivered_seq=1), Watermark(user_id="alice", read_seq=1)))
    assert ticks(transcript) == [Tick.DELIVERED]
    transcript.advanced(receipt(Stage.READ, 1, user_id="carol"))
    assert ticks(transcript) == [Tick.READ]


def test_notes_stay_where_they_were_written() -> None:
    transcript = Transcript("alice")
    transcript.note("first")
    transcript.received(a_message(3))
    transcript.note("bob left")
    for seq in (5, 2):
        transcript.received(a_message(seq))
    assert [line.text for line in transcript.lines] == ["first", "text 2", "text 3", "bob left", "text 5"]


def test_the_last_message_is_the_newest_that_is_not_deleted() -> None:
    transcript = Transcript("alice")
    assert transcript.last() is None
    for seq, sender in ((1, "alice"), (2, "alice"), (3, "bob"), (4, "bob")):
        transcript.received(a_message(seq, sender_id=sender))
    for seq in (2, 4):
        transcript.changed(a_message(seq, content="", deleted_at=NOW))
    assert [line and line.seq for line in (transcript.last(), transcript.last(own=True))] == [3, 1]
