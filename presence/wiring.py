"""Put a presence process together; no I/O."""

from collections.abc import Mapping

from presence.admin import presence_router
from presence.api import query_router
from presence.data_admin import data_router
from presence.erasure import Erasures
from presence.handlers import TrackSessions
from presence.leases import LeaseWatch
from presence.limits import DeviceLimit
from presence.outbound import Outbound
from presence.queries import Store, StoredPresence
from presence.settings import PresenceSettings
from shared.broker.api import Broker
from shared.broker.batching import BatchingPublisher
from shared.broker.consumer import Consumer
from shared.broker.topology import Topology
from shared.clock import Clock
from shared.commands import SetStatus
from shared.events import (
    GatewayRefreshed,
    GatewayStopped,
    SessionClosed,
    SessionOpened,
    SessionsAnnounced,
    SessionsWanted,
)
from shared.ids import NewId
from shared.service import Service
from shared.ticker import Ticker

SESSION_EVENTS = (
    SessionOpened,
    SessionClosed,
    SessionsAnnounced,
    GatewayRefreshed,
    GatewayStopped,
    SessionsWanted,
    SetStatus,
)
UPKEEP_EVERY_S = 1.0  # with the lease of 15 s: a killed gateway's users are offline within 20 s


def build(settings: PresenceSettings, *, broker: Broker, store: Store, clock: Clock, new_id: NewId) -> Service:
    """Build presence: it tracks sessions, tells who came and went, and answers who is there."""
    own = settings.presence
    publisher = BatchingPublisher(broker, clock=clock, pace_s=settings.broker.publish_pace_s)
    outbound = Outbound(publisher, clock=clock, new_id=new_id)
    watch = LeaseWatch(clock=clock)
    limit = DeviceLimit(own.max_devices, own.device_policy)
    track = TrackSessions(store, outbound, watch, limit, clock=clock, new_id=new_id)
    queries = StoredPresence(store, outbound, clock=clock)
    sessions = Consumer(
        broker,
        Topology(shards=settings.broker.shards).presence_sessions,
        dict.fromkeys(SESSION_EVENTS, track),
        clock=clock,
        new_id=new_id,
        on_open=watch.reset,
    )

    async def broker_ready() -> bool:
        return broker.connected

    async def sessions_ready() -> bool:
        return sessions.is_open

    async def stats() -> Mapping[str, object]:
        return {"leases_trusted": watch.trusted}

    return Service(
        name="presence",
        runners=(sessions, _upkeep(track, sessions, watch, clock), publisher),
        settings=settings,
        ready={"broker": broker_ready, "store": store.ping, "sessions": sessions_ready},
        stats=stats,
        routers=(presence_router(store, queries, clock=clock), data_router(Erasures(store, outbound, clock=clock))),
        internal=(query_router(queries),),
        drain_s=own.drain_s,
    )


def _upkeep(track: TrackSessions, sessions: Consumer, watch: LeaseWatch, clock: Clock) -> Ticker:
    async def upkeep() -> None:
        if sessions.is_open:
            await track.upkeep()
        else:
            await watch.reset()

    return Ticker("presence.upkeep", UPKEEP_EVERY_S, upkeep, clock=clock)
