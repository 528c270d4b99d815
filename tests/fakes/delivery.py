"""A delivery replica on a broker in memory, and what surrounds it."""

from contextlib import AbstractAsyncContextManager
from typing import Self

from delivery import wiring
from delivery.settings import DeliverySettings
from shared.broker.memory import MemoryBroker
from shared.broker.topology import Route, Topology
from shared.commands import MessageType
from shared.envelope import Body, Envelope, encode, join
from shared.events import Entry, Message, MessageStored
from shared.ids import ConversationId, MessageId, UserId, new_id
from shared.service import Service
from tests.fakes.clock import START, FakeClock, settle
from tests.fakes.member_queries import FakeMemberQueries
from tests.fakes.running import PlayedGateway

ALICE, BOB, CAROL = UserId("alice"), UserId("bob"), UserId("carol")
ROOM = ConversationId("room")
TOPOLOGY = Topology(shards=2)
SETTINGS = DeliverySettings.from_env(
    {
        "WARREN_SHARDS": "2",
        "WARREN_MODE": "development",
        "WARREN_PUBLISH_PACE_S": "0",
        "WARREN_ADMIN_TOKEN": "admin",
        "WARREN_INTERNAL_TOKEN": "internal",
    }
)


class Delivery:
    """One delivery replica on a broker in memory, and what surrounds it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.broker = MemoryBroker(self.clock)
        self.connection = self.broker.connect()
        self.history = FakeMemberQueries()

    @classmethod
    async def declared(cls) -> Self:
        """Make one whose broker has its queues."""
        made = cls()
        await made.broker.declare(TOPOLOGY)
        return made

    def build(self) -> Service:
        return wiring.build(SETTINGS, broker=self.connection, history=self.history, clock=self.clock, new_id=new_id)

    def gateway(self, name: str) -> AbstractAsyncContextManager[PlayedGateway]:
        return PlayedGateway.open(name, self.broker.connect(), self.clock)

    async def store(self, seq: int, *audience: UserId) -> None:
        """Publish what history publishes when it has stored a message."""
        await self.happen(stored(seq, *audience))

    async def happen(self, *entries: Entry) -> None:
        """Publish entries of the room's log, as one batch."""
        await self.publish(TOPOLOGY.events_route(ROOM), *entries)

    async def publish(self, route: Route, *bodies: Body) -> None:
        envelopes = [
            Envelope(id=new_id(), trace_id="trace", occurred_at=self.clock.now(), body=body) for body in bodies
        ]
        await self.broker.publish(route, join([encode(envelope) for envelope in envelopes]))
        await settle()

    async def left(self) -> list[str]:
        """Name the queues of events, retries and dead letters in which something waits."""
        queues = [queue for queue in TOPOLOGY.queues if queue.family == "delivery.events"]
        return [queue.name for queue in queues if await self.broker.depth(queue)]


def stored(seq: int, *audience: UserId) -> MessageStored:
    message = Message(
        id=MessageId(f"m{seq}"),
        number=seq,
        conversation_id=ROOM,
        seq=seq,
        version=seq,
        client_id=f"c{seq}",
        sender_id=ALICE,
        sender_name="Alice",
        type=MessageType.TEXT,
        content="hi",
        created_at=START,
    )
    return MessageStored(message=message, audience=audience)
