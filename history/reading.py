"""What history reads from its store, as a port."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec

from shared.commands import ConversationKind, HistoryRule, JoinRule, Role, Stage
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, GatewayId, MessageId, UserId

MAX_EDITS = 100  # kept of a message: with the longest content they are a tenth of what a document may have


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's place in a conversation, and the window of its log that is theirs to see.

    They see the entries after `since_version`, up to and with `left_version` where they are no member any more, and the
    messages from `first_seq` on. With the entry `joined_version` they came, the first time; 0: with the first one.
    """

    watermark: Watermark
    joined_at: datetime
    role: str
    first_seq: int = 1
    since_version: int = 0
    joined_version: int = 0
    left_version: int | None = None
    left_seq: int | None = None
    left_at: datetime | None = None
    acknowledged_at: datetime | None = None  # when the watermark moved last

    @property
    def user_id(self) -> UserId:
        """Name the user."""
        return self.watermark.user_id

    @property
    def present(self) -> bool:
        """Tell whether the user is a member now."""
        return self.left_version is None


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of a conversation's log; an empty log has none."""

    seq: int  # of the last message
    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation without what depends on who asks, and without its log."""

    id: ConversationId
    number: int
    kind: ConversationKind
    member_ids: tuple[UserId, ...] | None  # None: too many to name
    created_at: datetime
    name: str | None
    metadata: msgspec.Raw
    parent_id: ConversationId | None = None
    history: HistoryRule = HistoryRule.JOINED
    join: JoinRule = JoinRule.INVITE
    member_count: int = 0
    members_version: int = 0


class ChangeKind(StrEnum):
    """What an entry of the log says that is not a message."""

    EDITED = "edited"
    DELETED = "deleted"  # for everyone
    HIDDEN = "hidden"  # from the actor's sight
    REACTION = "reaction"
    CREATED = "created"
    UPDATED = "updated"
    MEMBER_ADDED = "member_added"
    MEMBER_REMOVED = "member_removed"
    ROLE_CHANGED = "role_changed"


@dataclass(frozen=True, slots=True)
class Edit:
    """What a message said before an edit."""

    version: int  # of the edit that took this away
    at: datetime  # of that edit
    content: str
    metadata: msgspec.Raw
    mentions: tuple[UserId, ...] = ()


@dataclass(frozen=True, slots=True)
class Hiding:
    """A member has deleted a message for themselves."""

    user_id: UserId
    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class LoggedMessage:
    """An entry of the log that is a message. `message` is as it is now, `version` the entry's."""

    message: Message
    version: int
    previous_at: datetime | None
    hidings: tuple[Hiding, ...] = ()
    edits: tuple[Edit, ...] = ()  # oldest first
    via: GatewayId | None = None  # the gateway that took it from its sender

    @property
    def at(self) -> datetime:
        """Give the time of the entry."""
        return self.message.created_at


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """An entry of the log that is no message."""

    id: MessageId
    conversation_id: ConversationId
    version: int
    after_seq: int  # of the last message before it
    kind: ChangeKind
    at: datetime
    previous_at: datetime | None
    actor_id: UserId | None  # None: the operator
    message_id: MessageId | None = None
    message_seq: int = 0
    emoji: str = ""
    removed: bool = False
    user_ids: tuple[UserId, ...] = ()
    role: Role | None = None


Logged: TypeAlias = LoggedMessage | LoggedChange


@dataclass(frozen=True, slots=True)
class End:
    """The end of a conversation's log, and the last message before it."""

    tip: Tip
    last_message: LoggedMessage | None


@dataclass(frozen=True, slots=True)
class Step:
    """A move of a watermark."""

    stage: Stage
    seq: int
    at: datetime
    pushed_at: datetime | None = None  # to the device that says so
    gateway_id: GatewayId | None = None


