"""What history reads from its store, as a port."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from shared.commands import ConversationKind
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, UserId


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


class LogReader(Protocol):
    """Conversations, messages and watermarks, as a majority has them.

    Every method raises StoreUnavailable where the database cannot be reached or does not answer in time.
    """

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
