"""One Socket.IO connection for synchronous programs: requests out and their answers, events in."""

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

import engineio
import socketio
from socketio.exceptions import ConnectionError as NoConnection
from socketio.exceptions import SocketIOError

from client.errors import ConnectionLost, Unreachable

Answer: TypeAlias = dict[str, Any]
_TRANSPORT = "websocket"  # long polling would need a gateway that keeps to its clients, and ends late
PATIENCE_S = 5.0  # for the transport's own threads to end

log = logging.getLogger("warren.websocket_client.transport")


class _Engine(engineio.Client):  # type: ignore[misc]  # the library has no types
    """An Engine.IO client that hands packets on in the order of the wire, and not each in a thread of its own."""

    def _trigger_event(self, event: str, *args: Any, **options: Any) -> Any:
        return super()._trigger_event(event, *args, **{**options, "run_async": False})

    def disconnect(self, abort: bool = False, reason: str | None = None) -> None:  # noqa: FBT001, FBT002  # the library's
        """Disconnect. Called by a packet, it runs in the reading thread, which cannot wait for itself."""
        super().disconnect(abort=abort or threading.current_thread() is self.read_loop_task, reason=reason)


class _Socket(socketio.Client):  # type: ignore[misc]  # the library has no types
    """A Socket.IO client that tells of every end, also of one while it is still connecting."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        log.setLevel(logging.ERROR)  # at INFO it tells what is sent, tokens included; at WARNING each end
        super().__init__(reconnection=False, handle_sigint=False, logger=log, engineio_logger=log)
        self._on_end = on_end

    def _engineio_client_class(self) -> type[_Engine]:
        return _Engine

    def _handle_eio_disconnect(self, reason: str) -> None:
        super()._handle_eio_disconnect(reason)
        self._on_end()


class Line:
    """A connection from `open` to its end, which is final: a new one is a new Line.

    `on_event(line, name, data)` runs on the reading thread, in the order of the wire, and must not block;
    `on_end()` on any thread.
    """

    def __init__(self, on_event: Callable[["Line", str, Any], None], on_end: Callable[[], None]) -> None:
        self._on_event = on_event
        self._on_end = on_end
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._waiting: set[SimpleQueue[Answer | None]] = set()
        self._threads: tuple[threading.Thread | None, ...] = ()
        self._socket = _Socket(self.end)
        self._socket.on("*", self._take)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes or goes."""
        return self._ended.is_set()

    def open(self, url: str, *, path: str, timeout_s: float) -> None:
        """Connect. Raises: Unreachable."""
        try:
            self._socket.connect(url, socketio_path=path, transports=[_TRANSPORT], wait_timeout=timeout_s)
        except (NoConnection, OSError, ValueError, LookupError) as exc:  # the last two: an answer that is not Engine.IO
            self.end()
            raise Unreachable(str(exc)) from exc
        self._threads = (self._socket.eio.read_loop_task, self._socket.eio.write_loop_task)

    def request(
        self, event: str, data: Answer, *, timeout_s: float, then: Callable[[Answer], None] | None = None
    ) -> Answer:
        """Send an event and wait for the answer; `then` has it first, on the reading thread. Raises: ConnectionLost."""
        answers: SimpleQueue[Answer | None] = SimpleQueue()

        def take(answer: Answer) -> None:
            if then is not None:
                then(answer)
            answers.put(answer)

        with self._lock:
            self._waiting.add(answers)
        try:
            self.post(event, data, take)
            answer = answers.get(timeout=timeout_s)
        except Empty as exc:
            raise ConnectionLost(f"No answer to {event} within {timeout_s} s.") from exc
        finally:
            with self._lock:
                self._waiting.discard(answers)
        if answer is None:
            raise ConnectionLost("The connection went away.")
        return answer

    def post(self, event: str, data: Answer, on_answer: Callable[[Answer], None]) -> None:
        """Send an event; its answer comes on the reading thread, if it comes. Raises: ConnectionLost."""
        try:
            with self._lock:  # the library is not thread-safe
                if self.ended:
                    raise ConnectionLost("The connection went away.")
                self._socket.emit(event, data, callback=lambda *answer: on_answer(_answer_of(answer)))
        except SocketIOError as exc:
            raise ConnectionLost(str(exc)) from exc

    def end(self) -> None:
        """Take and give nothing more: whoever waits for an answer gets ConnectionLost. `close` does the rest."""
        with self._lock:
            if self.ended:
                return
            self._ended.set()
            for answers in self._waiting:
                answers.put(None)
        self._on_end()

    def drop(self) -> None:
        """Lose the connection at once, without a word; it does not block."""
        self.end()
        websocket = self._socket.eio.ws
        if websocket is not None:
            websocket.abort()

    def close(self) -> None:
        """Disconnect as is proper, and wait until the transport's threads have ended."""
        self.end()
        engine = self._socket.eio
        engine.disconnect(abort=True)  # else it waits for its threads without a limit
        engine.queue.put(None)  # the library may have taken away what ends its writing thread
        for thread in self._threads:
            if thread is not None and thread is not threading.current_thread():
                thread.join(PATIENCE_S)
        engine.ws.shutdown()  # where the server ended it, the library leaves the socket open

    def _take(self, event: str, *data: Any) -> None:
        if not self.ended:
            self._on_event(self, event, data[0] if data else None)


def _answer_of(arguments: tuple[Any, ...]) -> Answer:
    """Give an acknowledgement's object; an empty one where it has none."""
    return arguments[0] if arguments and isinstance(arguments[0], dict) else {}
