"""A gateway alone on the memory broker: the test plays history, delivery and the clients."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from starlette.types import ASGIApp, Message

from gateway.settings import GatewaySettings
from gateway.wiring import build
from shared.auth import TokenMint
from shared.broker.memory import MemoryBroker
from shared.broker.topology import Queue, Route, Topology, gateway_route, signals_queue
from shared.envelope import Body, Envelope, decode_batch, encode, join
from shared.events import Entry, Handoff
from shared.ids import DeviceId, GatewayId, UserId
from tests.fakes.clock import FakeClock, settle
from tests.fakes.queries import FakeHistory, FakePresence
from tests.slice.sockets import FakeSocket

SECRET = "a-secret-of-the-gateway-tests-32-bytes"
GATEWAY = GatewayId("gw-1")
ENVIRON = {
    "WARREN_MODE": "development",
    "WARREN_PUBLISH_PACE_S": "0",
    "WARREN_GATEWAY_ARRIVAL_S": "0",  # the clock of the tests stands still
    "WARREN_JWT_SECRET": SECRET,
    "WARREN_ADMIN_TOKEN": "admin",
    "WARREN_INTERNAL_TOKEN": "internal",
    "WARREN_SHARDS": "2",
    "WARREN_GATEWAY_ID": GATEWAY,
    "WARREN_GATEWAY_DEV_TOKENS": "true",
}
PATIENCE_S = 10.0  # no test takes so long, unless something is never answered
ROUTE = gateway_route(GATEWAY)


class ReadingSocket(FakeSocket):
    """A client that may stop reading: then the server's sends wait, as they do on a full connection."""

    def __init__(self, app: ASGIApp, query: str, path: str = "/v1/ws") -> None:
        super().__init__(app, path, query)
        self._reads = asyncio.Event()
        self._reads.set()
        self.left = asyncio.Event()

    async def run(self) -> None:
        await self._app(self._scope, self._to_server.get, self._put)
        self.left.set()

    def stall(self) -> None:
        self._reads.clear()

    def resume(self) -> None:
        self._reads.set()

    async def _put(self, message: Message) -> None:
        await self._reads.wait()
        await self._to_client.put(message)


class Edge:
    """The gateway's outside."""

    def __init__(self, tasks: asyncio.TaskGroup, environ: dict[str, str]) -> None:
        self.clock = FakeClock()
        self.server = MemoryBroker(self.clock)
        self.broker = self.server.connect()  # the gateway's connection
        self.history = FakeHistory()
        self.presence = FakePresence()
        self.topology = Topology(shards=2)
        self.mint = TokenMint(SecretStr(SECRET), clock=self.clock)
        ids = itertools.count(1)
        self.service = build(
            GatewaySettings.from_env({**ENVIRON, **environ}),
            broker=self.broker,
            history=self.history,
            presence=self.presence,
            clock=self.clock,
            new_id=lambda: f"id-{next(ids):05}",
        )
        assert self.service.public is not None
        self.app = self.service.public.app
        self._tasks = tasks
        self._sockets: list[asyncio.Task[None]] = []

    def token(self, user: str = "bob", *, lifetime_s: float = 3600, device: str | None = None) -> str:
        device_id = DeviceId(device) if device else None
        return self.mint.mint(UserId(user), user.title(), device_id, lifetime_s)[0]

    def dial(self, query: str, *, path: str = "/v1/ws") -> ReadingSocket:
        socket = ReadingSocket(self.app, query, path)
        self._sockets.append(self._tasks.create_task(socket.run(), name="socket"))
        return socket

    async def connect(self, user: str = "bob", **token: object) -> ReadingSocket:
        socket = self.dial(f"token={self.token(user, **token)}")  # type: ignore[arg-type]
        await socket.next("welcome")
        return socket

    async def posted(self) -> list[Envelope]:
        """Take the commands that were posted to history."""
        return [envelope for queue in self.topology.history_commands for envelope in await self._take(queue)]

    async def announced(self) -> list[Body]:
        """Take what the gateway told of its sessions."""
        return [envelope.body for envelope in await self._take(self.topology.presence_sessions)]

    async def signals(self) -> list[Body]:
        """Take what was relayed of typing."""
        return [envelope.body for envelope in await self._take(signals_queue())]

    async def tell(self, *bodies: Body, answer_to: str = "e", route: Route = ROUTE) -> None:
        """Publish a batch to the gateway, and let it react."""
        envelopes = [Envelope(id=answer_to, trace_id="t", occurred_at=self.clock.now(), body=body) for body in bodies]
        await self.server.publish(route, join([encode(envelope) for envelope in envelopes]))
        await settle()

    async def deliver(self, *events: Entry, to: str = "bob") -> None:
        await self.tell(*(Handoff(recipients=(UserId(to),), event=event) for event in events))

    async def _take(self, queue: Queue) -> list[Envelope]:
        await settle()
        envelopes: list[Envelope] = []
        while (delivery := await self.server.get(queue)) is not None:
            envelopes += decode_batch(delivery.body)[0]
            await delivery.ack()
        return envelopes

    async def drain(self) -> None:
        for runner in self.service.runners:
            await runner.stop()

    def cut(self) -> None:
        for socket in self._sockets:
            socket.cancel()


@asynccontextmanager
async def gateway(**environ: str) -> AsyncIterator[Edge]:
    """Run a gateway with these further settings, for the length of the context."""
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        edge = Edge(tasks, {f"WARREN_GATEWAY_{name.upper()}": value for name, value in environ.items()})
        await edge.server.declare(edge.topology)
        runners = [tasks.create_task(runner.run(), name=runner.name) for runner in edge.service.runners]
        await settle()
        yield edge
        edge.cut()
        for runner in runners:
            runner.cancel()
