"""Watermarks as single receipts: each own message once, never `delivered` after `read`."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from gateway.dialects import receipts
from gateway.dialects.receipts import Receipts, Told
from shared.commands import Stage
from shared.events import Message, ReceiptAdvanced
from shared.history_api import MessagePage, Receipt, Watermark
from shared.ids import ConversationId, UserId
from tests.fakes.clock import START
from tests.fakes.messages import ALICE, BOB, ROOM, message
from tests.fakes.world import FakeWorld

CAROL = UserId("carol")
LATER = START + timedelta(hours=1)


def advanced(
    stage: Stage, seq: int, *, user: UserId = BOB, room: ConversationId = ROOM, hours: float = 2
) -> ReceiptAdvanced:
    at = START + timedelta(hours=hours)
    return ReceiptAdvanced(conversation_id=room, user_id=user, stage=stage, seq=seq, at=at, audience=())


def told(news: object) -> list[tuple[int, str]]:
    assert isinstance(news, list | tuple)
    return [(each.number - 2**26, each.stage.value) for each in news if isinstance(each, Told)]


def world(*messages: Message, others: tuple[UserId, ...] = (BOB,)) -> FakeWorld:
    """What history tells of a room where nobody has received anything."""
    made = FakeWorld(ALICE)
    marks = tuple(Watermark(user_id=each) for each in (ALICE, *others))
    made.history.page = MessagePage(messages=messages, watermarks=marks, has_more=False)
    return made


async def following(around: FakeWorld) -> Receipts:
    made = Receipts(ALICE, since=LATER)
    await made.learn(ROOM, around, START)
    return made


async def test_each_message_up_to_a_watermark_is_told_once() -> None:
    own = await following(world(message(1), message(2, sender=BOB), message(3)))
    assert told(own.advanced(advanced(Stage.DELIVERED, 1))) == [(1, "delivered")]
    assert told(own.advanced(advanced(Stage.DELIVERED, 3))) == [(3, "delivered")]
    assert told(own.advanced(advanced(Stage.DELIVERED, 3))) == []
    assert told(own.advanced(advanced(Stage.READ, 3))) == [(1, "read"), (3, "read")]
    assert told(own.advanced(advanced(Stage.READ, 3))) == []


async def test_what_was_read_is_not_delivered_afterwards() -> None:
    own = await following(world(message(1), message(2)))
    assert told(own.advanced(advanced(Stage.READ, 1))) == [(1, "read")]
    assert told(own.advanced(advanced(Stage.DELIVERED, 2))) == [(2, "delivered")]


async def test_a_message_that_is_sent_afterwards_is_followed() -> None:
    own = await following(world(message(1)))
    assert own.sent(message(2), START) == []
    assert told(own.advanced(advanced(Stage.READ, 2))) == [(1, "read"), (2, "read")]


async def test_a_receipt_that_overtakes_its_message_is_told_with_it() -> None:
    own = await following(world())
    assert told(own.advanced(advanced(Stage.DELIVERED, 1))) == []
    assert told(own.sent(message(1), START)) == [(1, "delivered")]


async def test_a_message_that_history_told_of_is_not_followed_twice() -> None:
    own = await following(world(message(1)))
    own.sent(message(1), START)
    assert told(own.advanced(advanced(Stage.READ, 1))) == [(1, "read")]
    assert told(own.sent(message(1), START)) == []


async def test_a_group_has_what_all_the_others_have() -> None:
    own = await following(world(message(1), others=(BOB, CAROL)))
    assert told(own.advanced(advanced(Stage.READ, 1))) == []
    assert told(own.advanced(advanced(Stage.DELIVERED, 1, user=CAROL))) == [(1, "delivered")]
    assert told(own.advanced(advanced(Stage.READ, 1, user=CAROL))) == [(1, "read")]


async def test_other_members_are_asked_for_anew() -> None:
    around = world(message(1), others=(BOB, CAROL))
    own = await following(around)
    assert own.knows(ROOM)
    assert told(own.advanced(advanced(Stage.READ, 1))) == []
    own.changed(ROOM)
    assert not own.knows(ROOM)
    bob = Watermark(user_id=BOB, delivered_seq=1, delivered_at=LATER, read_seq=1, read_at=LATER)
    around.history.page = replace(around.history.page, watermarks=(Watermark(user_id=ALICE), bob))
    await own.learn(ROOM, around, START)
    assert told(own.advanced(advanced(Stage.READ, 1))) == [(1, "read")]


async def test_nobody_is_followed_where_history_names_nobody() -> None:
    own = await following(world(message(1), others=()))
    assert told(own.advanced(advanced(Stage.READ, 1, user=ALICE))) == []


async def test_what_was_told_before_the_session_is_not_told_again() -> None:
    around = world(*(message(seq) for seq in range(1, 6)))
    bob = Watermark(user_id=BOB, delivered_seq=5, delivered_at=LATER + timedelta(hours=1), read_seq=3, read_at=LATER)
    around.history.page = replace(around.history.page, watermarks=(Watermark(user_id=ALICE), bob))
    for seq in range(1, 6):
        at = LATER + timedelta(hours=1 if seq == 5 else 0)
        around.history.receipts_of[ROOM, seq] = (Receipt(user_id=BOB, delivered=True, delivered_at=at),)
    own = await following(around)
    assert told(own.advanced(advanced(Stage.DELIVERED, 5))) == [(5, "delivered")]
    assert told(own.advanced(advanced(Stage.READ, 5))) == [(4, "read"), (5, "read")]


async def test_what_was_pushed_in_this_session_is_told_however_much_it_is() -> None:
    pushed = [message(seq) for seq in range(1, 301)]
    around = world(*pushed[100:])
    bob = Watermark(user_id=BOB, delivered_seq=300, delivered_at=LATER + timedelta(hours=1))
    around.history.page = replace(around.history.page, watermarks=(Watermark(user_id=ALICE), bob))
    own = Receipts(ALICE, since=LATER)
    for each in pushed:
        own.sent(each, START)
    await own.learn(ROOM, around, START)
    assert told(own.advanced(advanced(Stage.DELIVERED, 300))) == [(seq, "delivered") for seq in range(1, 301)]


async def test_a_message_that_history_has_and_the_session_not_yet_is_followed() -> None:
    own = Receipts(ALICE, since=LATER)
    own.sent(message(1), START)
    await own.learn(ROOM, world(message(1), message(2)), START)
    assert own.sent(message(2), START) == []
    own.changed(ROOM)
    await own.learn(ROOM, world(message(1), message(2), message(3)), START)
    assert own.sent(message(3), START) == []
    assert told(own.advanced(advanced(Stage.READ, 3))) == [(1, "read"), (2, "read"), (3, "read")]


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "MAX_CONVERSATIONS", 2)
    monkeypatch.setattr(receipts, "MAX_OWN", 2)
    own = await following(world())
    for seq in (1, 2, 3):
        own.sent(message(seq), START)
    assert told(own.advanced(advanced(Stage.DELIVERED, 3))) == [(2, "delivered"), (3, "delivered")]
    for room in ("b", "c"):
        own.sent(message(1, room=ConversationId(room)), LATER)
    assert not own.knows(ROOM)
