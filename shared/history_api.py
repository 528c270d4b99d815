"""History's query API as a port: what the other services may ask it, never on the path of a message.

Every query names the user on whose behalf it is made, and history checks that user's membership.
"""

from datetime import datetime
from typing import Protocol

import msgspec

from shared.commands import EMPTY_OBJECT, ConversationKind, HistoryRule, JoinRule, Role
from shared.events import Entry, Message
from shared.ids import ConversationId, MessageId, UserId
from shared.position import Position

MAX_PAGE = 200
MAX_SEARCH_CHARS = 1000  # of a text that is looked for


class Watermark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far one member has received and read."""

    user_id: UserId
    delivered_seq: int = 0
    delivered_at: datetime | None = None
    read_seq: int = 0
    read_at: datetime | None = None


class Conversation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation as one of its members sees it.

    In rooms of more than 500 members `member_ids` is empty and `watermarks` holds the asking user's alone. `role` None:
    the user is no member any more; then nothing is said of what came after they left.
    """

    id: ConversationId
    number: int
    kind: ConversationKind
    member_ids: tuple[UserId, ...]
    created_at: datetime
    changed_at: datetime
    name: str | None = None
    metadata: msgspec.Raw = EMPTY_OBJECT
    last_seq: int = 0
    last_version: int = 0
    last_message: Message | None = None
    unread: int = 0  # messages of others after the asking user's read_seq that are not deleted
    watermarks: tuple[Watermark, ...] = ()
    role: Role | None = None  # the asking user's
    first_seq: int = 1  # the first message that the asking user may read
    member_count: int = 0
    parent_id: ConversationId | None = None
    history: HistoryRule = HistoryRule.JOINED
    join: JoinRule = JoinRule.INVITE


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member of a conversation."""

    user_id: UserId
    role: Role
    joined_at: datetime


class MemberPage(msgspec.Struct, frozen=True, kw_only=True):
    """Members, by user id."""

    members: tuple[Member, ...]
    next_cursor: str | None


class MemberList(msgspec.Struct, frozen=True, kw_only=True):
    """All members of a conversation, for delivery: each with the version after which entries are for them."""

    version: int  # the log's version that last changed who is a member
    since: dict[UserId, int]


class MessagePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message is."""

    message_id: MessageId
    conversation_id: ConversationId
    seq: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a message came with one member, and when; a time that is too long ago to be known is None.

    A message counts as received and read by those whose watermark has passed it.
    """

    user_id: UserId
    delivered: bool = False
    delivered_at: datetime | None = None
    read: bool = False
    read_at: datetime | None = None


class ConversationPage(msgspec.Struct, frozen=True, kw_only=True):
    """Conversations, last activity first."""

    conversations: tuple[Conversation, ...]
    next_cursor: str | None


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """Messages in seq order, with the members' watermarks, from which each message's status follows."""

    messages: tuple[Message, ...]
    watermarks: tuple[Watermark, ...]
    has_more: bool


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in one conversation: events in version order; with them the reader has everything up to `version`.

    Only events that the reader may see are there. Where the reader was removed, they end with that.

    `limited`: only the newest page fits; what the reader holds of this conversation is then stale, and the messages
    before seq `before` are to be fetched page by page.
    """

    conversation: Conversation  # as it is now, which may be further
    version: int
    events: tuple[Entry, ...]  # without audience
    limited: bool = False
    before: int | None = None


class SyncAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader at a position lacks. `has_more`: sync again with the new `since`."""

    conversations: tuple[Changes, ...]
    since: str
    has_more: bool = False


class SyncQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A position to sync from; None: nothing is had. `versions` are added to the token's.

    `oldest_first`: nothing may be left out, so no page is `limited`: what does not fit follows with the next sync.
    `past`: what was said in a conversation before the user came is given too, as far as they may read it.
    """

    user_id: UserId
    since: str | None = None
    versions: dict[ConversationId, int] = {}
    oldest_first: bool = False
    past: bool = True


class MessageSearch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which messages a user looks for: those that all of it is true of."""

    user_id: UserId
    text: str | None = None  # in the content: as it is, no pattern, without regard to case
    conversation_id: ConversationId | None = None
    parent_id: ConversationId | None = None  # in the channels of this space that the user is in
    mentions: bool = False  # the user is mentioned
    before: datetime | None = None
    limit: int = 50


class HistoryQueries(Protocol):
    """What history answers. All raise StoreUnavailable or Unavailable where it cannot."""

    async def position(self, user_id: UserId) -> Position:
        """Give the position of a reader who has everything that is stored now."""
        ...

    async def sync(self, query: SyncQuery) -> SyncAnswer:
        """Give what changed since a position. Raises: Invalid (the token)."""
        ...

    async def conversations(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        """Give a page of the user's conversations. Raises: Invalid (the cursor)."""
        ...

    async def conversation(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        """Give one conversation. Raises: NotAMember, NotFound."""
        ...

    async def messages(
        self, user_id: UserId, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> MessagePage:
        """Give the page next to a seq: the newest without one, just before `before`, or just after `after`.

        Raises: NotAMember, NotFound, Invalid (both `before` and `after`).
        """
        ...

    async def unread(self, user_id: UserId) -> dict[ConversationId, int]:
        """Give the conversations with unread messages and how many in each."""
        ...

    async def receipts(self, user_id: UserId, conversation_id: ConversationId, seq: int) -> tuple[Receipt, ...]:
        """Tell of each other member whether they have received and read a message, by user id; at most 500 of them.

        Raises: NotAMember, NotFound.
        """
        ...

    async def member_page(
        self, user_id: UserId, conversation_id: ConversationId, *, limit: int, cursor: str | None
    ) -> MemberPage:
        """Give a page of the members. Raises: NotAMember, NotFound, Invalid (the cursor)."""
        ...

    async def channels(self, user_id: UserId, space_id: ConversationId) -> tuple[Conversation, ...]:
        """Give the channels of a space that the user is in or may join, by name. Raises: NotAMember, NotFound."""
        ...

    async def conversation_numbered(self, user_id: UserId, number: int) -> ConversationId:
        """Find a conversation by its number: one that the user is in, or may join. Raises: NotFound."""
        ...

    async def message_place(self, user_id: UserId, message: MessageId | int) -> MessagePlace:
        """Find a message by its id or its number. Raises: NotFound, also where the user may not read it."""
        ...

    async def find_messages(self, search: MessageSearch) -> tuple[Message, ...]:
        """Find messages that the user may see, newest first; not what is deleted, for all or for the user.

        A text is looked for in a bounded number of messages: in the newest ones of each conversation, and first of all
        in the conversations in which something happened last. Raises: NotAMember, NotFound, Invalid (a text of more
        than MAX_SEARCH_CHARS).
        """
        ...

    async def conversation_named(self, user_id: UserId, name: str) -> ConversationId:
        """Find a conversation that can hold messages by its exact name; of several, the oldest.

        One that the user is in comes first, then an open one, without a parent or in a space of the user's. Raises:
        NotFound.
        """
        ...

    async def open_channels(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        """Give a page of the channels that anybody may join and that are in no space, by id; `role` None: not joined.

        Raises: Invalid (the cursor).
        """
        ...

    async def open_channel(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        """Give a conversation that the user may join, as one sees it who is not in it: `role` is None.

        Nothing is said of who is in it, or of what they write. Raises: NotFound.
        """
        ...

    async def members(self, conversation_id: ConversationId) -> MemberList:
        """Give a conversation's members; for services, not on a user's behalf. Raises: NotFound."""
        ...
