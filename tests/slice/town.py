"""The whole system in one loop as a `World` for schedules: two of each that can be two, and faults by name."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import httpx
import msgspec
from starlette.types import ASGIApp, Message

from history.queries import StoredHistory
from history.reading import Logged
from shared.ids import ConversationId
from tests.fakes.clock import settle
from tests.fakes.history_store import FakeMessageStore
from tests.slice.chronicle import Chronicle
from tests.slice.handoffs import CarelessBroker
from tests.slice.model import Frame
from tests.slice.sockets import FakeSocket
from tests.slice.warren import Warren

GATEWAYS = ("gw-1", "gw-2")
REPLICAS = ("", "-2")  # of history and delivery: they share the shards
SMALL = {
    "WARREN_GATEWAY_MAX_OUTBOX_FRAMES": "256",
    "WARREN_GATEWAY_MAX_HELD": "16",
}  # so that schedules reach the limits


class GatedSocket(FakeSocket):
    """A socket whose client may stop reading."""

    def __init__(self, app: ASGIApp, path: str, query: str) -> None:
        super().__init__(app, path, query)
        self._open = asyncio.Event()
        self._open.set()
        self._ended = False
        self.is_paused = False

    async def run(self) -> None:
        try:
            await self._app(self._scope, self._to_server.get, self._write)
        finally:
            self._ended = True

    async def _write(self, message: Message) -> None:
        await self._open.wait()
        self._to_client.put_nowait(message)

    @property
    def is_closed(self) -> bool:
        return self._ended and self._to_client.empty()

    def send(self, frame: Frame) -> None:
        self.send_text(msgspec.json.encode(frame).decode())

    def take(self) -> list[Frame]:
        frames: list[Frame] = []
        while not self._to_client.empty():
            message = self._to_client.get_nowait()
            if message["type"] == "websocket.send":
                frames.append(msgspec.json.decode(message["text"]))
        return frames

    def pause(self) -> None:
        self.is_paused = True
        self._open.clear()

    def resume(self) -> None:
        self.is_paused = False
        self._open.set()


class LateHistory:
    """Answers as history does, some turns of the loop late: what happens meanwhile is not in the answer."""

    def __init__(self, history: StoredHistory) -> None:
        self._history = history
        self._turns = itertools.cycle((0, 60, 3, 0, 20))

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        query = getattr(self._history, name)

        async def ask(*args: object, **options: object) -> object:
            await self._dawdle()
            answer = await query(*args, **options)
            await self._dawdle()
            return answer

        return ask

    async def _dawdle(self) -> None:
        for _ in range(next(self._turns)):
            await asyncio.sleep(0)


class WitnessedStore(FakeMessageStore):
    """A store whose logs a chronicle follows."""

    def __init__(self) -> None:
        super().__init__()
        self.chronicle = Chronicle()

    def _log(self, conversation_id: ConversationId, entry: Logged) -> None:
        super()._log(conversation_id, entry)
        self.chronicle.note(self._conversations[conversation_id].record, entry)


class TownWarren(Warren):
    """Warren with small outboxes, a careless broker, and a history that takes its time over answers."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        super().__init__(tasks)
        self.server = self.broker = CarelessBroker(self.clock)
        self.messages = self.store = WitnessedStore()
        queries = StoredHistory(self.messages, clock=self.clock)
        self.history_queries = cast(StoredHistory, LateHistory(queries))

    def gateway_environ(self, name: str) -> dict[str, str]:
        return {**super().gateway_environ(name), **SMALL}


