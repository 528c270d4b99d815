"""One history process on a broker in memory, a store that may have a bug, and what is told by it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Self, TypeAlias

from history import wiring
from history.sequence import Appended
from history.settings import HistorySettings
from history.store import NO_GATEWAYS
from shared.broker.api import Headers
from shared.broker.memory import MemoryBroker
from shared.broker.topology import Exchange, Route, Topology
from shared.commands import Acknowledge, Alteration, CreateConversation, SendMessage
from shared.envelope import Envelope, decode_batch, encode, join
from shared.errors import BrokerUnavailable, WarrenError
from shared.ids import GatewayId, MessageId, new_id
from tests.fakes.clock import FakeClock, settle
from tests.fakes.history_store import FakeMessageStore
from tests.fakes.running import PlayedGateway, running

Order: TypeAlias = SendMessage | Acknowledge | CreateConversation | Alteration
TOPOLOGY = Topology(shards=2)
SETTINGS = HistorySettings.from_env(
    {
        "WARREN_SHARDS": "2",
        "WARREN_MODE": "development",
        "WARREN_PUBLISH_PACE_S": "0",
        "WARREN_ADMIN_TOKEN": "admin",
        "WARREN_INTERNAL_TOKEN": "internal",
    }
)


class PoisonedStore(FakeMessageStore):
    """A store with a bug that one content brings out."""

    async def append(
        self,
        commands: Sequence[SendMessage],
        *,
        at: datetime,
        repeated: bool,
        via: Mapping[MessageId, GatewayId] = NO_GATEWAYS,
    ) -> list[Appended | WarrenError]:
        if any(command.content == "poison" for command in commands):
            raise ZeroDivisionError
        return await super().append(commands, at=at, repeated=repeated, via=via)


class FlakyBroker(MemoryBroker):
    """A connection that fails as often as it is told, publishing to one exchange."""

    failing: Exchange | None = None
    failures = 0
    failure: WarrenError = BrokerUnavailable("The connection was told to fail.")

    async def publish(self, route: Route, body: bytes, *, headers: Headers | None = None) -> None:
        if route.exchange is self.failing and self.failures:
            self.failures -= 1
            raise self.failure
        await super().publish(route, body, headers=headers)


class PlayedHistory:
    """One history replica on a broker in memory, and what surrounds it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.broker = MemoryBroker(self.clock)
        self.store = PoisonedStore()
        self.connection = FlakyBroker(self.clock, parent=self.broker)

    @classmethod
    async def declared(cls) -> Self:
        """Make one whose exchanges and queues are there."""
        made = cls()
        await made.broker.declare(TOPOLOGY)
        return made

    def run(self) -> AbstractAsyncContextManager[None]:
        service = wiring.build(SETTINGS, broker=self.connection, store=self.store, clock=self.clock, new_id=new_id)
        return running(service)

    def gateway(self, name: str = "gw-1") -> AbstractAsyncContextManager[PlayedGateway]:
        return PlayedGateway.open(name, self.broker.connect(), self.clock)

    async def order(self, *commands: Order, reply_to: str | None = "gw-1", attempt: int = 1) -> list[Envelope]:
        """Publish commands to their conversation's shard, and let history carry them out."""
        envelopes = [
            Envelope(
                id=new_id(),
                trace_id=new_id(),
                occurred_at=self.clock.now(),
                body=command,
                attempt=attempt,
                reply_to=GatewayId(reply_to) if reply_to else None,
            )
            for command in commands
        ]
        route = TOPOLOGY.commands_route(commands[0].conversation_id)
        await self.broker.publish(route, join([encode(envelope) for envelope in envelopes]))
        await settle()
        return envelopes

    async def events(self) -> list[Envelope]:
        """Take what history has told delivery."""
        envelopes: list[Envelope] = []
        for queue in TOPOLOGY.delivery_events:
            while (delivery := await self.broker.get(queue)) is not None:
                envelopes += decode_batch(delivery.body)[0]
                await delivery.ack()
        return envelopes

    async def left(self) -> list[str]:
        """Name the queues of commands, retries and dead letters in which something waits."""
        queues = [queue for queue in TOPOLOGY.queues if queue.family == "history.commands"]
        return [queue.name for queue in queues if await self.broker.depth(queue)]
