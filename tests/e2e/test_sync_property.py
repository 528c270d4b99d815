"""On real processes, broker and database: what clients were told, whatever happened, makes up what is there."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.stack import Stack
from tests.e2e.wire import mint
from tests.slice.model import Frame
from tests.slice.schedule import DAILY, USERS, Player, Step

QUIET_S = 0.1
PATIENCE_S = 15.0
SEEDS = (1, 2, 3)
STEPS = 45
FAULTS = ("history", "delivery", "gateway-2")  # killed while the schedules go on


class WireLink:
    """A client's end of a real socket; what is sent before it is open waits."""

    def __init__(self) -> None:
        self.is_paused = False
        self._arrived: deque[Frame] = deque()
        self._outgoing: asyncio.Queue[Frame] = asyncio.Queue()
        self._reads = asyncio.Event()
        self._reads.set()
        self._socket: ClientConnection | None = None
        self._ended = False

    async def run(self, url: str, hello: Frame) -> None:
        """Be the connection until one of the two sides ends it."""
        try:
            async with connect(url, compression=None, max_queue=4) as self._socket:
                if not self._ended:
                    await self._write(self._socket, {"type": "hello", "data": hello})
                    await self._talk(self._socket)
        except (OSError, ConnectionClosed):  # the gateway is dead just now; the client comes again
            pass
        finally:
            self._ended = True

    async def _talk(self, socket: ClientConnection) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read_all(socket), name="link.read")
                tasks.create_task(self._write_all(socket), name="link.write")
        except* ConnectionClosed:
            pass

    async def _read_all(self, socket: ClientConnection) -> None:
        while True:
            await self._reads.wait()
            self._arrived.append(msgspec.json.decode(await socket.recv()))

    async def _write_all(self, socket: ClientConnection) -> None:
        while True:
            await self._write(socket, await self._outgoing.get())

    async def _write(self, socket: ClientConnection, frame: Frame) -> None:
        await socket.send(msgspec.json.encode(frame).decode())

    @property
    def is_closed(self) -> bool:
        return self._ended and not self._arrived

    def send(self, frame: Frame) -> None:
        self._outgoing.put_nowait(frame)

    def take(self) -> list[Frame]:
        frames = list(self._arrived)
        self._arrived.clear()
        return frames

    def hang_up(self) -> None:
        self._ended = True
        if self._socket is not None:
            self._socket.transport.abort()

    def pause(self) -> None:
        self.is_paused = True
        self._reads.clear()

    def resume(self) -> None:
        self.is_paused = False
        self._reads.set()


class RealWorld:
    """A `World` of processes."""

    def __init__(self, stack: Stack, tokens: dict[str, str], tasks: asyncio.TaskGroup) -> None:
        self.created: list[str] = []
        self._stack = stack
        self._tokens = tokens
        self._tasks = tasks
        self._calls: set[asyncio.Task[None]] = set()

    def connect(self, user: str, via: int, since: str | None) -> WireLink:
        link = WireLink()
        hello = {"token": self._tokens[user], "since": since}
        self._tasks.create_task(link.run(self._stack.gateways[via].socket_url, hello), name="link")
        return link

    def call(self, user: str, via: int, method: str, path: str, body: Frame | None) -> None:
        task = self._tasks.create_task(self._call(user, via, method, path, body), name="call")
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _call(self, user: str, via: int, method: str, path: str, body: Frame | None) -> None:
        headers = {"Authorization": f"Bearer {self._tokens[user]}"}
        url = self._stack.gateways[via].rest_url
        try:
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S) as rest:
                response = await rest.request(method, path, json=body)
        except httpx.TransportError:  # the gateway is dead just now
            return
        assert response.status_code < 500 or response.status_code == 503, response.text
        if (method, path, response.status_code) == ("POST", "/v1/conversations", 201):
            self.created.append(response.json()["id"])

    async def breaks(self, what: str, pick: int) -> None:
        await self._stack.kill(what)

    async def rest(self) -> None:
        await asyncio.sleep(QUIET_S)  # frames that are still under way then come before the comparison is given up
        if self._calls:
            await asyncio.wait(self._calls)

    async def passes(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, QUIET_S))

    async def heal(self) -> None:
        await self._stack.ready()


@asynccontextmanager
async def world(stack: Stack, suffix: str) -> AsyncIterator[RealWorld]:
    users = [user + suffix for user in USERS]
    tokens = {user: await mint(stack.gateways[0], user) for user in users}
    async with asyncio.TaskGroup() as tasks:
        yield RealWorld(stack, tokens, tasks)


def schedule(seed: int) -> list[Step]:
    chance = random.Random(seed)
    daily = [step for step in DAILY if step != "rest"]  # it takes time here
    steps = [Step(chance.choice(daily), *(chance.randrange(12) for _ in range(3))) for _ in range(STEPS)]
    for place in range(STEPS // 4, STEPS, STEPS // 4):
        steps.insert(place, Step("rest"))
    steps.insert(STEPS // 2, Step(FAULTS[seed % len(FAULTS)]))
    return steps


async def play(stack: Stack, seed: int) -> None:
    suffix = f"-{seed}"
    async with world(stack, suffix) as real:
        player = Player(real, suffix=suffix)
        await player.open()
        await player.play(schedule(seed))
        await player.finish()
        await _comes_true(player)
        for device in player.devices:
            device.drop()


async def _comes_true(player: Player) -> None:
    """Compare until all is the same: what is still under way may come."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while True:
        try:
            return await player.compare()
        except AssertionError:
            if loop.time() > deadline:
                raise
            for device in player.devices:
                device.connect()
            await player.quiet()


async def test_stale_state_and_what_clients_are_told_make_up_the_fresh_state(stack: Stack) -> None:
    for seed in SEEDS:
        await play(stack, seed)
