"""The store of conversations, messages and watermarks as a port, with what it guarantees."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

import msgspec

from history.sequence import Appended
from shared.commands import Acknowledge, ConversationKind, CreateConversation, SendMessage, Stage
from shared.errors import WarrenError
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, UserId


@dataclass(frozen=True, slots=True)
class Created:
    """A conversation that is there after a CreateConversation, made by it or before it."""

    conversation_id: ConversationId
    number: int
    kind: ConversationKind
    created: bool


Reader: TypeAlias = tuple[ConversationId, UserId]


@dataclass(frozen=True, slots=True)
class Advanced:
    """Where a reader's watermark stands after acknowledgements, and which of its stages these moved."""

    watermark: Watermark
    moved: frozenset[Stage]
    audience: tuple[UserId, ...]


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's place in a conversation."""

    watermark: Watermark
    joined_at: datetime
    role: str


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of a conversation's log; a conversation without messages has none."""

    seq: int
    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation without what depends on who asks."""

    id: ConversationId
    number: int
    kind: ConversationKind
    member_ids: tuple[UserId, ...]
    created_at: datetime
    name: str | None
    metadata: msgspec.Raw
    last_message: Message | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a conversation's log."""

    message: Message
    previous_at: datetime | None


class MessageStore(Protocol):
    """Conversations, messages and watermarks. What a call has returned is durable and visible to every later call.

    Every method raises StoreUnavailable where the database cannot be reached or does not answer in time; what was
    asked may then have been done or not, and asking again is safe. Cancelling leaves the same doubt.
    """

    async def append(
        self, commands: Sequence[SendMessage], *, at: datetime, repeated: bool
    ) -> list[Appended | WarrenError]:
        """Give each message its place in its conversation and make it durable; one result a command, in order.

        Idempotent by (conversation_id, sender_id, client_id): a repeat gives the message stored first. `seq` has no
        gaps whatever fails, and `created_at` never runs backwards in a conversation. Makes the direct conversation of
        a command with `to` where it is missing. `repeated` says that some may have been here before: a hint.

        Gives NotAMember, NotFound, Invalid (`to` does not fit the conversation), Conflict (the message id is taken).
        """
        ...

    async def advance(
        self, acknowledgements: Sequence[Acknowledge], *, at: datetime
    ) -> dict[Reader, Advanced | WarrenError]:
        """Move watermarks forward, never back or past the last message; read implies delivered. Idempotent.

        Gives NotAMember, NotFound.
        """
        ...

    async def create(self, commands: Sequence[CreateConversation], *, at: datetime) -> list[Created | WarrenError]:
        """Make conversations, one result a command, in order. Idempotent by conversation id.

        Gives Invalid, TooLarge, NotAMember (the id is taken by others' conversation).
        """
        ...

    async def memberships(self, user_id: UserId) -> dict[ConversationId, Membership]:
        """Give all conversations of a user."""
        ...

    async def tips(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Tip]:
        """Give the ends of conversations' logs."""
        ...

    async def records(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Record]:
        """Give those of the conversations that exist."""
        ...

    async def watermarks(
        self, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, tuple[Watermark, ...]]:
        """Give the watermarks of every member, by user id."""
        ...

    async def acknowledged_after(
        self, conversation_ids: Collection[ConversationId], moment: datetime
    ) -> set[ConversationId]:
        """Give those of the conversations in which a watermark moved after a moment."""
        ...

    async def changes(
        self, conversation_id: ConversationId, *, version: int | None, floor: datetime, limit: int
    ) -> list[Change]:
        """Give the newest changes, in version order: after `version`, or without one after the time `floor`."""
        ...

    async def messages(
        self, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> list[Message]:
        """Give messages in seq order: the first after `after`, or else the last before `before` or of all."""
        ...

    async def unread(self, user_id: UserId, after: Mapping[ConversationId, int]) -> dict[ConversationId, int]:
        """Count the messages of others after a seq, for the conversations where there are any."""
        ...

    async def ping(self) -> bool:
        """Tell whether the database answers; never raises."""
        ...
