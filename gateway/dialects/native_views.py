"""The frames that clients of Warren's own protocol, version 1, are sent, as types."""

from typing import TypeAlias

import msgspec

from gateway.views import ConversationStateView, ConversationView, MessageView
from shared.commands import Role
from shared.events import ConversationChange
from shared.ids import ConversationId, MessageId, UserId

# --- their data


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far something came. With stage stored or failed: of one accepted message, named by its ids."""

    conversation_id: ConversationId
    user_id: UserId
    stage: str
    at: str
    seq: int | None = None
    message_id: MessageId | None = None
    client_id: str | None = None
    version: int | None = None
    number: int | None = None
    code: str | None = None
    message: str | None = None


class TypingView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is typing, or stopped."""

    conversation_id: ConversationId
    user_id: UserId
    name: str
    active: bool


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the operator tells the user; not stored."""

    id: MessageId
    title: str
    body: str
    data: msgspec.Raw
    created_at: str


class LaggedView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which messages are left out of the pushes: fetch them from there."""

    conversation_id: ConversationId
    from_seq: int
    before: int | None = None


class ReactionView(msgspec.Struct, frozen=True, kw_only=True):
    """Who reacted to a message, or took that back."""

    message_id: MessageId
    conversation_id: ConversationId
    seq: int
    version: int
    user_id: UserId
    emoji: str
    removed: bool
    at: str


class ConversationChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a conversation, and how it is now."""

    change: ConversationChange
    conversation_id: ConversationId
    version: int
    at: str
    actor_id: UserId | None
    user_ids: tuple[UserId, ...]
    role: Role | None
    conversation: ConversationStateView


class LimitsView(msgspec.Struct, frozen=True, kw_only=True):
    """What the server takes at most."""

    max_frame_bytes: int
    max_content_bytes: int
    max_metadata_bytes: int
    max_in_flight: int


class WelcomeView(msgspec.Struct, frozen=True, kw_only=True):
    """The session is open."""

    connection_id: str
    user_id: UserId
    device_id: str
    heartbeat_s: float
    since: str
    limits: LimitsView
    server_time: str


class _EventView(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """An event inside a `sync` reply, in the shape of the frame that would have carried it."""


class MessageEvent(_EventView, frozen=True, kw_only=True, tag="message"):
    """A message, as it is now."""

    data: MessageView


class UpdatedEvent(_EventView, frozen=True, kw_only=True, tag="message.updated"):
    """A message was edited."""

    data: MessageView


class DeletedEvent(_EventView, frozen=True, kw_only=True, tag="message.deleted"):
    """A message was deleted."""

    data: MessageView


class ReactionEvent(_EventView, frozen=True, kw_only=True, tag="reaction"):
    """A member reacted, or took that back."""

    data: ReactionView


class ConversationEvent(_EventView, frozen=True, kw_only=True, tag="conversation"):
    """The conversation or its members changed."""

    data: ConversationChangeView


EventView: TypeAlias = MessageEvent | UpdatedEvent | DeletedEvent | ReactionEvent | ConversationEvent


def type_of(event: EventView) -> str:
    """Give the type of the frame that carries it."""
    return str(event.__struct_config__.tag)


class ChangesView(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in one conversation."""

    conversation_id: ConversationId
    version: int
    conversation: ConversationView
    events: list[EventView]
    limited: bool
    before: int | None


class SyncView(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to `sync`."""

    conversations: list[ChangesView]
    since: str
    has_more: bool


class CreatedView(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the creation of a conversation."""

    conversation_id: ConversationId
    created: bool


class ByeView(msgspec.Struct, frozen=True, kw_only=True):
    """The last frame before the close."""

    code: int
    reason: str
    reconnect: bool
    retry_after_ms: int | None


# --- the frames


class ReplyFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="reply"):
    """The one answer to a frame with an id."""

    id: str
    ok: bool = True
    data: object
    timestamp: str


class ErrorFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="error"):
    """The one answer to a frame with an id that came to nothing, or to one whose id could not be read."""

    id: str | None = None
    error: object
    timestamp: str


class PushFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Everything else that the server says."""

    type: str
    data: object
    timestamp: str
