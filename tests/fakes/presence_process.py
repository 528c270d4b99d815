"""Presence processes on a broker in memory, a gateway that tells them of sessions, and an ear for what they tell."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Self, TypeVar

import httpx

from presence import wiring
from presence.queries import Store
from presence.settings import PresenceSettings
from presence.store import Standing
from shared.admin import build_admin_app
from shared.broker.api import Deliveries
from shared.broker.memory import MemoryBroker
from shared.broker.topology import PRESENCE, Binding, Queue, QueueKind, Topology
from shared.envelope import Body, decode_batch
from shared.errors import StoreUnavailable
from shared.events import GatewayRefreshed, PresenceChanged
from shared.ids import GatewayId, UserId, new_id
from shared.service import Service
from tests.fakes.clock import START, FakeClock, settle
from tests.fakes.presence_store import FakePresenceStore
from tests.fakes.running import PlayedGateway, running

BodyT = TypeVar("BodyT")
GATEWAY = GatewayId("gw-1")
TOPOLOGY = Topology(shards=2)
ENVIRON = {
    "WARREN_MODE": "development",
    "WARREN_PUBLISH_PACE_S": "0",
    "WARREN_ADMIN_TOKEN": "admin",
    "WARREN_INTERNAL_TOKEN": "internal",
}
REFRESHED = GatewayRefreshed(gateway_id=GATEWAY, lease_s=15)


class ForgetfulStore(FakePresenceStore):
    """Fails once to record what was published."""

    forgetful = False

    async def settle(self, user_ids: Collection[UserId], changed: Sequence[Standing], *, gone_until: datetime) -> None:
        if self.forgetful:
            self.forgetful = False
            raise StoreUnavailable("It is lost between telling and recording.")
        await super().settle(user_ids, changed, gone_until=gone_until)


class PlayedPresence:
    """Presence processes over one store, a gateway, and someone who hears what is published."""

    def __init__(self, clock: FakeClock, broker: MemoryBroker, gateway: PlayedGateway, heard: Deliveries) -> None:
        self.clock = clock
        self.broker = broker
        self.connections: list[MemoryBroker] = []
        self.store = ForgetfulStore()
        self.gateway = gateway
        self._heard = heard

    def build(self, *, store: Store | None = None, **environ: str) -> Service:
        self.connections.append(self.broker.connect())
        return wiring.build(
            PresenceSettings.from_env(ENVIRON | environ),
            broker=self.connections[-1],
            store=store or self.store,
            clock=self.clock,
            new_id=new_id,
        )

    async def news(self, kind: type[BodyT]) -> list[BodyT]:
        """Give what every gateway was told since the last call; what is of another kind is lost."""
        await settle()
        bodies: list[Body] = []
        while (delivery := self._heard.waiting()) is not None:
            bodies += [envelope.body for envelope in decode_batch(delivery.body)[0]]
            await delivery.ack()
        return [body for body in bodies if isinstance(body, kind)]

    async def changes(self) -> list[tuple[str, str, int]]:
        """Give who changed to what since the last call: user, status, devices."""
        return [(change.user_id, change.status, change.devices) for change in await self.news(PresenceChanged)]

    async def last_seen_s(self, user_id: UserId) -> float:
        """Give when the user was last seen, in seconds since the start."""
        last_seen = (await self.store.standings([user_id]))[user_id].told.last_seen
        assert last_seen is not None
        return (last_seen - START).total_seconds()

    async def live(self, seconds: int) -> None:
        """Let the gateway live on, refreshing."""
        for _ in range(seconds // 5):
            await self.gateway.tell(REFRESHED)
            await self.clock.advance(5)

    @asynccontextmanager
    async def asked(self, token: str) -> AsyncIterator[httpx.AsyncClient]:
        """Ask a process's admin and internal APIs with one of their tokens. Its runners run, too."""
        service = self.build()
        app = build_admin_app(service, PresenceSettings.from_env(ENVIRON).admin, asyncio.Event())
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            running(service),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://presence", headers=headers
            ) as client,
        ):
            yield client

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        """Make the broker and the gateway; a test builds and runs the processes itself."""
        clock = FakeClock()
        broker = MemoryBroker(clock)
        await broker.declare(TOPOLOGY)
        ear = Queue("ear", (Binding(PRESENCE),), kind=QueueKind.EXCLUSIVE)
        async with (
            PlayedGateway.open(GATEWAY, broker.connect(), clock) as gateway,
            broker.connect().consume(ear, prefetch=1000) as heard,
        ):
            yield cls(clock, broker, gateway, heard)
