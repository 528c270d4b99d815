"""A client for plain synchronous programs, over the Socket.IO events of the service wire."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

from client.errors import Closed, ConnectionLost
from client.websocket_line import Answer
from client.websocket_link import Link
from client.websocket_queue import Sending, SendQueue
from client.websocket_receipts import Mailbox, receipt_of
from client.websocket_settings import ConnectionStatus, Happening, Registration, Tuning

__all__ = ["ConnectionStatus", "WebSocketClient"]

Message = dict[str, Any]
Callback = TypeVar("Callback", bound=Callable[..., object])


class WebSocketClient(Tuning):
    """Sends, receives and acknowledges messages as one user on one device; it reconnects by itself.

    Its methods may be called from any thread, callbacks included. Callbacks run one after the other on one thread of
    the client's own; what they raise is logged. The fields of `Tuning` are attributes that may be set at any time.

    What is sent waits in a queue of `max_queue_size` until the server has answered, is sent again after a lost
    connection, in order, and is stored once. With `queue_path`, a file, it also outlives the program.
    """

    def __init__(
        self,
        server_url: str,
        *,
        queue_path: str | Path | None = None,
        path: str = "socket.io",
    ) -> None:
        super().__init__()
        self._server_url = server_url
        self._path = path
        self._queue = SendQueue(queue_path)
        self._callbacks: dict[Happening, Callable[..., object]] = {}
        self._listeners: dict[str, Callable[[Any], object]] = {}  # by the server's event
        self._link: Link | None = None
        self._user_id: int | str = ""
        self._mailbox = Mailbox()
        self._own_device_id = str(uuid4())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    # --- being connected

    def connect(
        self,
        user_id: int | str,
        token: str,
        device_id: str | None = None,
        device_info: Mapping[str, Any] | None = None,
    ) -> bool:
        """Connect and register. Returns when that is done, True, or has failed once, False: then it goes on trying.

        Connected already, it disconnects first. Raises: ServerError (the server refuses this user), QueueUnavailable.
        """
        self.disconnect()
        self._queue.open()
        if self._user_id != "" and str(user_id) != str(self._user_id):
            self._mailbox = Mailbox()
        self._user_id = user_id
        registration = Registration(
            url=self._server_url,
            path=self._path,
            user_id=user_id,
            token=token,
            device_id=device_id or self._own_device_id,
            device_info=dict(device_info or {}),
        )
        self._link = link = Link(registration, self, self._queue, self._mailbox, tell=self._tell, hear=self._hear)
        return link.start()

    def disconnect(self, flush_timeout: float = 5.0) -> None:
        """Disconnect, after what was sent is answered or `flush_timeout` seconds; what is not answered stays queued."""
        link = self._link
        if link is None:
            return
        try:
            link.settle(flush_timeout)
        finally:
            link.stop()
            if self._link is link:
                self._link = None
                self._queue.close()

    def is_connected(self) -> bool:
        """Tell whether the server has this client registered."""
        link = self._link
        return link is not None and link.connected

    def get_status(self) -> ConnectionStatus:
        """Tell how the client stands with the server."""
        link = self._link
        return ConnectionStatus.DISCONNECTED if link is None else link.status

    # --- messages

    def send_message(
        self,
        session_id: int | str,
        message: str,
        role: str = "user",
        message_type: str = "text",
        reply_to_message_id: int | str | None = None,
        to_user_id: int | str | None = None,
    ) -> Sending:
        """Queue a message and return at once; `.result()` of what it gives waits for the server's answer.

        Raises: OutboxFull, Closed (not between `connect` and `disconnect`), QueueUnavailable.
        """
        link = self._open_link()
        payload: Message = {
            "session_id": session_id,
            "from_user_id": self._user_id,
            "message": message,
            "role": role,
            "message_type": message_type,
            "reply_to_message_id": reply_to_message_id,
        }
        if to_user_id is not None:
            payload["to_user_id"] = to_user_id
        sending = self._queue.add(str(self._user_id), str(uuid4()), payload, limit=self.max_queue_size)
        link.nudge()
        return sending

    def send_message_delivered(self, message_id: int | str, user_id: int | str) -> None:
        """Acknowledge a message as delivered, now or after the next connection."""
        self._say_receipt("message_delivered", receipt_of(message_id, user_id))

    def send_message_read(self, message_id: int | str, user_id: int | str) -> None:
        """Acknowledge a message as read, now or after the next connection."""
        self._say_receipt("message_read", receipt_of(message_id, user_id))

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until the server has answered all that was sent. False: it has not, or the connection is lost."""
        link = self._link
        return link is not None and link.settle(timeout)

    def request(self, event: str, data: Answer | None = None, timeout: float | None = None) -> Answer:
        """Ask the server with any other event of the wire, such as `get_devices`, and give its answer.

        Raises: ServerError (refused), ConnectionLost (not connected, or no answer in time).
        """
        link = self._link
        if link is None:
            raise ConnectionLost("Not connected.")
        return link.request(event, data or {}, self.answer_timeout if timeout is None else timeout)

    # --- callbacks; each may also be used as a decorator

    def on_connect(self, callback: Callback) -> Callback:
        """Call `callback()` after each registration, the first and those after a lost connection."""
        return self._set(Happening.CONNECT, callback)

    def on_disconnect(self, callback: Callback) -> Callback:
        """Call `callback()` whenever a registered connection has ended."""
        return self._set(Happening.DISCONNECT, callback)

    def on_message(self, callback: Callback) -> Callback:
        """Call `callback(data)` for each message, once. It is acknowledged as delivered when the callback returns."""
        return self._set(Happening.MESSAGE, callback)

    def on_message_status(self, callback: Callback) -> Callback:
        """Call `callback(data)` when a message of one's own is delivered or read: `{message_id, status, timestamp}`."""
        return self.on("message_status", callback)

    def on_status_change(self, callback: Callback) -> Callback:
        """Call `callback(status)` for each new ConnectionStatus."""
        return self._set(Happening.STATUS_CHANGE, callback)

    def on_error(self, callback: Callback) -> Callback:
        """Call `callback(error)`: MessageRefused, QueueUnavailable, ServerError (a registration was refused)."""
        return self._set(Happening.ERROR, callback)

    def on_kicked(self, callback: Callback) -> Callback:
        """Call `callback(data)` when the server has ended this device's stay; it is not tried again."""
        return self.on("kicked", callback)

    def on(self, event: str, callback: Callback) -> Callback:
        """Call `callback(data)` for any other event that the server pushes. A second callback replaces the first."""
        self._listeners[event] = callback
        return callback

    def _set(self, happening: Happening, callback: Callback) -> Callback:
        self._callbacks[happening] = callback
        return callback

    def _tell(self, happening: Happening, *arguments: object) -> bool:
        """Call the program; False: it does not listen to that."""
        callback = self._callbacks.get(happening)
        if callback is None:
            return False
        callback(*arguments)
        return True

    def _hear(self, event: str, data: object) -> None:
        listener = self._listeners.get(event)
        if listener is not None:
            listener(data)

    def _say_receipt(self, event: str, receipt: Message) -> None:
        link = self._link
        if link is None:
            self._mailbox.receipts.add(event, receipt)
        else:
            link.say_receipt(event, receipt)

    def _open_link(self) -> Link:
        link = self._link
        if link is None or link.over:
            raise Closed("Not connected: call connect() first.")
        return link
