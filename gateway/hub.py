"""The sessions of this gateway: who is here, and how an event reaches them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from gateway import metrics
from gateway.dialects.base import Pushed
from gateway.disconnects import Disconnect
from gateway.feed import Push
from shared import events
from shared.ids import SessionId, UserId

if TYPE_CHECKING:
    from gateway.session import Session


class Hub:
    """Finds sessions by id and by user. Nothing here waits for a client."""

    def __init__(self) -> None:
        self._sessions: dict[SessionId, Session] = {}
        self._by_user: dict[UserId, dict[SessionId, Session]] = {}
        self._by_address: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def get(self, session_id: SessionId) -> Session | None:
        """Find one session."""
        return self._sessions.get(session_id)

    def of_user(self, user_id: UserId) -> tuple[Session, ...]:
        """Find all sessions of a user."""
        return tuple(self._by_user.get(user_id, {}).values())

    @contextmanager
    def connected(self, address: str) -> Iterator[int]:
        """Count a connection from its upgrade to its end; gives how many its network address has with it."""
        self._by_address[address] += 1
        try:
            yield self._by_address[address]
        finally:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def add(self, session: Session) -> None:
        """Let a session be found."""
        self._sessions[session.id] = session
        self._by_user.setdefault(session.user_id, {})[session.id] = session
        self._empty.clear()
        metrics.SESSIONS.set(len(self._sessions))

    def replace(self, about: events.Session) -> None:
        """Close the older sessions that a new one, here or on another gateway, takes over from."""
        if not about.takes_over:
            return
        for session in self.of_user(about.user_id):
            if _is_older(session.about, about):
                session.close(Disconnect.REPLACED)

    def remove(self, session: Session) -> None:
        """Forget a session."""
        del self._sessions[session.id]
        of_user = self._by_user[session.user_id]
        del of_user[session.id]
        if not of_user:
            del self._by_user[session.user_id]
        if not self._sessions:
            self._empty.set()
        metrics.SESSIONS.set(len(self._sessions))

    async def wait_until_empty(self) -> None:
        """Wait until the last session is gone."""
        await self._empty.wait()

    def push(self, event: Pushed, user_ids: Iterable[UserId], at: datetime | None = None) -> None:
        """Offer an event to every session of these users; it is encoded once for all that write it alike."""
        push = Push(event, at)
        for user_id in user_ids:
            of_user = self._by_user.get(user_id)
            if of_user is not None:
                for session in tuple(of_user.values()):
                    session.feed.offer(push)


def _is_older(one: events.Session, other: events.Session) -> bool:
    same = (one.device.id, one.dialect) == (other.device.id, other.dialect)
    return same and (one.opened_at, one.id) < (other.opened_at, other.id)