@dataclass(frozen=True, slots=True)
class Trail:
    """How a member's watermark came to where it is: its last moves, oldest first. `whole_…`: there were no others."""

    membership: Membership
    delivered: tuple[Step, ...] = ()
    read: tuple[Step, ...] = ()
    whole_delivered: bool = True
    whole_read: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages to find, for a user: not what is deleted, for all or for them. What is None is all the same."""

    user_id: UserId
    text: str | None = None  # in the content, without regard to case
    mentioned: bool = False  # the user is mentioned
    before: datetime | None = None
    limit: int = 50


class LogReader(Protocol):
    """Conversations, their logs and watermarks, as a majority has them.

    Every method raises StoreUnavailable where the database cannot be reached or does not answer in time.
    """

    # --- members

    async def memberships(self, user_id: UserId) -> dict[ConversationId, Membership]:
        """Give all conversations of a user, those that they have left too."""
        ...

    async def memberships_in(
        self, user_id: UserId, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, Membership]:
        """Give a user's places in those of the conversations that they are or were in."""
        ...

    async def windows(self, conversation_id: ConversationId) -> dict[UserId, int]:
        """Give every present member with the version after which entries are for them."""
        ...

    async def members_after(
        self, conversation_id: ConversationId, user_id: UserId | None, limit: int
    ) -> list[Membership]:
        """Give present members, by user id: the first ones after a user, or of all."""
        ...

    async def trails(self, conversation_id: ConversationId, limit: int) -> list[Trail]:
        """Give the trails of the first present members, by user id."""
        ...

    async def watermarks(
        self, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, tuple[Watermark, ...]]:
        """Give the watermarks of every present member, by user id."""
        ...

    async def acknowledged_after(
        self, conversation_ids: Collection[ConversationId], moment: datetime
    ) -> dict[ConversationId, datetime]:
        """Tell of the conversations in which a watermark moved after a moment when one moved last."""
        ...

    # --- conversations

    async def records(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Record]:
        """Give those of the conversations that exist."""
        ...

    async def numbered(self, number: int) -> Record | None:
        """Find a conversation by its number."""
        ...

    async def channels(self, space_id: ConversationId) -> list[Record]:
        """Give the channels of a space."""
        ...

    async def named(self, name: str, inside: Collection[ConversationId]) -> Record | None:
        """Give the oldest conversation of a name, spaces apart, that is one of these.

        Else the oldest one that is open and has no parent, or one of these.
        """
        ...

    async def open_channels(self, after: ConversationId | None, limit: int) -> list[Record]:
        """Give open channels without a parent by id: the first ones after one, or of all."""
        ...

    async def tips(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Tip]:
        """Give the ends of conversations' logs."""
        ...

    # --- messages and other entries

    async def entries(
        self,
        conversation_id: ConversationId,
        *,
        after: int,
        floor: datetime,
        until: int | None,
        limit: int,
        newest: bool = True,
    ) -> list[Logged]:
        """Give entries in version order: of those after a version and a time, up to and with `until`, the newest.

        Or, where it is not the newest that are wanted, the first ones.
        """
        ...

    async def messages(
        self, conversation_id: ConversationId, *, before: int | None, after: int, limit: int, newest: bool
    ) -> list[LoggedMessage]:
        """Give messages in seq order: of those between two seqs the first ones, or the newest."""
        ...

    async def messages_by_id(self, message_ids: Collection[MessageId]) -> dict[MessageId, LoggedMessage]:
        """Give those of the messages that exist."""
        ...

    async def ends(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, End]:
        """Give the ends of conversations' logs with their last messages."""
        ...

    async def unread(self, user_id: UserId, after: Mapping[ConversationId, int]) -> dict[ConversationId, int]:
        """Count the messages of others after a seq that the user can see, for the conversations where there are any."""
        ...

    async def found(self, wanted: Wanted, after: Mapping[ConversationId, int]) -> list[LoggedMessage]:
        """Find messages after a seq in each of these conversations, newest first; looks at all of them, if it must."""
        ...

    async def mentions(self, wanted: Wanted, after: Mapping[ConversationId, int]) -> list[LoggedMessage]:
        """Find messages that mention the user, likewise."""
        ...
