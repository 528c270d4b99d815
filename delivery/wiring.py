"""Put a delivery process together; no I/O."""

from collections.abc import Mapping

from delivery.admin import dead_letter_router, routing_router
from delivery.courier import Courier
from delivery.dead_letters import DeadLetters
from delivery.handlers import DeliverEntries, KeepRoutes, RelayTyping
from delivery.members import MemberQueries, Members
from delivery.routing import RoutingTable
from delivery.settings import DeliverySettings
from shared.broker.api import Broker
from shared.broker.batching import BatchingPublisher
from shared.broker.consumer import Consumer
from shared.broker.shares import Shares
from shared.broker.topology import DELIVERY_EVENTS, Topology, routing_queue, signals_queue
from shared.clock import Clock
from shared.commands import SetStatus, SetTyping
from shared.events import (
    ConversationChanged,
    GatewayRefreshed,
    GatewayStopped,
    MessageDeleted,
    MessageEdited,
    MessageStored,
    ReactionChanged,
    SessionClosed,
    SessionOpened,
    SessionsAnnounced,
    SessionsWanted,
)
from shared.ids import NewId
from shared.service import Service
from shared.ticker import Ticker

ENTRIES = (MessageStored, MessageEdited, MessageDeleted, ReactionChanged, ConversationChanged)
SESSION_EVENTS = (
    SessionOpened,
    SessionClosed,
    SessionsAnnounced,
    GatewayRefreshed,
    GatewayStopped,
    SessionsWanted,
    SetStatus,
)
EXPIRE_EVERY_S = 1.0


def build(
    settings: DeliverySettings, *, broker: Broker, history: MemberQueries, clock: Clock, new_id: NewId
) -> Service:
    """Build delivery: it routes what its shards bring, by a table that its own sessions queue feeds."""
    own = settings.delivery
    topology = Topology(shards=settings.broker.shards)
    replica_id = new_id()
    publisher = BatchingPublisher(broker, clock=clock, pace_s=settings.broker.publish_pace_s)
    table = RoutingTable(clock=clock)
    courier = Courier(publisher, table)
    members = Members(history, clock=clock, capacity=own.members_cached, fresh_s=own.members_fresh_s)
    keep_routes = KeepRoutes(table, courier, publisher, replica_id=replica_id, clock=clock, new_id=new_id)
    deliver = DeliverEntries(table, courier, members, clock=clock)
    relay = RelayTyping(table, courier, members)

    sessions = Consumer(
        broker,
        routing_queue(replica_id),
        dict.fromkeys(SESSION_EVENTS, keep_routes),
        clock=clock,
        new_id=new_id,
        on_open=keep_routes.ask,
    )
    signals = Consumer(broker, signals_queue(), {SetTyping: relay}, clock=clock, new_id=new_id)
    events = [
        Consumer(broker, queue, dict.fromkeys(ENTRIES, deliver), clock=clock, new_id=new_id)
        for queue in topology.delivery_events
    ]
    shares = Shares(
        broker, events, publisher, family=DELIVERY_EVENTS, replica_id=replica_id, clock=clock, new_id=new_id
    )
    expiry = Ticker("delivery.expiry", EXPIRE_EVERY_S, keep_routes.expire, clock=clock)

    async def broker_ready() -> bool:
        return broker.connected

    async def sessions_ready() -> bool:
        return sessions.is_open

    async def stats() -> Mapping[str, object]:
        routes = {"gateways": table.gateway_count, "sessions": table.session_count}
        shards = {"shards_open": shares.held, "shards": topology.shards, "replicas": shares.replicas}
        return {"replica_id": replica_id, **routes, **shards}

    return Service(
        name="delivery",
        runners=(shares, *events, signals, sessions, expiry, publisher),
        settings=settings,
        ready={"broker": broker_ready, "sessions": sessions_ready},
        stats=stats,
        routers=(
            routing_router(table, broker, topology),
            dead_letter_router(DeadLetters(broker, topology, clock=clock)),
        ),
        drain_s=own.drain_s,
    )
