"""Keeps one user registered: connects, registers, sends what is queued, beats, and comes back. One thread."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from client.backoff import exponential_s
from client.errors import (
    ClientError,
    ConnectionLost,
    MessageRefused,
    QueueUnavailable,
    ServerError,
    Unreachable,
)
from client.websocket_callbacks import Callbacks
from client.websocket_line import Answer, Line
from client.websocket_queue import Queued, SendQueue
from client.websocket_receipts import Arrival, Mailbox, ReceiptKey, receipt_of
from client.websocket_settings import ConnectionStatus, Happening, Registration, Tuning

# The server's passing troubles: the same request may succeed later.
TRANSIENT = frozenset({"unavailable", "rate_limited"})
KICKED = "kicked"
log = logging.getLogger("warren.websocket_client")


class Link:
    """One user's stay with the server, from `start` to `stop`, or until the server wants no more of it.

    `tell(happening, *arguments)` and `hear(event, data)` call the program back, on a thread of their own. The first
    tells whether the program listens, the second passes the server's events on.
    """

    def __init__(
        self,
        registration: Registration,
        tuning: Tuning,
        queue: SendQueue,
        mailbox: Mailbox,
        *,
        tell: Callable[..., bool],
        hear: Callable[[str, Any], None],
    ) -> None:
        self._registration = registration
        self._user = str(registration.user_id)
        self._tuning = tuning
        self._queue = queue
        self._received = mailbox.received
        self._receipts = mailbox.receipts
        self._tell = tell
        self._hear = hear
        self._callbacks = Callbacks(max_messages=tuning.max_received)
        self._changed = threading.Condition(threading.RLock())
        self._wake = threading.Event()
        self._over = threading.Event()
        self._status = ConnectionStatus.DISCONNECTED
        self._line: Line | None = None  # registered
        self._opening: Line | None = None
        self._overflowed = False
        self._tried = False  # the first attempt is over
        self._refusal: ServerError | None = None
        self._paused_until = 0.0
        self._pauses = 0
        self._thread = threading.Thread(target=self._run, name="websocket_client.link", daemon=True)

    # --- what a program asks for, on its own threads

    @property
    def status(self) -> ConnectionStatus:
        """How it stands."""
        return self._status

    @property
    def connected(self) -> bool:
        """Whether it is registered."""
        line = self._line
        return line is not None and not line.ended

    @property
    def over(self) -> bool:
        """Whether it is at an end, or about to be."""
        return self._over.is_set()

    def start(self) -> bool:
        """Begin, and wait for the first attempt's end. False: it goes on trying. Raises: ServerError (refused)."""
        self._received.forget_underway()
        self._callbacks.start()
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._tried)
        if self._refusal is not None:
            self.stop()
            raise self._refusal
        return self.connected

    def nudge(self) -> None:
        """Have a look at the queue."""
        self._wake.set()

    def request(self, event: str, data: Answer, timeout_s: float) -> Answer:
        """Ask the server. Raises: ConnectionLost, ServerError."""
        line = self._line
        if line is None:
            raise ConnectionLost("Not connected.")
        return _granted(line.request(event, data, timeout_s=timeout_s))

    def say_receipt(self, event: str, receipt: Answer) -> None:
        """Tell the server what became of a message: now, or as soon as there is a connection."""
        key = self._receipts.add(event, receipt)
        line = self._line
        if line is not None:
            self._post_receipt(line, key, receipt)

    def settle(self, timeout_s: float) -> bool:
        """Wait until the server has answered all that was sent, while it is connected."""
        with self._changed:
            self._changed.wait_for(lambda: self._line is None or not self._unsettled(), timeout_s)
            return not self._unsettled()

    def stop(self) -> None:
        """Disconnect, from any thread; after it no thread is left, but that of the callback which called it."""
        self._finish()
        for line in (self._opening, self._line):
            if line is not None:
                line.end()
        self._thread.join()
        self._callbacks.join()

    # --- the thread

    def _run(self) -> None:
        attempts = 0
        self._move_to(ConnectionStatus.CONNECTING)
        try:
            while not self.over:
                attempts = 1 if self._stay() else attempts + 1
                self._first_attempt_ended()
                self._await_next(attempts)
        finally:
            self._finish()
            self._move_to(ConnectionStatus.DISCONNECTED)
            self._first_attempt_ended()
            self._callbacks.finish()

    def _stay(self) -> bool:
        """Connect and stay until the connection is lost. False: it came to no registration."""
        registered = False
        try:
            with self._connected() as line:
                self._register(line)
                registered = True
                self._first_attempt_ended()
                self._serve(line)
        except (Unreachable, ConnectionLost) as exc:
            log.info("The connection to the server failed: %s", exc)
        except QueueUnavailable as exc:
            self._notify_error(exc)
        except ServerError as exc:
            self._notify_error(exc)
            if exc.code not in TRANSIENT:
                self._refusal = exc
                self._finish()
        return registered

    @contextmanager
    def _connected(self) -> Iterator[Line]:
        self._opening = line = Line(self._take, self._wake.set)
        here = self._registration
        line.open(here.url, path=here.path, timeout_s=self._tuning.answer_timeout)
        try:
            yield line
        except ConnectionLost:
            line.drop()  # a server that does not answer would not answer a goodbye
            raise
        finally:
            line.end()
            self._leave()
            line.close()

    def _leave(self) -> None:
        """Tell the program at once: closing the transport takes its time."""
        if self._line is None:
            return
        self._set_line(None)
        self._callbacks.notify(partial(self._tell, Happening.DISCONNECT))
        if not self.over:
            self._move_to(ConnectionStatus.RECONNECTING)

    def _register(self, line: Line) -> None:
        here = self._registration
        request = {
            "user_id": here.user_id,
            "token": here.token,
            "connection_id": str(uuid4()),
            "device_id": here.device_id,
            "device_info": dict(here.device_info),
        }

        def registered(answer: Answer) -> None:  # on the reading thread: told before the messages that follow
            if answer.get("success") is True:
                self._set_line(line)
                self._move_to(ConnectionStatus.CONNECTED)
                self._callbacks.notify(partial(self._tell, Happening.CONNECT))

        _granted(line.request("register", request, timeout_s=self._tuning.answer_timeout, then=registered))
        self._connection_id = request["connection_id"]
        for key, receipt in self._receipts.unconfirmed():
            self._post_receipt(line, key, receipt)

    def _serve(self, line: Line) -> None:
        beat_at = time.monotonic() + self._tuning.heartbeat_interval
        while not self.over and not line.ended:
            self._wake.clear()
            now = time.monotonic()
            if now >= beat_at:
                self._beat(line)
                beat_at = now + self._tuning.heartbeat_interval
            elif now < self._paused_until:
                self._wait(min(beat_at, self._paused_until) - now, line)
            elif (queued := self._queue.head(self._user)) is not None:
                self._send(line, queued)
            else:
                self._wait(beat_at - now, line)

    def _wait(self, seconds: float, line: Line) -> None:
        """Wait for something to do. What happened just before `clear` is seen here, what happens after it wakes."""
        if not self.over and not line.ended:
            self._wake.wait(seconds)

    def _beat(self, line: Line) -> None:
        answer = line.request(
            "heartbeat", {"connection_id": self._connection_id}, timeout_s=self._tuning.answer_timeout
        )
        if answer.get("success") is not True:
            raise ConnectionLost("The server knows nothing of this connection.")

    def _send(self, line: Line, queued: Queued) -> None:
        """Send the first message and wait for its answer: the next one goes after it, so the order holds."""
        message = {**queued.payload, "client_id": queued.client_id, "token": self._registration.token}
        answer = line.request("send_message", message, timeout_s=self._tuning.answer_timeout)
        code = str(answer.get("code", "refused"))
        if answer.get("success") is not True and code in TRANSIENT:
            self._pause(answer.get("retry_after_ms"))
            return
        self._pauses = 0
        self._queue.remove(queued.client_id)
        if answer.get("success") is True:
            if queued.sending is not None:
                queued.sending.settle(answer)
        else:
            refusal = MessageRefused(code, str(answer.get("message", "")), client_id=queued.client_id)
            if queued.sending is not None:
                queued.sending.refuse(refusal)
            self._notify_error(refusal)
        self._note_change()

    def _pause(self, retry_after_ms: object) -> None:
        """Send nothing for as long as the server wishes, or longer each time where it does not say."""
        self._pauses += 1
        wish = retry_after_ms if isinstance(retry_after_ms, int) and retry_after_ms > 0 else None
        seconds = self._backoff_s(self._pauses) if wish is None else wish / 1000
        self._paused_until = time.monotonic() + seconds

    def _await_next(self, attempts: int) -> None:
        if self._overflowed:  # what was too much is pushed again: when there is room
            self._callbacks.wait_drained(self._tuning.max_retry_interval)
            self._overflowed = False
        if not self.over:
            self._move_to(ConnectionStatus.RECONNECTING)
            self._over.wait(self._backoff_s(attempts))

    def _backoff_s(self, attempt: int) -> float:
        tuning = self._tuning
        return exponential_s(
            attempt, first_s=tuning.retry_interval, longest_s=tuning.max_retry_interval, jitter=random.random()
        )

    # --- what the server says, on the reading thread

    def _take(self, line: Line, event: str, data: Any) -> None:
        if event == "new_message" and isinstance(data, dict):
            self._receive(line, data)
            return
        self._callbacks.notify(partial(self._hear, event, data))
        if event == KICKED:
            self._finish()

    def _receive(self, line: Line, message: dict[str, Any]) -> None:
        message_id = str(message.get("id"))
        match self._received.take(message_id):
            case Arrival.REPEAT:
                self._acknowledge(message_id)
            case Arrival.NEW if not self._callbacks.deliver(partial(self._hand_over, message_id, message)):
                self._received.forget(message_id)
                self._overflowed = True
                line.drop()  # it and those after it come again after the next registration

    def _hand_over(self, message_id: str, message: dict[str, Any]) -> None:
        """Give the program a message, on the callbacks' thread. One that it fails to take is not acknowledged."""
        taken = False
        try:
            taken = self._tell(Happening.MESSAGE, message)
        finally:
            if taken:
                self._received.finish(message_id)
                self._acknowledge(message_id)
            else:
                self._received.forget(message_id)

    def _acknowledge(self, message_id: str) -> None:
        if self._tuning.acknowledge:
            self.say_receipt("message_delivered", receipt_of(message_id, self._registration.user_id))

    # --- the state that threads share

    def _move_to(self, status: ConnectionStatus) -> None:
        with self._changed:
            if self._status is status:
                return
            self._status = status
            self._changed.notify_all()
            self._callbacks.notify(partial(self._tell, Happening.STATUS_CHANGE, status))

    def _set_line(self, line: Line | None) -> None:
        with self._changed:
            self._line = line
            self._changed.notify_all()

    def _first_attempt_ended(self) -> None:
        with self._changed:
            self._tried = True
            self._changed.notify_all()

    def _note_change(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _finish(self) -> None:
        self._over.set()
        self._wake.set()
        self._callbacks.stop_messages()
        self._note_change()

    def _unsettled(self) -> bool:
        return bool(len(self._receipts) or self._queue.count(self._user))

    def _notify_error(self, error: ClientError) -> None:
        self._callbacks.notify(partial(self._tell, Happening.ERROR, error))

    def _post_receipt(self, line: Line, key: ReceiptKey, receipt: Answer) -> None:
        def answered(answer: Answer) -> None:
            if answer.get("success") is True or answer.get("code") not in TRANSIENT:
                self._receipts.confirm(key)
                self._note_change()

        try:
            line.post(key[0], receipt, answered)
        except ConnectionLost:
            log.debug("A receipt waits for the next connection.")


def _granted(answer: Answer) -> Answer:
    """Give the answer to a request that was granted. Raises: ServerError."""
    if answer.get("success") is not True:
        raise ServerError(str(answer.get("code", "refused")), str(answer.get("message", "")))
    return answer
