"""What the devices wire shows: messages, and the frames of its socket."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from gateway.dialects.devices_names import Addressed, name_of
from gateway.views import message_view
from shared.commands import MessageType
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import MessageId, UserId

Status = Literal["pending", "sent", "delivered", "read", "failed"]
_TYPES = {  # its clients know four types, and take what they don't know for text
    MessageType.AUDIO: MessageType.FILE,
    MessageType.VIDEO: MessageType.FILE,
    MessageType.LOCATION: MessageType.TEXT,
    MessageType.CUSTOM: MessageType.TEXT,
}
_STATUSES: dict[str, Status] = {"stored": "sent", "delivered": "delivered", "read": "read"}


class DeviceMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message, every field always there. `message_type` is what it is in truth, `type` what clients can show."""

    id: MessageId
    session_id: str
    sender_id: UserId
    sender_name: str
    recipient_id: str
    recipient_name: str
    content: str
    type: MessageType
    message_type: MessageType
    status: Status
    created_at: str
    delivered_at: str | None
    read_at: str | None
    metadata: msgspec.Raw


class MessageFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """A message for the device, or one of its own."""

    message: DeviceMessage
    timestamp: str


class ReceiptFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="receipt"):
    """One own message has come further, or was given up."""

    message_id: MessageId
    status: Status
    timestamp: str


class TypingFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="typing"):
    """The other one is typing, or has stopped."""

    sender_id: UserId
    session_id: str
    is_typing: bool
    timestamp: str


class ConnectionFrame(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="connection"
):
    """The connection is open, or about to be closed, and why."""

    status: Literal["connected", "closed"]
    device_id: UserId
    timestamp: str
    code: int | None = None
    reason: str | None = None


class PongFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="pong"):
    """The answer to a ping."""

    timestamp: str


class ErrorFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="error"):
    """A frame asked for something that cannot be done."""

    code: str
    message: str
    timestamp: str
    retry_after_ms: int | None = None
    details: dict[str, str] = {}


def device_message(message: Message, to: Addressed, marks: Sequence[Watermark] = ()) -> DeviceMessage:
    """Show a message; its status follows from the watermarks of those whom it is for."""
    view = message_view(message, marks)
    return DeviceMessage(
        id=view.id,
        session_id=to.session_id,
        sender_id=view.sender_id,
        sender_name=name_of(view.sender_id, view.sender_name),
        recipient_id=to.recipient_id,
        recipient_name=to.recipient_name,
        content=view.content,
        type=_TYPES.get(view.type, view.type),
        message_type=view.type,
        status=_STATUSES[view.status],
        created_at=view.created_at,
        delivered_at=view.delivered_at,
        read_at=view.read_at,
        metadata=view.metadata,
    )
