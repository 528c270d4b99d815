"""What the client knows of conversations and presence, without a socket."""

from datetime import UTC, datetime

import pytest

from client.events import ConversationChanged, MessageDeleted, MessageReceived, PresenceChanged, ReceiptAdvanced
from client.presences import Presences
from client.rooms import Rooms
from client.wire import Conversation, Message, Room, Stage, Watermark

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def rooms() -> Rooms:
    rooms = Rooms()
    rooms.user_id = "alice"
    return rooms


def a_message(seq: int, sender_id: str = "bob", version: int | None = None, *, deleted: bool = False) -> Message:
    return Message(
        id=f"m{seq}",
        conversation_id="c",
        seq=seq,
        version=version or seq,
        sender_id=sender_id,
        created_at=NOW,
        deleted_at=NOW if deleted else None,
    )


def a_conversation(last: int, unread: int, read_seq: int = 0, role: str | None = "member") -> Conversation:
    mark = Watermark(user_id="alice", read_seq=read_seq)
    return Conversation(id="c", role=role, last_seq=last, last_version=last, unread=unread, watermarks=(mark,))


def read(seq: int, user_id: str = "alice", stage: Stage = Stage.READ) -> ReceiptAdvanced:
    return ReceiptAdvanced(conversation_id="c", user_id=user_id, stage=stage, seq=seq)


def changed(change: str, *users: str) -> ConversationChanged:
    room = Room(id="c", name="Team", members=("alice", "bob"))
    return ConversationChanged(
        conversation_id="c", version=2, change=change, actor_id="bob", user_ids=users, conversation=room
    )


def test_messages_of_others_are_unread_until_the_user_reads_them_on_any_device(rooms: Rooms) -> None:
    for seq, sender in ((1, "bob"), (2, "alice"), (3, "bob"), (4, "carol")):
        rooms.apply(MessageReceived(a_message(seq, sender)))
    assert rooms.unread("c") == 3
    for other in (read(4, "bob"), read(4, stage=Stage.DELIVERED)):
        rooms.apply(other)
    assert rooms.unread("c") == 3
    rooms.apply(read(3))
    assert rooms.unread("c") == 1
    rooms.apply(read(4))
    assert rooms.unread("c") == 0


def test_what_the_servers_count_knows_is_not_counted_again(rooms: Rooms) -> None:
    rooms.apply(MessageReceived(a_message(9)))
    rooms.know(a_conversation(last=10, unread=4, read_seq=6))
    for seq in (9, 10, 11):
        rooms.apply(MessageReceived(a_message(seq)))
    assert rooms.unread("c") == 5


def test_a_count_from_before_the_last_read_receipt_is_cut_to_what_is_left(rooms: Rooms) -> None:
    rooms.apply(read(9))
    rooms.know(a_conversation(last=10, unread=4, read_seq=6))
    assert rooms.unread("c") == 1


def test_an_older_list_does_not_undo_a_newer_one(rooms: Rooms) -> None:
    rooms.know(a_conversation(last=10, unread=0, read_seq=10))
    rooms.know(a_conversation(last=8, unread=3, read_seq=5))
    assert rooms.unread("c") == 0


def test_a_deleted_message_is_not_unread(rooms: Rooms) -> None:
    rooms.know(a_conversation(last=3, unread=3))
    rooms.apply(MessageReceived(a_message(4)))
    for seq, version in ((4, 5), (2, 6)):
        rooms.apply(MessageDeleted(a_message(seq, version=version, deleted=True)))
    assert rooms.unread("c") == 2
    rooms.apply(MessageDeleted(a_message(1, version=2, deleted=True)))  # the server's count knew it
    rooms.apply(MessageReceived(a_message(5, version=7, deleted=True)))  # in a sync, as it is now
    assert rooms.unread("c") == 2


def test_a_conversation_is_known_until_the_user_is_removed(rooms: Rooms) -> None:
    rooms.apply(changed("created"))
    rooms.apply(changed("member_removed", "carol"))
    room = rooms.get("c")
    assert room is not None
    assert room.name == "Team"
    rooms.apply(MessageReceived(a_message(1)))
    rooms.apply(changed("member_removed", "alice"))
    assert rooms.get("c") is None
    assert rooms.unread("c") == 0


def test_a_conversation_that_the_user_is_no_member_of_is_not_kept(rooms: Rooms) -> None:
    rooms.know(a_conversation(last=1, unread=0))
    assert rooms.get("c") is not None
    rooms.know(a_conversation(last=2, unread=0, role=None))
    assert rooms.get("c") is None


def test_a_presence_that_says_nothing_new_is_a_repeat() -> None:
    presences = Presences()
    online = PresenceChanged(user_id="bob", status="online", devices=1)
    assert presences.take(online)
    assert not presences.take(online)
    assert not presences.take(PresenceChanged(user_id="bob", status="online", devices=1, last_seen=NOW))
    assert presences.take(PresenceChanged(user_id="bob", status="away", devices=1))
    assert presences.seen["bob"].status == "away"


def test_an_earlier_absence_is_news() -> None:
    presences = Presences()
    presences.take(PresenceChanged(user_id="bob", status="offline"))
    assert presences.take(PresenceChanged(user_id="bob", status="offline", last_seen=NOW))


def test_whom_one_watches_is_remembered_once_and_until_one_leaves() -> None:
    presences = Presences()
    presences.watch(["bob", "carol"])
    presences.watch(["bob", "dave"])
    presences.leave(["carol", "erin"])
    assert presences.watched == ("bob", "dave")
