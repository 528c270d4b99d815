"""Messages on their way to the server, in order, until their fate is known. Pure: no clock, no socket."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from client.errors import OutboxFull


@dataclass(slots=True)
class _Entry:
    order: int
    frame: bytes
    queued: bool = True


class Outbox:
    """Keeps each message, by its client_id, until it is stored or failed, so that a lost connection loses nothing.

    Nothing is doubled either: sending a client_id again yields the message that the server stored first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[str, _Entry] = {}  # in the order of sending
        self._queue: list[tuple[int, str]] = []  # heap of what to send; entries settled since are skipped
        self._orders = 0
        self._paused_until = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, client_id: str, frame: bytes) -> None:
        """Queue a message behind the others. Raises: OutboxFull."""
        if len(self._entries) >= self._limit:
            raise OutboxFull(f"{self._limit} messages wait for their answer.")
        self._orders += 1
        self._entries[client_id] = _Entry(self._orders, frame)
        heapq.heappush(self._queue, (self._orders, client_id))

    def due(self, now: float) -> Sequence[bytes]:
        """Take the frames to send now, in order."""
        if now < self._paused_until:
            return ()
        frames = []
        while self._queue:
            order, client_id = heapq.heappop(self._queue)
            entry = self._entries.get(client_id)
            if entry is not None and entry.order == order and entry.queued:
                entry.queued = False
                frames.append(entry.frame)
        return frames

    def settle(self, client_id: str) -> bool:
        """Note that the message's fate is known. False where it was already."""
        return self._entries.pop(client_id, None) is not None

    def postpone(self, client_id: str, until: float) -> bool:
        """Send it again, and nothing before `until`: the server asked for a pause. False where it is settled."""
        entry = self._entries.get(client_id)
        if entry is None:
            return False
        self._paused_until = max(self._paused_until, until)
        self._requeue(client_id, entry)
        return True

    def requeue(self) -> None:
        """After a lost connection: send everything unsettled again, in order, also what was only accepted."""
        for client_id, entry in self._entries.items():
            self._requeue(client_id, entry)

    def _requeue(self, client_id: str, entry: _Entry) -> None:
        if not entry.queued:
            entry.queued = True
            heapq.heappush(self._queue, (entry.order, client_id))
