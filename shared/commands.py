"""Commands: wishes of clients, in the imperative. What they say is not true until an event says so."""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from shared.ids import ConversationId, GatewayId, MessageId, SessionId, UserId

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


class Role(StrEnum):
    """What a member may do; in a direct conversation both are plain members."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class HistoryRule(StrEnum):
    """What a new member may read."""

    FULL = "full"  # everything
    JOINED = "joined"  # what comes after joining


class JoinRule(StrEnum):
    """Who may become a member."""

    OPEN = "open"  # whoever wants to; where there is a space above, its members
    INVITE = "invite"  # whom an owner or admin adds


class DeleteScope(StrEnum):
    """For whom a message is deleted."""

    EVERYONE = "everyone"
    ME = "me"


class Status(StrEnum):
    """How a user wants to be seen while connected."""

    ONLINE = "online"
    AWAY = "away"
    DND = "dnd"
    INVISIBLE = "invisible"  # others see them as offline


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
    pushed_at: datetime | None = None  # when the gateway pushed the latest of them to the device that says so
    gateway_id: GatewayId | None = None


class CreateConversation(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Make a conversation. For a direct one the id is derived, so creating it again yields the one that is there."""

    conversation_id: ConversationId
    kind: ConversationKind
    creator_id: UserId
    member_ids: tuple[UserId, ...]  # with the creator, sorted, no repeats
    name: str | None = None
    metadata: msgspec.Raw = EMPTY_OBJECT
    parent_id: ConversationId | None = None  # of a channel: the space it is in
    history: HistoryRule | None = None  # None: full in channels and spaces, joined in groups
    join: JoinRule | None = None  # None: open in channels, by invitation elsewhere


class Change(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the commands that change what a conversation holds. Each takes the next version of its log.

    `change_id` is its identity: handled again, it yields what it came to first. `actor_id` None is the operator, to
    whom everything is allowed. What is so already is no change: it is answered with the version that is there.
    """

    change_id: MessageId
    conversation_id: ConversationId
    actor_id: UserId | None  # the authenticated user, whatever the frame said


class EditMessage(Change, frozen=True, kw_only=True, omit_defaults=True):
    """Give one's own message another content. None or UNSET: as it was."""

    message_id: MessageId
    content: str
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # msgspec reads no object into `Raw | None`
    mentions: tuple[UserId, ...] | None = None


class DeleteMessage(Change, frozen=True, kw_only=True, omit_defaults=True):
    """Take a message away: for everyone (one's own; an owner's or admin's right otherwise), or from one's own sight."""

    message_id: MessageId
    scope: DeleteScope


class SetReaction(Change, frozen=True, kw_only=True, omit_defaults=True):
    """React to a message with an emoji, or take that back."""

    message_id: MessageId
    emoji: str
    removed: bool = False


class ChangeConversation(Change, frozen=True, kw_only=True, omit_defaults=True):
    """Give a conversation another name, other metadata or rules. None or UNSET: as it is.

    `expected`: the metadata that it must still have; of several who change it at once, one does.
    """

    name: str | None = None
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # msgspec reads no object into `Raw | None`
    history: HistoryRule | None = None  # for those who join from now on
    join: JoinRule | None = None
    expected: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class SetMembers(Change, frozen=True, kw_only=True, omit_defaults=True):
    """Let users be members, with a role. Joining is adding oneself. Role None: as it is, of a new member `member`."""

    user_ids: tuple[UserId, ...]  # sorted, no repeats, at most 500
    role: Role | None = None


class RemoveMember(Change, frozen=True, kw_only=True, omit_defaults=True):
    """Take a member out, or leave. Out of a space: out of its channels too."""

    user_id: UserId


Alteration: TypeAlias = EditMessage | DeleteMessage | SetReaction | ChangeConversation | SetMembers | RemoveMember


class SetTyping(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Tell the other members that a user is typing, or has stopped. Never stored."""

    conversation_id: ConversationId
    user_id: UserId
    name: str
    active: bool
    to: UserId | None = None  # set where the client named a user: the conversation may not exist yet


class SetStatus(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Be seen otherwise, on all devices, until it is said again. Goes to presence."""

    user_id: UserId
    session_id: SessionId
    status: Status
    text: str = ""
    at: datetime
