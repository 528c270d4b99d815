"""Events: facts, in the past participle, and the answers that services send to one gateway."""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from shared.commands import (
    EMPTY_OBJECT,
    ConversationKind,
    HistoryRule,
    JoinRule,
    MessageType,
    Role,
    Stage,
)
from shared.errors import ErrorBody
from shared.ids import ConversationId, DeviceId, GatewayId, MessageId, SessionId, UserId


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as history keeps it. Times are aware UTC in whole milliseconds."""

    id: MessageId
    number: int
    conversation_id: ConversationId
    seq: int  # 1, 2, 3 … without gaps in its conversation
    version: int  # of the conversation's log; an edit takes the next one
    client_id: str
    sender_id: UserId
    sender_name: str
    type: MessageType
    content: str
    created_at: datetime
    metadata: msgspec.Raw = EMPTY_OBJECT
    reply_to: MessageId | None = None
    mentions: tuple[UserId, ...] = ()
    reactions: dict[str, tuple[UserId, ...]] = {}
    edited_at: datetime | None = None
    deleted_at: datetime | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, tag_field="@type"):
    """Base of the events: on the broker `@type` names the class."""


class LogEvent(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the entries of a conversation's log, each with the next `version`; repeated unchanged after a redelivery.

    `previous_at` is when the conversation's previous version came to be (None: this is the first). A session that has
    seen nothing of the conversation since it opened tells by it whether it missed something in between.

    Every member's position moves on with every entry, but some are not to be shown what it says: those of
    `hidden_from`, and, where `only_for` names a user, everyone else.
    """

    audience: tuple[UserId, ...]  # every member, the actor among them; who is removed, too
    previous_at: datetime | None = None
    members_version: int | None = None  # set where there are too many members to name: the audience is empty, and
    # delivery resolves it from the member list of this version or a later one
    hidden_from: tuple[UserId, ...] = ()
    only_for: UserId | None = None

    def is_shown_to(self, user_id: UserId) -> bool:
        """Tell whether a member may see what the entry says."""
        return user_id not in self.hidden_from and self.only_for in (None, user_id)


