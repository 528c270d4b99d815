"""Commands: wishes of clients, in the imperative. What they say is not true until an event says so."""

from enum import StrEnum

import msgspec

from shared.ids import ConversationId, MessageId, UserId

EMPTY_OBJECT = msgspec.Raw(b"{}")


class MessageType(StrEnum):
    """What a message carries."""

    TEXT = "text"
    IMAGE = "image"
    FILE = "file"
    AUDIO = "audio"
    VIDEO = "video"
    LOCATION = "location"
    SYSTEM = "system"
    CUSTOM = "custom"


class Stage(StrEnum):
    """How far a message has come with one reader."""

    DELIVERED = "delivered"
    READ = "read"


class ConversationKind(StrEnum):
    """The forms of conversation."""

    DIRECT = "direct"
    GROUP = "group"
    CHANNEL = "channel"
    SPACE = "space"


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, tag_field="@type"):
    """Base of the commands: on the broker `@type` names the class."""


class SendMessage(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Add a message to a conversation.

    `(conversation_id, sender_id, client_id)` is its identity: sent again, it yields the message stored first.
    `to` is set where the client named a user: history creates that direct conversation if it must.
    """

    message_id: MessageId
    conversation_id: ConversationId
    sender_id: UserId  # the authenticated user, whatever the frame said
    sender_name: str
    client_id: str
    to: UserId | None = None
    type: MessageType = MessageType.TEXT
    content: str = ""
    metadata: msgspec.Raw = EMPTY_OBJECT  # a JSON object, kept as the client wrote it
    reply_to: MessageId | None = None
    mentions: tuple[UserId, ...] = ()


class Acknowledge(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Say that a user's device has received, or the user has read, everything up to `seq`."""

    conversation_id: ConversationId
    user_id: UserId
    stage: Stage
    seq: int


class CreateConversation(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Make a conversation. For a direct one the id is derived, so creating it again yields the one that is there."""

    conversation_id: ConversationId
    kind: ConversationKind
    creator_id: UserId
    member_ids: tuple[UserId, ...]  # with the creator, sorted, no repeats
    name: str | None = None
    metadata: msgspec.Raw = EMPTY_OBJECT


class SetTyping(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Tell the other members that a user is typing, or has stopped. Never stored."""

    conversation_id: ConversationId
    user_id: UserId
    name: str
    active: bool
    to: UserId | None = None  # set where the client named a user: the conversation may not exist yet
