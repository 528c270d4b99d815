"""What MongoDB gives back is what was written."""

from datetime import UTC, datetime
from typing import Any

import bson
import msgspec

from history.documents import message_document, message_of
from history.sequence import Appended
from shared.commands import MessageType
from shared.events import Message
from shared.ids import ConversationId, MessageId, UserId, message_number


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
