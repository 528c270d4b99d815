"""The bounded queue of what is to be sent, in order; in a file where it shall outlive the program."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.errors import MessageRefused, OutboxFull, QueueUnavailable

IN_MEMORY = ":memory:"
# The server knows the message by client_id. No token is kept: the file may be read by others, and tokens expire.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL,
    client_id TEXT NOT NULL UNIQUE,
    payload TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_of_user ON messages (user_id, position);
"""


class Sending:
    """A message on its way. `client_id` is what the server knows it by, however often it is sent."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self._settled = threading.Event()
        self._answer: dict[str, Any] = {}
        self._refusal: MessageRefused | None = None

    def done(self) -> bool:
        """Tell whether the server has answered."""
        return self._settled.is_set()

    def result(self, timeout: float = 30.0) -> dict[str, Any]:
        """Wait for the server's answer, `{success, message_id, time}`. Raises: MessageRefused, TimeoutError."""
        if not self._settled.wait(timeout):
            raise TimeoutError(f"No answer to {self.client_id} within {timeout} s; it stays queued.")
        if self._refusal is not None:
            raise self._refusal
        return self._answer

    def settle(self, answer: dict[str, Any]) -> None:
        """Note the server's answer."""
        self._answer = answer
        self._settled.set()

    def refuse(self, refusal: MessageRefused) -> None:
        """Note that the server will not have it."""
        self._refusal = refusal
        self._settled.set()


@dataclass(frozen=True, slots=True)
class Queued:
    """A message to send. `sending` is None where an earlier run of the program queued it."""

    client_id: str
    payload: dict[str, Any]
    sending: Sending | None


class SendQueue:
    """The messages of all users of this client, each user's in the order of sending.

    Thread-safe. A message leaves it when the server has answered, so what a crash interrupts is sent again.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = IN_MEMORY if path is None else str(path)
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._sendings: dict[str, Sending] = {}

    def open(self) -> None:
        """Open the file, and make it where there is none. Again: nothing. Raises: QueueUnavailable."""
        with self._lock:
            if self._database is None:
                with self._translated():
                    self._database = self._connect()

    def close(self) -> None:
        """Close the file. What is queued in memory alone is kept for the next `open`."""
        with self._lock:
            if self._database is not None and (self._path != IN_MEMORY or self._is_empty()):
                self._database.close()
                self._database = None

    def add(self, user_id: str, client_id: str, payload: dict[str, Any], *, limit: int) -> Sending:
        """Queue a message behind the others. Raises: OutboxFull, QueueUnavailable."""
        with self._lock:
            if self.count(user_id) >= limit:
                raise OutboxFull(f"{limit} messages wait for their answer.")
            row = (user_id, client_id, json.dumps(payload))
            self._execute("INSERT INTO messages (user_id, client_id, payload) VALUES (?, ?, ?)", row)
            sending = self._sendings[client_id] = Sending(client_id)
            return sending

    def count(self, user_id: str) -> int:
        """Count what this user has waiting. Raises: QueueUnavailable."""
        ((count,),) = self._execute("SELECT count(*) FROM messages WHERE user_id = ?", (user_id,))
        return int(count)

    def head(self, user_id: str) -> Queued | None:
        """Give this user's first message, which stays. Raises: QueueUnavailable."""
        query = "SELECT client_id, payload FROM messages WHERE user_id = ? ORDER BY position LIMIT 1"
        with self._lock:
            for client_id, payload in self._execute(query, (user_id,)):
                return Queued(client_id, json.loads(payload), self._sendings.get(client_id))
        return None

    def remove(self, client_id: str) -> None:
        """Forget a message that the server has answered. Raises: QueueUnavailable."""
        with self._lock:
            self._sendings.pop(client_id, None)
            self._execute("DELETE FROM messages WHERE client_id = ?", (client_id,))

    def _is_empty(self) -> bool:
        return not self._execute("SELECT 1 FROM messages LIMIT 1", ())

    def _connect(self) -> sqlite3.Connection:
        # The lock serialises the threads, which sqlite3 cannot know.
        database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(_SCHEMA)
        return database

    def _execute(self, statement: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        with self._lock, self._translated():
            if self._database is None:
                raise QueueUnavailable("The queue is closed.")
            return self._database.execute(statement, values).fetchall()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise QueueUnavailable(f"{self._path}: {exc}") from exc
