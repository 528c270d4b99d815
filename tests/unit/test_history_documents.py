"""What MongoDB gives back is what was written."""

from datetime import UTC, datetime
from typing import Any

import bson
import msgspec
import pytest
from msgspec.structs import replace

from history.documents import (
    change_document,
    changed_fields,
    logged_of,
    member_document,
    membership_of,
    message_document,
    message_of,
    record_of,
)
from history.reading import ChangeKind, Edit, Hiding, LoggedChange, LoggedMessage, Membership
from history.sequence import Appended
from shared.commands import EMPTY_OBJECT, MessageType, Role
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, MessageId, UserId, message_number

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROOM, ALICE = ConversationId("c"), UserId("alice")
MESSAGE = Message(
    id=MessageId("m"),
    number=1,
    conversation_id=ROOM,
    seq=1,
    version=4,
    client_id="k",
    sender_id=ALICE,
    sender_name="Alice",
    type=MessageType.TEXT,
    content="text",
    created_at=AT,
)
CHANGES = [
    LoggedChange(
        id=MessageId("x"),
        conversation_id=ROOM,
        version=9,
        after_seq=7,
        kind=ChangeKind.REACTION,
        at=AT,
        previous_at=AT,
        actor_id=ALICE,
        message_id=MessageId("m"),
        message_seq=3,
        emoji="👍",
        removed=True,
    ),
    LoggedChange(
        id=MessageId("x"),
        conversation_id=ROOM,
        version=1,
        after_seq=0,
        kind=ChangeKind.MEMBER_ADDED,
        at=AT,
        previous_at=None,
        actor_id=None,
        user_ids=(ALICE,),
        role=Role.ADMIN,
    ),
]


def through_bson(document: dict[str, Any]) -> dict[str, Any]:
    options: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(tz_aware=True)
    return bson.decode(bson.encode(document), options)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.kind)
def test_a_change_survives_bson(change: LoggedChange) -> None:
    assert logged_of(through_bson(change_document(change))) == change


def test_what_was_changed_of_a_message_survives_bson() -> None:
    message = replace(
        MESSAGE,
        content="newest",
        metadata=msgspec.Raw(b'{"$a":1}'),
        mentions=(ALICE,),
        reactions={"a.b": (ALICE,)},
        edited_at=AT,
    )
    edits = (Edit(2, AT, "first", msgspec.Raw(b'{"b":2}'), (ALICE,)), Edit(3, AT, "second", EMPTY_OBJECT))
    changed = LoggedMessage(message, 1, None, hidings=(Hiding(ALICE, 5, AT),), edits=edits)
    written = message_document(Appended(replace(message, version=1), None, audience=()))
    assert logged_of(through_bson(written | changed_fields(changed)["$set"])) == changed


def test_a_change_takes_off_what_is_empty() -> None:
    message = replace(MESSAGE, content="", deleted_at=AT)
    update = changed_fields(LoggedMessage(message, 1, None))
    assert update["$set"] == {"content": "", "changed_version": 4, "deleted_at": AT}
    assert update["$unset"].keys() == {"metadata", "mentions", "reactions", "edited_at", "edits", "hidden_for"}


def test_a_place_survives_bson() -> None:
    left = Membership(Watermark(user_id=ALICE), AT, Role.ADMIN, 3, 8, 9, left_version=10, left_seq=4, left_at=AT)
    assert membership_of(through_bson(member_document(ROOM, left))) == left


def test_documents_from_before_there_were_groups_are_read() -> None:
    old = {"_id": "d-1", "number": 1, "kind": "direct", "name": None, "metadata": "{}", "created_at": AT}
    record = record_of(old | {"member_ids": ["alice", "bob"]})
    assert (record.member_ids, record.member_count, record.members_version) == (("alice", "bob"), 2, 0)
    assert bytes(record.metadata) == bytes(EMPTY_OBJECT)
    seat = {"user_id": "alice", "role": "member", "joined_at": AT, "delivered_seq": 0, "read_seq": 0}
    member = membership_of(seat | dict.fromkeys(("delivered_at", "read_at", "acknowledged_at")))
    assert (member.first_seq, member.since_version, member.present) == (1, 0, True)


def test_a_message_survives_bson_and_can_be_sent_on() -> None:
    message = Message(
        id=MessageId("m"),
        number=message_number(40, 7),  # beyond 32 bits
        conversation_id=ConversationId("c"),
        seq=7,
        version=7,
        client_id="k",
        sender_id=UserId("alice"),
        sender_name="Alice",
        type=MessageType.TEXT,
        content="hi",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    written = message_document(Appended(message, None, audience=(UserId("alice"),)))
    options: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(tz_aware=True)
    read = message_of(bson.decode(bson.encode(written), options))
    assert read == message
    assert msgspec.json.encode(read) == msgspec.json.encode(message)
