"""The data that clients of the envelope wire are sent, in its frames and in server-sent events.

A message's `type` is its own; that of all else says what it is, also to who reads events without their names.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from gateway.disconnects import Disconnect
from shared.clock import rfc3339
from shared.errors import ErrorBody
from shared.events import Message, MessageFailed, ReceiptAdvanced, TypingChanged
from shared.ids import ConversationId, DeviceId, MessageId, UserId
from shared.presence_api import Presence


class ChatView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A message as it is now: it comes again, with the same id, where it was edited or deleted.

    `channel_id` is what the client calls the conversation, `conversation_id` the server's name for it.
    """

    id: MessageId
    channel_id: str
    sender_id: UserId
    sender_name: str
    content: str
    type: str
    created_at: str
    seq: int
    status: str
    metadata: msgspec.Raw
    conversation_id: ConversationId
    number: int
    client_id: str
    reply_to: MessageId | None
    mentions: tuple[UserId, ...]
    edited_at: str | None
    deleted_at: str | None


class UserStatusView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether a user is there."""

    type: Literal["userStatus"] = "userStatus"
    user_id: UserId
    status: str
    last_seen: str | None
    text: str


class NotificationView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What concerns the user outside of what it looks at."""

    type: Literal["notification"] = "notification"
    id: str
    title: str
    body: str
    data: Mapping[str, object]
    created_at: str


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a conversation has come with one reader: everything up to `seq`."""

    type: Literal["receipt"] = "receipt"
    action: Literal["receipt"] = "receipt"
    channel: str
    channel_id: str
    user_id: UserId
    status: str
    at: str
    seq: int


class FailedView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One message that was accepted, and came to nothing."""

    type: Literal["receipt"] = "receipt"
    action: Literal["receipt"] = "receipt"
    channel: str
    channel_id: str
    user_id: UserId
    status: Literal["failed"] = "failed"
    at: str
    message_id: MessageId
    client_id: str
    code: str
    message: str


class TypingView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who is typing, or has stopped."""

    type: Literal["typing"] = "typing"
    action: Literal["typing"] = "typing"
    channel: str
    channel_id: str
    user_id: UserId
    user_name: str
    is_typing: bool


class DoneView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was asked is done. `channel` is as the client wrote it."""

    action: str
    ok: bool = True


class ChannelDoneView(DoneView, frozen=True, kw_only=True, rename="camel"):
    """What was asked of a channel is done. `channel` is as the client wrote it, `conversation_id` the server's name."""

    channel: str | int
    conversation_id: ConversationId


class ErrorView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why something was not done; `action` and `channel`: what was asked of which channel."""

    code: str
    message: str
    retry_after_ms: int | None = None
    details: dict[str, str] = {}
    action: str | None = None
    channel: str | int | None = None
    ok: bool | None = None


class WelcomeView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who the client is taken for."""

    action: Literal["welcome"] = "welcome"
    user_id: UserId
    device_id: DeviceId


class ByeView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why the server closes."""

    action: Literal["bye"] = "bye"
    code: int
    reason: str
    reconnect: bool
    retry_after_ms: int | None


class ServerFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the server says on a socket."""

    type: str
    data: object
    id: str | None
    timestamp: str


def chat_view(message: Message, channel: str) -> ChatView:
    """Show a message; how far it has come with others is told by receipts."""
    return ChatView(
        id=message.id,
        channel_id=channel,
        sender_id=message.sender_id,
        sender_name=message.sender_name,
        content=message.content,
        type=message.type.value,
        created_at=rfc3339(message.created_at),
        seq=message.seq,
        status="stored",
        metadata=message.metadata,
        conversation_id=message.conversation_id,
        number=message.number,
        client_id=message.client_id,
        reply_to=message.reply_to,
        mentions=message.mentions,
        edited_at=_time(message.edited_at),
        deleted_at=_time(message.deleted_at),
    )


def status_view(presence: Presence) -> UserStatusView:
    """Show whether a user is there."""
    return UserStatusView(
        user_id=presence.user_id,
        status=presence.status,
        last_seen=_time(presence.last_seen),
        text=presence.text,
    )


def receipt_view(event: ReceiptAdvanced, channel: str) -> ReceiptView:
    """Show how far a reader has come."""
    return ReceiptView(
        channel=channel,
        channel_id=channel,
        user_id=event.user_id,
        status=event.stage.value,
        at=rfc3339(event.at),
        seq=event.seq,
    )


def failed_view(event: MessageFailed, channel: str) -> FailedView:
    """Show that a message that was accepted came to nothing."""
    return FailedView(
        channel=channel,
        channel_id=channel,
        user_id=event.sender_id,
        at=rfc3339(event.at),
        message_id=event.message_id,
        client_id=event.client_id,
        code=event.error.code,
        message=event.error.message,
    )


def typing_view(event: TypingChanged, channel: str) -> TypingView:
    """Show who is typing."""
    return TypingView(
        channel=channel,
        channel_id=channel,
        user_id=event.user_id,
        user_name=event.name,
        is_typing=event.active,
    )


def bye_view(disconnect: Disconnect, retry_after_ms: int | None) -> ByeView:
    """Show why the server closes."""
    return ByeView(
        code=disconnect.code,
        reason=disconnect.reason,
        reconnect=disconnect.reconnect,
        retry_after_ms=retry_after_ms,
    )


def error_view(error: ErrorBody) -> ErrorView:
    """Show why something was not done."""
    return ErrorView(code=error.code, message=error.message, retry_after_ms=error.retry_after_ms, details=error.details)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
