"""Questions to history and presence for sockets: so many at a time, so that a storm of reconnects waits here."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from shared.errors import Unavailable
from shared.history_api import ConversationPage, HistoryQueries, MessagePage, MessagePlace, SyncAnswer, SyncQuery
from shared.ids import ConversationId, MessageId, UserId
from shared.position import Position
from shared.presence_api import Presence, PresenceQueries

MAX_USER_TURNS = 2


class Turns:
    """So many questions at a time; each has a deadline that begins when its turn comes."""

    def __init__(self, asked: str, *, concurrency: int, timeout_s: float) -> None:
        self._asked = asked
        self._free = asyncio.Semaphore(concurrency)
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the length of the context. Raises: Unavailable, at the deadline."""
        async with self._free:
            try:
                async with asyncio.timeout(self._timeout_s):
                    yield
            except TimeoutError as error:
                raise Unavailable(f"{self._asked} does not answer in time.", retry_after_ms=1000) from error


class BoundedHistory:
    """Asks history."""

    def __init__(self, history: HistoryQueries, *, concurrency: int, timeout_s: float) -> None:
        self._history = history
        self._turns = Turns("History", concurrency=concurrency, timeout_s=timeout_s)
        self._turns_of: weakref.WeakValueDictionary[UserId, asyncio.Semaphore] = weakref.WeakValueDictionary()

    def turns_of(self, user_id: UserId) -> asyncio.Semaphore:
        """Give what all sessions of a user share for what they ask, so that one user never holds up the others."""
        turns = self._turns_of.get(user_id)
        if turns is None:
            turns = self._turns_of[user_id] = asyncio.Semaphore(MAX_USER_TURNS)
        return turns

    async def position(self, user_id: UserId) -> Position:
        """Give the position of a reader who has everything. Raises: Unavailable."""
        async with self._turns.turn():
            return await self._history.position(user_id)

    async def sync(self, query: SyncQuery) -> SyncAnswer:
        """Give what changed since a position. Raises: Unavailable, Invalid (the token)."""
        async with self._turns.turn():
            return await self._history.sync(query)

    async def messages(
        self, user_id: UserId, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> MessagePage:
        """Give a page of a conversation. Raises: Unavailable, NotAMember, NotFound."""
        async with self._turns.turn():
            return await self._history.messages(user_id, conversation_id, before=before, after=after, limit=limit)

    async def conversations(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        """Give a page of a user's conversations. Raises: Unavailable, Invalid (the cursor)."""
        async with self._turns.turn():
            return await self._history.conversations(user_id, limit=limit, cursor=cursor)

    async def conversation_numbered(self, user_id: UserId, number: int) -> ConversationId:
        """Find a conversation by its number. Raises: Unavailable, NotFound."""
        async with self._turns.turn():
            return await self._history.conversation_numbered(user_id, number)

    async def message_place(self, user_id: UserId, message: MessageId | int) -> MessagePlace:
        """Find a message by its id or its number. Raises: Unavailable, NotFound."""
        async with self._turns.turn():
            return await self._history.message_place(user_id, message)


class BoundedPresence:
    """Asks presence."""

    def __init__(self, presence: PresenceQueries, *, concurrency: int, timeout_s: float) -> None:
        self._presence = presence
        self._turns = Turns("Presence", concurrency=concurrency, timeout_s=timeout_s)

    async def presence_of(self, user_ids: Sequence[UserId]) -> tuple[Presence, ...]:
        """Give the presence of each user asked for, in this order. Raises: Unavailable."""
        async with self._turns.turn():
            found = await self._presence.presence_of(user_ids)
        return tuple(found.get(user_id) or Presence(user_id=user_id, status="offline") for user_id in user_ids)
