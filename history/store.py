"""The store of conversations, messages and watermarks as a port, with what it guarantees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from history.custody import Custody
from history.reading import LogReader
from history.sequence import Appended
from shared.commands import Acknowledge, Alteration, ConversationKind, CreateConversation, SendMessage, Stage
from shared.errors import WarrenError
from shared.events import ConversationChanged, Entry
from shared.history_api import Watermark
from shared.ids import ConversationId, GatewayId, MessageId, UserId


@dataclass(frozen=True, slots=True)
class Created:
    """A conversation that is there after a CreateConversation, made by it or before it."""

    conversation_id: ConversationId
    number: int
    kind: ConversationKind
    created: bool
    entry: ConversationChanged | None = (
        None  # the first of its log; a direct conversation begins with its first message
    )


@dataclass(frozen=True, slots=True)
class Altered:
    """What came of an alteration."""

    entry: Entry | None  # None: all was so already
    version: int  # of the log with it, or as it is
    repeat: bool = False  # an earlier handling of the same command made the entry


NO_GATEWAYS: Mapping[MessageId, GatewayId] = {}

Reader: TypeAlias = tuple[ConversationId, UserId]


@dataclass(frozen=True, slots=True)
class Advanced:
    """Where a reader's watermark stands after acknowledgements, and which of its stages these moved."""

    watermark: Watermark
    moved: frozenset[Stage]
    audience: tuple[UserId, ...]  # every member; in a large room the reader alone


class LogWriter(Protocol):
    """Conversations, messages and watermarks. What a call has returned is durable and visible to every later call.

    Every method raises StoreUnavailable where the database cannot be reached or does not answer in time; what was
    asked may then have been done or not, and asking again is safe. Cancelling leaves the same doubt.
    """

    async def take_over(self) -> None:
        """Begin to write where another process may have written; nothing that was read before is relied on."""
        ...

    async def append(
        self,
        commands: Sequence[SendMessage],
        *,
        at: datetime,
        repeated: bool,
        via: Mapping[MessageId, GatewayId] = NO_GATEWAYS,
    ) -> list[Appended | WarrenError]:
        """Give each message its place in its conversation and make it durable; one result a command, in order.

        Idempotent by (conversation_id, sender_id, client_id): a repeat gives the message stored first. `seq` and
        `version` have no gaps whatever fails, and `created_at` never runs backwards in a conversation. Makes the direct
        conversation of a command with `to` where it is missing. `repeated` says that some may have been here before: a
        hint. `via` names the gateways that took the messages.

        Gives NotAMember, NotFound, Invalid (`to` does not fit the conversation, it is a space, the message replied to
        is not in it, who is mentioned neither), Conflict (the message id is taken).
        """
        ...

    async def advance(
        self, acknowledgements: Sequence[Acknowledge], *, at: datetime
    ) -> dict[Reader, Advanced | WarrenError]:
        """Move watermarks forward, never back or past the last message; read implies delivered. Idempotent.

        What is before a member's first message moves nothing. The last 100 moves are kept with their times.

        Gives NotAMember, NotFound.
        """
        ...

    async def create(self, commands: Sequence[CreateConversation], *, at: datetime) -> list[Created | WarrenError]:
        """Make conversations, one result a command, in order. Idempotent by conversation id.

        Gives Invalid, TooLarge, NotAMember (the id is taken by others' conversation; the creator is not in the space).
        """
        ...

    async def alter(self, command: Alteration, *, at: datetime) -> Altered | WarrenError:
        """Carry out a change of a conversation, its messages or members: wholly, with its entry in the log, or not.

        Idempotent by change_id: a repeat gives the entry made first. `version` has no gaps whatever fails, and the time
        of entries never runs backwards in a conversation.

        Gives what `history.permissions` refuses, NotFound, Conflict (the change id is taken).
        """
        ...

    async def channels_left_over(self, space_id: ConversationId, user_id: UserId) -> list[ConversationId]:
        """Give the channels that a user is in now, though not in their space: none where they have come back to it."""
        ...


class MessageStore(LogWriter, LogReader, Custody, Protocol):
    """The whole store."""

    async def ping(self) -> bool:
        """Tell whether the database answers; never raises."""
        ...
