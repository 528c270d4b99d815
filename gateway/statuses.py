"""How users want to be seen, on its way to presence."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from shared.broker.api import Publisher
from shared.broker.topology import SESSIONS_ROUTE
from shared.commands import SetStatus
from shared.envelope import Envelope
from shared.errors import Unavailable, WarrenError
from shared.ids import NewId

Answered: TypeAlias = Callable[[WarrenError | None], None]


class Statuses:
    """Posts among the session events, so that presence handles them in the order in which they came to be."""

    def __init__(self, publisher: Publisher, *, new_id: NewId) -> None:
        self._publisher = publisher
        self._new_id = new_id

    def choose(self, command: SetStatus, answered: Answered) -> None:
        """Send a status; `answered` hears whether the broker has confirmed it. Raises: Unavailable."""
        envelope_id = self._new_id()
        envelope = Envelope(id=envelope_id, trace_id=envelope_id, occurred_at=command.at, body=command)
        self._publisher.post(SESSIONS_ROUTE, envelope).add_done_callback(lambda posted: answered(_outcome(posted)))


def _outcome(posted: "asyncio.Future[None]") -> WarrenError | None:
    error = posted.exception()
    return None if error is None else Unavailable(f"It cannot be taken now: {error}", retry_after_ms=1000)
