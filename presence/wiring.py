"""Put a presence process together; no I/O."""

from collections.abc import Mapping

from presence.admin import presence_router
from presence.api import query_router
from presence.handlers import TrackSessions
from presence.leases import LeaseWatch
from presence.queries import StoredPresence
from presence.settings import PresenceSettings
from presence.store import PresenceStore
from shared.broker.api import Broker
from shared.broker.batching import BatchingPublisher
from shared.broker.consumer import Consumer
from shared.broker.topology import Topology
from shared.clock import Clock
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

SESSION_EVENTS = (SessionOpened, SessionClosed, SessionsAnnounced, GatewayRefreshed, GatewayStopped, SessionsWanted)
EXPIRE_EVERY_S = 2.0  # with the lease of 15 s: a killed gateway's users are offline within 20 s


def build(settings: PresenceSettings, *, broker: Broker, store: PresenceStore, clock: Clock, new_id: NewId) -> Service:
    """Build presence: it tracks sessions, tells who came and went, and answers who is there."""
    own = settings.presence
    publisher = BatchingPublisher(broker, clock=clock, pace_s=settings.broker.publish_pace_s)
    watch = LeaseWatch(clock=clock)
    track = TrackSessions(store, publisher, watch, clock=clock, new_id=new_id)
    sessions = Consumer(
        broker,
        Topology(shards=settings.broker.shards).presence_sessions,
        dict.fromkeys(SESSION_EVENTS, track),
        clock=clock,
        new_id=new_id,
        on_open=watch.reset,
    )

    async def expire() -> None:
        if sessions.is_open:
            await track.expire()
        else:
            await watch.reset()

    async def broker_ready() -> bool:
        return broker.connected

    async def sessions_ready() -> bool:
        return sessions.is_open

    async def stats() -> Mapping[str, object]:
        return {"leases_trusted": watch.trusted}

    return Service(
        name="presence",
        runners=(sessions, Ticker("presence.expiry", EXPIRE_EVERY_S, expire, clock=clock), publisher),
        settings=settings,
        ready={"broker": broker_ready, "store": store.ping, "sessions": sessions_ready},
        stats=stats,
        routers=(presence_router(store),),
        internal=(query_router(StoredPresence(store, clock=clock)),),
        drain_s=own.drain_s,
    )
