"""History's answers for sockets: a bounded number of questions at a time, so that a storm of reconnects waits here."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.errors import Unavailable
from shared.history_api import HistoryQueries, MessagePage, SyncAnswer, SyncQuery
from shared.ids import ConversationId, UserId
from shared.position import Position

MAX_USER_TURNS = 2


class BoundedHistory:
    """Asks history; each question has a deadline that begins when its turn comes."""

    def __init__(self, history: HistoryQueries, *, concurrency: int, timeout_s: float) -> None:
        self._history = history
        self._turns = asyncio.Semaphore(concurrency)
        self._turns_of: weakref.WeakValueDictionary[UserId, asyncio.Semaphore] = weakref.WeakValueDictionary()
        self._timeout_s = timeout_s

    def turns_of(self, user_id: UserId) -> asyncio.Semaphore:
        """Give what all sessions of a user share for what they ask, so that one user never holds up the others."""
        turns = self._turns_of.get(user_id)
        if turns is None:
            turns = self._turns_of[user_id] = asyncio.Semaphore(MAX_USER_TURNS)
        return turns

    async def position(self, user_id: UserId) -> Position:
        """Give the position of a reader who has everything. Raises: Unavailable."""
        async with self._turn():
            return await self._history.position(user_id)

    async def sync(self, query: SyncQuery) -> SyncAnswer:
        """Give what changed since a position. Raises: Unavailable, Invalid (the token)."""
        async with self._turn():
            return await self._history.sync(query)

    async def messages(
        self, user_id: UserId, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> MessagePage:
        """Give a page of a conversation. Raises: Unavailable, NotAMember, NotFound."""
        async with self._turn():
            return await self._history.messages(user_id, conversation_id, before=before, after=after, limit=limit)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        async with self._turns:
            try:
                async with asyncio.timeout(self._timeout_s):
                    yield
            except TimeoutError as error:
                raise Unavailable("History does not answer in time.", retry_after_ms=1000) from error
