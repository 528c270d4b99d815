"""What a client tells its program, and the bounded buffer between the two."""

import asyncio
from collections import deque
from datetime import datetime
from enum import Enum
from typing import TypeAlias, TypeVar

import msgspec

from client.wire import Message, Room, Stage


class ConnectionState(Enum):
    """Where the connection stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"  # lost; the next attempt follows
    CLOSED = "closed"


class ConnectionChanged(msgspec.Struct, frozen=True):
    """The connection was made, lost or closed."""

    state: ConnectionState
    retry_in_s: float | None = None


class MessageReceived(msgspec.Struct, frozen=True):
    """The next message of its conversation: once, in order, own messages among them."""

    message: Message


class MessageEdited(msgspec.Struct, frozen=True):
    """A message has another content; it is here as it is now."""

    message: Message


class MessageDeleted(msgspec.Struct, frozen=True):
    """A message is gone, for everyone or for this user; its place stays."""

    message: Message


class ReactionChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A member reacted to a message, or took that back."""

    conversation_id: str
    version: int
    message_id: str
    seq: int  # of the message
    user_id: str
    emoji: str
    removed: bool = False
    at: datetime | None = None


class ConversationChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation was made, or it or its members changed: `conversation` is as it is now.

    `change`: created, updated, member_added, member_removed, role_changed; `user_ids`: who was added, removed, or has
    another role. Without an actor it was the operator.
    """

    conversation_id: str
    version: int
    change: str
    conversation: Room
    actor_id: str | None = None
    user_ids: tuple[str, ...] = ()
    role: str | None = None
    at: datetime | None = None


class ReceiptAdvanced(msgspec.Struct, frozen=True, kw_only=True):
    """A reader's watermark moved: everything up to `seq` is delivered to them, or read by them."""

    conversation_id: str
    user_id: str
    stage: Stage
    seq: int
    at: datetime | None = None


class MessageFailed(msgspec.Struct, frozen=True, kw_only=True):
    """One of our messages had been accepted and was given up."""

    conversation_id: str
    message_id: str
    client_id: str
    code: str


class Typing(msgspec.Struct, frozen=True, kw_only=True):
    """A member started or stopped typing; without a stop it expires after 5 s."""

    conversation_id: str
    user_id: str
    active: bool
    name: str = ""


class PresenceChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A user came or went, or wants to be seen otherwise; for one's own sessions `status` is the one chosen."""

    user_id: str
    status: str  # online, away, dnd, offline; one's own also invisible
    last_seen: datetime | None = None
    devices: int = 0
    text: str = ""


class PresenceAnswer(msgspec.Struct, frozen=True):
    """The presence of users that were asked for."""

    presence: tuple[PresenceChanged, ...] = ()


class Truncated(msgspec.Struct, frozen=True, kw_only=True):
    """So much was missed that messages before seq `before` do not come as events; `history` has them."""

    conversation_id: str
    before: int


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """So much was missed that changes of messages up to seq `up_to` do not come as events; `history` has them anew."""

    conversation_id: str
    up_to: int


class EventsDropped(msgspec.Struct, frozen=True):
    """The program read too slowly: this many of the oldest unread events are gone."""

    count: int


# An entry of a conversation's log: each has its version, and comes once and in order.
Entry: TypeAlias = MessageReceived | MessageEdited | MessageDeleted | ReactionChanged | ConversationChanged
Event: TypeAlias = (
    Entry
    | ConnectionChanged
    | ReceiptAdvanced
    | MessageFailed
    | Typing
    | PresenceChanged
    | Truncated
    | Stale
    | EventsDropped
)
E = TypeVar("E", bound=Event)


class EventBuffer:
    """Bounded buffer of events; a full one drops the oldest and says how many with `EventsDropped`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._dropped = 0
        self._some = asyncio.Event()
        self._error: Exception | None = None

    def put(self, event: Event) -> None:
        """Add an event; never waits."""
        if len(self._events) >= self._limit:
            self._events.popleft()
            self._dropped += 1
        self._events.append(event)
        self._some.set()

    def end(self, error: Exception) -> None:
        """Let readers have what is left, then raise `error` to them."""
        self._error = error
        self._some.set()

    async def get(self) -> Event:
        """Take the next event. Cancelling loses nothing. Raises: what `end` was given."""
        while not self._events:
            if self._error is not None:
                raise self._error
            self._some.clear()
            await self._some.wait()
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return EventsDropped(count)
        return self._events.popleft()
