"""What a dialect may ask of the gateway where a frame or event alone does not say enough."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from gateway.dialects.base import Accepted, Caller
from shared.commands import Acknowledge, Alteration, ConversationKind, CreateConversation, JoinRule, SendMessage
from shared.events import Changed, ConversationCreated, Message, Stored
from shared.history_api import HistoryQueries, MessagePlace
from shared.ids import ConversationId, MessageId, UserId
from shared.presence_api import Presence, PresenceQueries


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """What can be shown of a user; of one without a profile, the id is the name."""

    user_id: UserId
    name: str
    username: str | None = None
    avatar_url: str | None = None


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What can be shown of a conversation; at most a minute old, so nothing is decided by it."""

    id: ConversationId
    number: int
    kind: ConversationKind
    name: str | None
    metadata: msgspec.Raw
    parent_id: ConversationId | None
    join: JoinRule
    member_ids: tuple[UserId, ...]  # empty in rooms of more than 500
    member_count: int

    def peer_of(self, user_id: UserId) -> UserId | None:
        """Name the other one of a direct conversation; of one with oneself, oneself."""
        if self.kind is not ConversationKind.DIRECT:
            return None
        return next((member for member in self.member_ids if member != user_id), user_id)


class World(Protocol):
    """The gateway's services as one user may use them, over a socket or REST.

    All raise WarrenErrors, which can be told to the client.
    """

    @property
    def caller(self) -> Caller:
        """Tell on whose behalf all is asked."""
        ...

    async def check_token(self, token: str) -> None:
        """Refuse a token that does not speak for the caller. Raises: Unauthenticated, Forbidden, Unavailable."""
        ...

    @property
    def history(self) -> HistoryQueries:
        """Give history's queries; they check the user's membership."""
        ...

    @property
    def presence(self) -> PresenceQueries:
        """Give presence's queries."""
        ...

    async def conversation(self, name: str) -> ConversationId:
        """Find a conversation by its id or number. Raises: NotFound (the number).

        An id is given back as it is: whether there is such a conversation is told by what is done with it.
        """
        ...

    async def message(self, name: str) -> MessagePlace:
        """Find a message by its id or number. Raises: NotFound."""
        ...

    async def read_message(self, name: str) -> Message:
        """Read a message by its id or number. Raises: NotFound, NotAMember."""
        ...

    async def room(self, conversation_id: ConversationId) -> Room:
        """Tell what a conversation is. Raises: NotFound, NotAMember."""
        ...

    async def people(self, user_ids: Iterable[UserId]) -> Mapping[UserId, Person]:
        """Tell who users are, every one that is asked for."""
        ...

    async def send(self, command: SendMessage) -> Stored | Accepted:
        """Have a message stored, or at least safe with the broker. Raises: what it was refused for, Unavailable."""
        ...

    async def create(self, command: CreateConversation) -> ConversationCreated:
        """Have a conversation made; there may be one of that id already. Raises likewise."""
        ...

    async def alter(self, command: Alteration) -> Changed:
        """Have something changed. Raises likewise."""
        ...

    def acknowledge(self, ack: Acknowledge) -> None:
        """Note that messages were received or read. Raises: QueueFull."""
        ...

    async def settle(self, ack: Acknowledge) -> None:
        """Note the same, and wait until it counts, a second at most: what is asked next sees it. Raises: QueueFull."""
        ...

    def new_message_id(self) -> MessageId:
        """Make a new id, for a message or a change."""
        ...

    def now(self) -> datetime:
        """Give the time of day."""
        ...


class SocketWorld(World, Protocol):
    """The world of one session."""

    async def watch(self, user_ids: Iterable[UserId]) -> tuple[Presence, ...]:
        """Have the session told of these users' presence from now on, and tell what it is now. Raises: TooLarge."""
        ...

    def unwatch(self, user_ids: Iterable[UserId]) -> None:
        """Have the session told of these users' presence no more."""
        ...

    async def arrived(self) -> None:
        """Wait until presence lists the session's device, so long as the setting says: whoever asks next sees it."""
        ...
