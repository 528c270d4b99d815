"""Runs a program's callbacks on one thread, one after the other, so that a slow one delays no heartbeat."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from client.websocket_line import PATIENCE_S

Call: TypeAlias = Callable[[], object]

log = logging.getLogger("warren.websocket_client")


class Callbacks:
    """A queue of calls. Notices are always taken, messages up to a limit: the server pushes the others again."""

    def __init__(self, *, max_messages: int) -> None:
        self._max_messages = max_messages
        self._changed = threading.Condition()
        self._calls: deque[tuple[Call, bool]] = deque()
        self._messages = 0
        self._closed = False
        self._finishing = False
        self._thread = threading.Thread(target=self._run, name="websocket_client.callbacks", daemon=True)

    def start(self) -> None:
        """Begin to run them."""
        self._thread.start()

    def notify(self, call: Call) -> None:
        """Queue a notice."""
        with self._changed:
            self._calls.append((call, False))
            self._changed.notify_all()

    def deliver(self, call: Call) -> bool:
        """Queue a message. False: there are too many, or it is too late."""
        with self._changed:
            if self._closed or self._messages >= self._max_messages:
                return False
            self._messages += 1
            self._calls.append((call, True))
            self._changed.notify_all()
            return True

    def wait_drained(self, timeout_s: float) -> None:
        """Wait until no message waits, or none is wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._messages, timeout_s)

    def stop_messages(self) -> None:
        """Take no more messages and leave out those that wait: unacknowledged, they come again."""
        with self._changed:
            self._closed = True
            self._calls = deque(call for call in self._calls if not call[1])
            self._changed.notify_all()

    def finish(self) -> None:
        """End after the notices that wait."""
        with self._changed:
            self._finishing = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the end, except in a callback."""
        if threading.current_thread() is self._thread:
            return
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            log.warning("A callback is still running after %s s; it is left behind.", PATIENCE_S)

    def _run(self) -> None:
        while (call := self._next()) is not None:
            _guarded(call[0])
            if call[1]:
                with self._changed:
                    self._messages -= 1
                    self._changed.notify_all()

    def _next(self) -> tuple[Call, bool] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._calls or self._finishing)
            return self._calls.popleft() if self._calls else None


def _guarded(call: Call) -> None:
    try:
        call()
    except Exception:  # the program's own error must not end the client
        log.exception("A callback failed.")
