"""What operators do with users' data, as a port of the store: take stock of it, remove it, let it expire."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from shared.commands import Stage
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, MessageId, UserId


@dataclass(frozen=True, slots=True)
class Move:
    """A step of a user's watermark."""

    stage: Stage
    seq: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """A user's place in a conversation, now or once."""

    conversation_id: ConversationId
    role: str
    joined_at: datetime
    left_at: datetime | None
    watermark: Watermark
    moves: tuple[Move, ...] = ()  # the last ones of each stage

    @property
    def present(self) -> bool:
        """Tell whether the user is a member now."""
        return self.left_at is None


@dataclass(frozen=True, slots=True)
class Wording:
    """What a message said before an edit."""

    until: datetime
    content: str
    metadata: msgspec.Raw
    mentions: tuple[UserId, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as it is now, and what it said before; oldest first."""

    message: Message
    wordings: tuple[Wording, ...] = ()


@dataclass(frozen=True, slots=True)
class Reaction:
    """A user's reaction to a message."""

    message_id: MessageId
    emoji: str


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a conversation's log begins now."""

    conversation_id: ConversationId
    at: datetime | None  # of its first entry; None: the log is empty


class Custody(Protocol):
    """The data of users and their age.

    Every method raises StoreUnavailable where the database cannot be reached or does not answer in time. What is done
    twice is done once; so whatever was cut off is simply done again.
    """

    async def places(self, user_id: UserId) -> list[Place]:
        """Give a user's places in all conversations, those that they have left too, by conversation id."""
        ...

    async def sent(self, conversation_id: ConversationId, user_id: UserId, *, after: str, limit: int) -> Sequence[Sent]:
        """Give messages of a user, deleted ones too, by client id: the first ones after a client id, or after ""."""
        ...

    async def reactions_of(
        self, conversation_id: ConversationId, user_id: UserId, *, after: int, until: int
    ) -> Sequence[Reaction]:
        """Give a user's reactions to the messages stored after a version, up to and with another."""
        ...

    async def withdraw_reactions(
        self, conversation_id: ConversationId, user_id: UserId, *, after: int, until: int
    ) -> None:
        """Take a user's reactions out of what a part of the log says, where no command can: they have left."""
        ...

    async def blank_name(self, conversation_id: ConversationId, user_id: UserId) -> None:
        """Let the user's messages be nobody's by name; their id stays, which is what tells members apart."""
        ...

    async def retention_days(self) -> int | None:
        """Give how long messages are kept; None: for ever."""
        ...

    async def set_retention_days(self, days: int | None) -> None:
        """Set how long messages are kept."""
        ...

    async def take_lease(self, name: str, holder: str, *, at: datetime, until: datetime) -> bool:
        """Be the one who does something until a time, again or anew; False: it is another, whose time is not over."""
        ...

    async def beginnings(self, after: ConversationId | None, limit: int) -> Sequence[Beginning]:
        """Give where logs begin, by conversation id: the first ones after a conversation, or of all."""
        ...

    async def remove_before(self, conversation_id: ConversationId, moment: datetime, limit: int) -> int:
        """Remove the first entries of a log that are older than a moment, never its last one; tells how many."""
        ...
