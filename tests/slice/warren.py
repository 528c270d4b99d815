"""All four services in one loop on the memory broker: the production objects, only the ports replaced."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from pydantic import SecretStr
from starlette.types import ASGIApp

import delivery.wiring
import gateway.wiring
import history.wiring
import presence.wiring
from delivery.settings import DeliverySettings
from gateway.settings import GatewaySettings
from history.queries import StoredHistory
from history.settings import HistorySettings
from presence.outbound import Outbound
from presence.queries import StoredPresence
from presence.settings import PresenceSettings
from shared.auth import TokenMint
from shared.broker.memory import MemoryBroker
from shared.broker.topology import Topology
from shared.ids import ConversationId, DeviceId, UserId, direct_conversation_id
from shared.service import Runner, Service
from tests.fakes.clock import FakeClock, settle
from tests.fakes.history_store import FakeMessageStore
from tests.fakes.presence_store import FakePresenceStore
from tests.fakes.running import DirectPublisher
from tests.slice.sockets import FakeSocket, Frame

SECRET = "a-secret-of-the-slice-tests-32-bytes-long"
ENVIRON = {
    "WARREN_GATEWAY_WIRES": "none",  # a test names those that it needs: each has routes, which take time to make
    "WARREN_MODE": "development",
    "WARREN_PUBLISH_PACE_S": "0",
    "WARREN_GATEWAY_ARRIVAL_S": "0",  # the clock of the tests stands still
    "WARREN_JWT_SECRET": SECRET,
    "WARREN_ADMIN_TOKEN": "admin",
    "WARREN_INTERNAL_TOKEN": "internal",
    "WARREN_SHARDS": "4",
}
DAY_S = 86_400


class Process:
    """One service, running; it can be killed as `kill -9` does or drained as SIGTERM does."""

    def __init__(self, service: Service, broker: MemoryBroker) -> None:
        self.service = service
        self._broker = broker
        self._task: asyncio.Task[None] | None = None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self._task = tasks.create_task(self._run(), name=self.service.name)

    async def kill(self) -> None:
        """Die without a word: the connection drops, nothing is finished."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        self._broker.break_connection()

    def lose_connection(self) -> None:
        """Go on without the broker: the process's own queue is gone with the connection."""
        self._broker.break_connection()

    async def reconnect(self, clock: FakeClock) -> None:
        """Find the broker again, within seconds."""
        self._broker.restore()
        await clock.advance(2)

    async def drain(self) -> None:
        for runner in self.service.runners:
            await runner.stop()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for runner in self.service.runners:
                tasks.create_task(self._watch(runner), name=runner.name)

    async def _watch(self, runner: Runner) -> None:
        await runner.run()


class Warren:
    """The whole system; `connect` gives a client's end of a socket."""

    def __init__(self, tasks: asyncio.TaskGroup, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ or {}
        self.clock = FakeClock()
        self.topology = Topology(shards=int(ENVIRON["WARREN_SHARDS"]))
        self.server = MemoryBroker(self.clock)
        self.messages = FakeMessageStore()
        self.presences = FakePresenceStore()
        self.history_queries = StoredHistory(self.messages, clock=self.clock)
        self.processes: dict[str, Process] = {}
        self._tasks = tasks
        self._mint = TokenMint(SecretStr(SECRET), clock=self.clock)
        self._ids = itertools.count(1)

    def new_id(self) -> str:
        return f"id-{next(self._ids):06}"

    async def start(self) -> None:
        await self.server.declare(self.topology)
        self.start_history()
        self.start_delivery()
        self.start_presence()
        self.start_gateway("gw-1")
        await settle()

    def start_history(self, name: str = "history") -> None:
        broker = self.server.connect()
        service = history.wiring.build(
            HistorySettings.from_env(ENVIRON), broker=broker, store=self.messages, clock=self.clock, new_id=self.new_id
        )
        self._start(name, service, broker)

    def start_delivery(self, name: str = "delivery") -> None:
        broker = self.server.connect()
        service = delivery.wiring.build(
            DeliverySettings.from_env(ENVIRON),
            broker=broker,
            history=self.history_queries,
            clock=self.clock,
            new_id=self.new_id,
        )
        self._start(name, service, broker)

    def start_presence(self) -> None:
        broker = self.server.connect()
        service = presence.wiring.build(
            PresenceSettings.from_env(ENVIRON),
            broker=broker,
            store=self.presences,
            clock=self.clock,
            new_id=self.new_id,
        )
        self._start("presence", service, broker)

    def gateway_environ(self, name: str) -> dict[str, str]:
        return {**ENVIRON, "WARREN_GATEWAY_ID": name, "WARREN_GATEWAY_DEV_TOKENS": "true", **self._environ}

    def start_gateway(self, name: str) -> None:
        broker = self.server.connect()
        service = gateway.wiring.build(
            GatewaySettings.from_env(self.gateway_environ(name)),
            broker=broker,
            history=self.history_queries,
            presence=StoredPresence(self.presences, self._outbound(), clock=self.clock),
            clock=self.clock,
            new_id=self.new_id,
        )
        self._start(name, service, broker)

    def _outbound(self) -> Outbound:
        return Outbound(DirectPublisher(self.server.connect()), clock=self.clock, new_id=self.new_id)

    def _start(self, name: str, service: Service, broker: MemoryBroker) -> None:
        self.processes[name] = Process(service, broker)
        self.processes[name].start(self._tasks)

    def token(self, user: str, *, lifetime_s: float = DAY_S) -> str:
        token, _ = self._mint.mint(UserId(user), user.title(), DeviceId(f"{user}-phone"), lifetime_s)
        return token

    def app(self, via: str = "gw-1") -> ASGIApp:
        """Give a gateway's public app."""
        public = self.processes[via].service.public
        assert public is not None
        return public.app

    def dial(self, query: str, *, via: str = "gw-1", path: str = "/v1/ws") -> FakeSocket:
        """Open a socket and say nothing yet."""
        socket = FakeSocket(self.app(via), path, query)
        self._tasks.create_task(socket.run(), name="socket")
        return socket

    async def connect(self, user: str, *, via: str = "gw-1", **hello: object) -> FakeSocket:
        """Connect a user's device and wait until it is welcome and routed to."""
        socket = self.dial(f"token={self.token(user)}", via=via)
        if hello:
            await socket.request("hello", **hello)
        else:
            await socket.next("welcome")
        await settle()
        return socket

    def direct(self, one: str, other: str) -> ConversationId:
        return direct_conversation_id(UserId(one), UserId(other))

    async def passes(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    async def settled(self) -> None:
        """Wait until the broker is empty; no dead letter may be there."""
        await self.server.idle()
        for queue in self.topology.dead_queues:
            assert await self.server.depth(queue) == 0, f"{queue.name} holds dead letters"


@asynccontextmanager
async def running(**settings: str) -> AsyncIterator[Warren]:
    """Run the system, its gateways with these further settings; a service that crashes fails it."""
    async with asyncio.TaskGroup() as tasks:
        warren = Warren(tasks, {f"WARREN_GATEWAY_{name.upper()}": value for name, value in settings.items()})
        await warren.start()
        yield warren
        for process in warren.processes.values():
            await process.kill()
        # sockets whose test did not hang up
        tasks.create_task(settle(), name="last")
        for task in asyncio.all_tasks():
            if task.get_name() == "socket":
                task.cancel()


async def send(socket: FakeSocket, to: str, content: str, client_id: str) -> Frame:
    """Send a message and give its reply."""
    return await socket.request("send", to=to, content=content, client_id=client_id)
