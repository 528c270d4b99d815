"""A Socket.IO server of the service wire, in a thread of its own, that misbehaves as the test tells it."""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any, Self

import socketio
import uvicorn

PATIENCE_S = 5.0
Data = dict[str, Any]

# What to do with the next message, beside storing and answering it.
DROP_BEFORE_STORING = "drop before storing"
DROP_BEFORE_ANSWERING = "drop before answering"
HOLD_ANSWER = "hold answer"
NO_ANSWER = "no answer"
UNREADABLE_ANSWER = "unreadable answer"


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.up.set()


class ServiceServer:
    """Registers everyone with the right token, stores messages by client_id, and remembers what it was told."""

    def __init__(self) -> None:
        self.port = 0
        self.forget()

    def forget(self) -> None:
        """Be as new for the next test."""
        self.registrations: Queue[Data] = Queue()
        self.heartbeats: Queue[Data] = Queue()
        self.delivered: Queue[Data] = Queue()
        self.read: Queue[Data] = Queue()
        self.arrivals: Queue[Data] = Queue()  # each send_message, repeats too
        self.stored: list[Data] = []
        self.plans: deque[str | Data] = deque()  # for the next messages; an object is the answer
        self.registration_answers: deque[Data] = deque()
        self.heartbeat_answers: deque[Data | None] = deque()  # None: there is no answer
        self.backlog: list[Data] = []  # pushed after each registration
        self.released = threading.Event()
        self._sids: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Self]:
        self = cls()
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Listen, on the same port as before where there was one."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._socketio = self._build()
        app = socketio.ASGIApp(self._socketio)
        config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        self._uvicorn = _Uvicorn(config)
        self._thread = threading.Thread(target=self._uvicorn.run, args=([listening],), name="service_server")
        self._thread.start()
        assert self._uvicorn.up.wait(PATIENCE_S)

    def stop(self) -> None:
        self.released.set()
        if self.running:
            self.drop()
            self._uvicorn.should_exit = True
            self._thread.join()

    def drop(self) -> None:
        """Lose every connection without a word."""
        self._run(self._abort())

    def push(self, event: str, data: Data) -> None:
        """Send an event to whoever registered last."""
        self._run(self._socketio.emit(event, data, to=self._sids[-1]))

    def push_all(self, event: str, batch: list[Data]) -> None:
        """Send events in one go, in order."""

        async def push() -> None:
            for data in batch:
                await self._socketio.emit(event, data, to=self._sids[-1])

        self._run(push())

    def kick(self, reason: str) -> None:
        async def kick() -> None:
            await self._socketio.emit("kicked", {"reason": reason}, to=self._sids[-1])
            await self._socketio.disconnect(self._sids[-1])

        self._run(kick())

    def say_goodbye(self) -> None:
        """Disconnect politely."""
        self._run(self._socketio.disconnect(self._sids[-1]))

    def contents(self) -> list[str]:
        return [str(message["message"]) for message in self.stored]

    def _run(self, work: Any) -> None:
        loop = self._uvicorn.loop
        assert loop is not None
        asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_S)

    async def _abort(self) -> None:
        for connection in list(self._uvicorn.server_state.connections):
            connection.transport.abort()

    def _build(self) -> Any:
        server = socketio.AsyncServer(async_mode="asgi", async_handlers=False, cors_allowed_origins=[])
        server.on("connect", self._connect)
        for event in ("register", "heartbeat", "send_message", "message_delivered", "message_read", "get_devices"):
            server.on(event, getattr(self, f"_{event}"))
        return server

    async def _connect(self, sid: str, environ: Data, auth: object = None) -> None:
        await self._socketio.emit("connect_success", {"success": True, "socket_id": sid}, to=sid)

    async def _register(self, sid: str, request: Data) -> Data:
        self._sids.append(sid)
        self.registrations.put(request)
        if self.registration_answers:
            return self.registration_answers.popleft()
        if request["token"] != "good":
            return {"success": False, "code": "unauthenticated", "message": "The token is not valid."}
        for message in self.backlog:
            await self._socketio.emit("new_message", message, to=sid)
        return {"success": True, "connection_id": request["connection_id"], "socket_id": sid, "message": "连接注册成功"}

    async def _heartbeat(self, sid: str, request: Data) -> Data:
        self.heartbeats.put(request)
        answer: Data | None = {"success": True, "timestamp": "2024-01-01T12:00:00"}
        if self.heartbeat_answers:
            answer = self.heartbeat_answers.popleft()
        if answer is None:
            await asyncio.to_thread(self.released.wait)
        return answer or {}

    async def _send_message(self, sid: str, request: Data) -> Any:
        self.arrivals.put(request)
        plan = self.plans.popleft() if self.plans else None
        if plan == DROP_BEFORE_STORING:
            await self._abort()
            return None
        if isinstance(plan, dict):
            return plan
        message_id = self._store(request)
        if plan == DROP_BEFORE_ANSWERING:
            await self._abort()
        if plan in (HOLD_ANSWER, NO_ANSWER):
            await asyncio.to_thread(self.released.wait)
        if plan == UNREADABLE_ANSWER:
            return "stored"
        return {"success": True, "message_id": message_id, "time": "12:00"}

    def _store(self, request: Data) -> int:
        for message_id, message in enumerate(self.stored, start=789):
            if message["client_id"] == request["client_id"]:
                return message_id
        self.stored.append(request)
        return 788 + len(self.stored)

    async def _message_delivered(self, sid: str, request: Data) -> Data:
        self.delivered.put(request)
        return {"success": True}

    async def _message_read(self, sid: str, request: Data) -> Data:
        self.read.put(request)
        return {"success": True}

    async def _get_devices(self, sid: str, request: Data) -> Data:
        if request.get("of") == "others":
            return {"success": False, "code": "forbidden", "message": "No."}
        return {"success": True, "devices": [{"device_id": "device-uuid"}]}


def new_message(message_id: int, **fields: Any) -> Data:
    """Write a pushed message, with every documented key."""
    return {
        "id": str(message_id),
        "session_id": "session-uuid",
        "from": "agent",
        "from_user_id": 456,
        "to_user_id": 123,
        "text": f"text {message_id}",
        "time": "12:00",
        "avatar": "",
        "message_type": "text",
        "reply_to_message_id": None,
        "status": "sent",
        "offline": False,
        **fields,
    }