class MessageEvent(LogEvent, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the entries with a message, as it is after them."""

    message: Message

    @property
    def conversation_id(self) -> ConversationId:
        """Name the conversation."""
        return self.message.conversation_id

    @property
    def version(self) -> int:
        """Give the version of the entry."""
        return self.message.version


class MessageStored(MessageEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A message has its place and is durable. In a sync it is as it is now, with the version it was stored with."""

    @property
    def at(self) -> datetime:
        """Give the time of the entry."""
        return self.message.created_at


class MessageEdited(MessageEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A message has another content. `message` is as it is after it, with the version of the edit."""

    at: datetime


class MessageDeleted(MessageEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A message is gone: for everyone, or (`only_for`) from one member's sight. `message` is what is left of it."""

    at: datetime


class ReactionChanged(LogEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A member reacted to a message, or took that back."""

    conversation_id: ConversationId
    version: int
    at: datetime
    message_id: MessageId
    seq: int  # of the message
    user_id: UserId
    emoji: str
    removed: bool = False


class ConversationState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation as all its members see it."""

    id: ConversationId
    number: int
    kind: ConversationKind
    created_at: datetime
    name: str | None = None
    metadata: msgspec.Raw = EMPTY_OBJECT
    parent_id: ConversationId | None = None
    history: HistoryRule = HistoryRule.JOINED
    join: JoinRule = JoinRule.INVITE
    member_count: int
    members_version: int = 0  # the version of the log that last changed who is a member
    member_ids: tuple[UserId, ...] = ()  # sorted; empty in rooms of more than 500


class ConversationChange(StrEnum):
    """What became of a conversation."""

    CREATED = "created"
    UPDATED = "updated"  # name, metadata, rules
    MEMBER_ADDED = "member_added"
    MEMBER_REMOVED = "member_removed"
    ROLE_CHANGED = "role_changed"


class ConversationChanged(LogEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation was made, or it or its members changed. In a sync `conversation` is as it is now."""

    conversation_id: ConversationId
    version: int
    at: datetime
    change: ConversationChange
    actor_id: UserId | None  # None: the operator
    user_ids: tuple[UserId, ...] = ()  # who was added, removed, or has another role
    role: Role | None = None
    conversation: ConversationState


Entry: TypeAlias = MessageStored | MessageEdited | MessageDeleted | ReactionChanged | ConversationChanged


class ReceiptAdvanced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A reader's watermark moved: everything up to `seq` is delivered to them, or read by them."""

    conversation_id: ConversationId
    user_id: UserId
    stage: Stage
    seq: int
    at: datetime
    audience: tuple[UserId, ...]


class MessageFailed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A message that had been accepted was given up; its sender must know, wherever they are now."""

    conversation_id: ConversationId
    message_id: MessageId
    client_id: str
    sender_id: UserId
    at: datetime
    error: ErrorBody


class TypingChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A member started or stopped typing."""

    conversation_id: ConversationId
    user_id: UserId
    name: str
    active: bool


class Notified(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The operator has something to tell these users, on whichever devices they are connected now. Never stored."""

    id: MessageId
    user_ids: tuple[UserId, ...]
    title: str
    body: str
    data: msgspec.Raw = EMPTY_OBJECT  # a JSON object
    at: datetime


# --- answers to the gateway that asked; the envelope's `id` is the id of the command's envelope


class Stored(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The message of a SendMessage is durable. For a repeat: the id and place of the message stored first."""

    message_id: MessageId
    conversation_id: ConversationId
    client_id: str
    seq: int
    version: int
    number: int
    created_at: datetime


class ConversationCreated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The conversation of a CreateConversation is there, made now or before."""

    conversation_id: ConversationId
    number: int
    kind: ConversationKind
    created: bool  # False: it was there already


class Changed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What a command asked to change is so. `version`: the log's with it, or the present one if it was so before."""

    change_id: MessageId
    conversation_id: ConversationId
    version: int


class Rejected(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A command will never be carried out, and this is why."""

    error: ErrorBody


# --- what delivery hands to one gateway


class Handoff(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An event for those recipients that the gateway holds."""

    recipients: tuple[UserId, ...]
    event: Entry | TypingChanged


# --- sessions: gateway → presence, delivery


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client says of the device it runs on."""

    id: DeviceId
    name: str = ""
    type: str = "other"  # desktop, mobile, web, other
    platform: str = ""
    browser: str = ""
    os_version: str = ""
    app_version: str = ""
    ephemeral: bool = False  # the client named none: the id is made up for one session, and nothing is kept of it


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One open socket of one device of one user, on one gateway. `takes_over`: older ones of this device must end."""

    id: SessionId
    user_id: UserId
    name: str
    gateway_id: GatewayId
    device: DeviceInfo
    dialect: str
    opened_at: datetime
    takes_over: bool = False


class SessionOpened(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A socket was authenticated."""

    session: Session


class SessionClosed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A socket is gone."""

    session_id: SessionId
    user_id: UserId
    device_id: DeviceId
    gateway_id: GatewayId
    at: datetime


class SessionsAnnounced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """All the sessions of one gateway, at most 256 an envelope; the answer to SessionsWanted.

    `first` marks where an announcement begins, even one of no session: what was known of this gateway and is not
    announced again is gone.
    """

    gateway_id: GatewayId
    sessions: tuple[Session, ...]
    first: bool = False


class GatewayRefreshed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway is alive: renews the lease of every session it holds."""

    gateway_id: GatewayId
    lease_s: float


class GatewayStopped(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway has drained and holds no session any more."""

    gateway_id: GatewayId


class SessionsWanted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A replica of delivery or presence lacks sessions and asks for all of them.

    On the sessions fanout it asks every gateway; on one gateway's own route it asks that one.
    """

    replica_id: str


class SessionsRouted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Delivery to one gateway: from now on this replica routes to these sessions.

    What the replica handled before is in history already, so the gateway catches these sessions up once from there.
    """

    replica_id: str
    session_ids: tuple[SessionId, ...]


# --- presence → gateways


class PresenceChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A user came, went, wants to be seen otherwise, or changed their number of devices.

    As others see it: who is invisible is offline here. `chosen` is for the user's own sessions alone.
    """

    user_id: UserId
    status: str  # online, away, dnd or offline
    last_seen: datetime
    devices: int
    text: str = ""
    chosen: str = "online"  # online, away, dnd or invisible


class ProfileChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A user has another profile."""

    user_id: UserId
    name: str
    username: str | None = None
    avatar_url: str | None = None


class SignOutReason(StrEnum):
    """Why a device's sessions must end."""

    KICKED = "kicked"  # by its user or an operator: its tokens from before count no more
    REPLACED = "replaced"  # a newer device took its place: one too many
    REFUSED = "refused"  # one too many: there is no place for it


class DeviceSignedOut(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Every gateway must close the sessions of a device that were opened up to `at`."""

    user_id: UserId
    device_id: DeviceId
    reason: SignOutReason
    at: datetime


# --- among the replicas of a service


class ReplicaRefreshed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A replica is alive, and takes its share of the queues for as long as it says so in time."""

    replica_id: str
    lease_s: float


class ReplicaStopped(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A replica drains: its share is the others'."""

    replica_id: str
