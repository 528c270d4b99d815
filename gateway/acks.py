"""Acknowledgements of clients, merged for a moment before they go to history: receipts are watermarks."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

from gateway import metrics
from shared.broker.api import Publisher
from shared.broker.topology import Topology
from shared.clock import Clock
from shared.commands import Acknowledge, Stage
from shared.envelope import Envelope
from shared.errors import QueueFull, Unavailable, WarrenError
from shared.ids import ConversationId, NewId, UserId

MAX_WAITING = 100_000
MAX_USER_WAITING = 1_000
FLUSH_S = 0.1

Key: TypeAlias = tuple[ConversationId, UserId, Stage]
Answered: TypeAlias = Callable[[WarrenError | None], None]


class Acks:
    """Keeps the highest seq of each (conversation, user, stage) until the next flush."""

    def __init__(self, publisher: Publisher, topology: Topology, *, clock: Clock, new_id: NewId) -> None:
        self._publisher = publisher
        self._topology = topology
        self._clock = clock
        self._new_id = new_id
        self._waiting: dict[Key, Acknowledge] = {}
        self._waiting_of: Counter[UserId] = Counter()
        self._askers: list[tuple[Key, Answered]] = []

    def take(self, ack: Acknowledge, answered: Answered | None = None) -> None:
        """Note an acknowledgement; `answered` hears whether the broker has confirmed it. Raises: QueueFull."""
        key = (ack.conversation_id, ack.user_id, ack.stage)
        full = len(self._waiting) >= MAX_WAITING or self._waiting_of[ack.user_id] >= MAX_USER_WAITING
        if key not in self._waiting and full:
            raise QueueFull("Too many acknowledgements wait.", retry_after_ms=1000)
        self._merge(key, ack)
        if answered is not None:
            self._askers.append((key, answered))
        metrics.ACKS.labels("taken").inc()

    async def flush(self) -> None:
        """Publish what waits. What fails is merged with what comes meanwhile and goes with the next flush."""
        acks, self._waiting = self._waiting, {}
        askers, self._askers = self._askers, []
        self._waiting_of.clear()
        if not acks:
            return
        posted: dict[Key, asyncio.Future[None] | Unavailable] = {key: self._post(ack) for key, ack in acks.items()}
        batches = {future for future in posted.values() if isinstance(future, asyncio.Future)}
        if batches:
            await asyncio.wait(batches)
        outcomes = {key: _outcome(future) for key, future in posted.items()}
        for key, error in outcomes.items():
            if error is not None:
                self._merge(key, acks[key])
        for key, answered in askers:
            answered(outcomes[key])

    def _merge(self, key: Key, ack: Acknowledge) -> None:
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting_of[ack.user_id] += 1
        if waiting is None or ack.seq > waiting.seq:
            self._waiting[key] = ack

    def _post(self, ack: Acknowledge) -> "asyncio.Future[None] | Unavailable":
        envelope_id = self._new_id()
        envelope = Envelope(id=envelope_id, trace_id=envelope_id, occurred_at=self._clock.now(), body=ack)
        try:
            future = self._publisher.post(self._topology.commands_route(ack.conversation_id), envelope)
        except Unavailable as error:
            return error
        metrics.ACKS.labels("posted").inc()
        return future


def _outcome(posted: "asyncio.Future[None] | Unavailable") -> WarrenError | None:
    error = posted.exception() if isinstance(posted, asyncio.Future) else posted
    return None if error is None else Unavailable(f"It cannot be taken now: {error}", retry_after_ms=1000)