class Town:
    """A `World` on fakes; what breaks stays broken until it is broken again, or all is healed."""

    def __init__(self, warren: TownWarren, tasks: asyncio.TaskGroup) -> None:
        self.created: list[str] = []
        self._warren = warren
        self._tasks = tasks
        self._lost: set[str] = set()
        self._dead: set[tuple[str, str]] = set()

    def app(self, via: int) -> ASGIApp:
        public = self._warren.processes[GATEWAYS[via]].service.public
        assert public is not None
        return public.app

    def connect(self, user: str, via: int, since: str | None) -> GatedSocket:
        token = self._warren.token(user)
        query = f"token={token}" if since is None else f"token={token}&since={since}"
        socket = GatedSocket(self.app(via), "/v1/ws", query)
        self._tasks.create_task(socket.run(), name="socket")
        return socket

    def call(self, user: str, via: int, method: str, path: str, body: Frame | None) -> None:
        self._tasks.create_task(self._call(user, via, method, path, body), name="socket")

    async def _call(self, user: str, via: int, method: str, path: str, body: Frame | None) -> None:
        response = await self._request(user, via, method, path, body)
        assert response.status_code < 500 or response.status_code == 503, response.text
        if (method, path, response.status_code) == ("POST", "/v1/conversations", 201):
            self.created.append(response.json()["id"])

    async def get(self, user: str, via: int, path: str) -> Frame:
        """Ask what must be answered."""
        response = await self._request(user, via, "GET", path, None)
        assert response.status_code == 200, response.text
        answer: Frame = response.json()
        return answer

    async def _request(self, user: str, via: int, method: str, path: str, body: Frame | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._warren.token(user)}"}
        transport = httpx.ASGITransport(self.app(via))
        async with httpx.AsyncClient(transport=transport, base_url="http://warren", headers=headers) as rest:
            return await rest.request(method, path, json=body)

    async def breaks(self, what: str, pick: int) -> None:
        match what:
            case "gateway":
                await self._lose(GATEWAYS[pick % 2])
            case "delivery" | "history":
                await self._end(what, REPLICAS[pick % 2], drains=pick // 2 % 2 == 1)
            case "store":
                self._warren.messages.fail(pick % 3)
            case "lose" | "late" | "repeat":
                self._warren.broker.mishaps[GATEWAYS[pick % 2]].add(what, 1 + pick // 2 % 3)
            case _:
                raise AssertionError(what)

    async def _lose(self, name: str) -> None:
        """Take the gateway's connection to the broker, and its queue with it; or give it back."""
        if name in self._lost:
            self._warren.processes[name]._broker.restore()
        else:
            self._warren.processes[name].lose_connection()
        self._lost ^= {name}

    async def _end(self, service: str, replica: str, *, drains: bool) -> None:
        """Kill a process, or let it finish what it has in hand; or start its successor."""
        name = service + replica
        if (service, replica) in self._dead:
            getattr(self._warren, f"start_{service}")(name)
        else:
            process = self._warren.processes[name]
            if drains:
                await process.drain()
            await process.kill()
        self._dead ^= {(service, replica)}

    async def rest(self) -> None:
        await settle()

    async def passes(self, seconds: float) -> None:
        await self._warren.passes(seconds)

    async def heal(self) -> None:
        for name in tuple(self._lost):
            await self._lose(name)
        for service, replica in tuple(self._dead):
            await self._end(service, replica, drains=False)
        self._warren.messages.fail(0)
        await self._make_up()
        await self.passes(12)  # until the last backoff has ended
        for _ in range(10):
            if not await self._waiting():
                return
            await self.passes(10)
        raise AssertionError(f"{await self._waiting()} do not become empty.")

    async def _make_up(self) -> None:
        """Tell the gateways that hand-offs were lost, as they learn of it in truth: by the end of their queue."""
        for name, mishaps in self._warren.broker.mishaps.items():
            mishaps.end()
            if mishaps.is_lossy:
                await self._lose(name)
                await self._lose(name)

    @property
    def chronicle(self) -> Chronicle:
        """What the log says of who may be told what."""
        return self._warren.store.chronicle

    async def check_nothing_given_up(self) -> None:
        """Look for dead letters."""
        for queue in self._warren.topology.dead_queues:
            letter = await self._warren.server.get(queue)
            assert letter is None, (queue.name, letter.headers, letter.body)

    async def _waiting(self) -> list[str]:
        server = self._warren.server
        topology = self._warren.topology
        living = set(topology.queues) - set(topology.dead_queues)
        return [queue.name for queue in living if await server.depth(queue)]


@asynccontextmanager
async def town() -> AsyncIterator[Town]:
    """Run the system with two gateways for the length of the context."""
    async with asyncio.TaskGroup() as tasks:
        warren = TownWarren(tasks)
        await warren.start()
        warren.start_gateway(GATEWAYS[1])
        warren.start_history("history" + REPLICAS[1])
        warren.start_delivery("delivery" + REPLICAS[1])
        await settle()
        yield Town(warren, tasks)
        for process in warren.processes.values():
            await process.kill()
        await settle()
        for task in asyncio.all_tasks():
            if task.get_name() == "socket":
                task.cancel()
