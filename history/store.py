"""The store of conversations, messages and watermarks as a port, with what it guarantees."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from history.reading import LogReader
from history.sequence import Appended
from shared.commands import Acknowledge, ConversationKind, CreateConversation, SendMessage, Stage
from shared.errors import WarrenError
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


class LogWriter(Protocol):
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


class MessageStore(LogWriter, LogReader, Protocol):
    """The whole store."""

    async def ping(self) -> bool:
        """Tell whether the database answers; never raises."""
        ...
