"""Put a gateway process together; no I/O."""

from collections.abc import Mapping
from functools import partial

from starlette.types import ASGIApp

from gateway.accounts import Accounts
from gateway.acks import FLUSH_S, Acks
from gateway.admin import sessions_router
from gateway.announcer import REFRESH_S, Announcer
from gateway.arrivals import Arrivals
from gateway.catch_up import CatchUps
from gateway.dialects import DIALECTS
from gateway.directory import Directory
from gateway.drain import Drain
from gateway.endpoint import Endpoint
from gateway.handlers import handlers
from gateway.heartbeat import HeartbeatProtocol
from gateway.hub import Hub
from gateway.ingress import SWEEP_S, Ingress
from gateway.limits import RateLimiter
from gateway.queries import BoundedHistory
from gateway.requests import Services
from gateway.rest.app import build_app
from gateway.settings import GatewaySettings, SocketSettings
from gateway.typing_signals import TypingSignals
from shared.auth import Authenticator
from shared.broker.api import Broker
from shared.broker.batching import BatchingPublisher
from shared.broker.consumer import Consumer
from shared.broker.topology import Topology, gateway_queue
from shared.clock import Clock
from shared.history_api import HistoryQueries
from shared.ids import GatewayId, NewId
from shared.presence_api import PresenceQueries
from shared.service import PublicServer, Service
from shared.ticker import Ticker

PUBLISH_PATIENCE_S = 5.0  # as long as a sender waits for an answer
TIMES_S = 1.0  # how exactly tokens expire, handshakes end, typing is taken back


def build(
    settings: GatewaySettings,
    *,
    broker: Broker,
    history: HistoryQueries,
    presence: PresenceQueries,
    clock: Clock,
    new_id: NewId,
) -> Service:
    """Build a gateway: sockets and REST at the edge, one queue for all that comes back."""
    own = settings.sockets
    gateway_id = GatewayId(settings.gateway_id(new_id()))
    topology = Topology(shards=settings.broker.shards)
    publisher = BatchingPublisher(
        broker, clock=clock, pace_s=settings.broker.publish_pace_s, patience_s=PUBLISH_PATIENCE_S
    )
    authenticator = Authenticator(settings.auth, clock=clock)
    hub = Hub()
    announcer = Announcer(publisher, hub, gateway_id=gateway_id, clock=clock, new_id=new_id)
    ingress = Ingress(publisher, topology, gateway_id=gateway_id, clock=clock, new_id=new_id)
    acks = Acks(publisher, topology, clock=clock, new_id=new_id)
    typing = TypingSignals(publisher, clock=clock, new_id=new_id)
    services = _services(settings, ingress, acks, typing, history, clock)
    drain = Drain(hub, announcer, ingress, acks, clock=clock, drain_s=own.drain_s)
    endpoints = {
        path: Endpoint(
            partial(make_dialect, new_id=new_id, now=clock.now, max_frame_bytes=own.max_frame_bytes),
            gateway_id=gateway_id,
            authenticator=authenticator,
            hub=hub,
            announcer=announcer,
            drain=drain,
            services=services,
            new_id=new_id,
        )
        for path, make_dialect in DIALECTS.items()
    }
    arrivals = Arrivals(hub, announcer, services.catch_ups, ingress)
    consumer = Consumer(
        broker,
        gateway_queue(gateway_id),
        handlers(ingress=ingress, hub=hub, announcer=announcer, catch_ups=services.catch_ups),
        clock=clock,
        new_id=new_id,
        on_open=arrivals.reopened,
    )
    app = build_app(
        endpoints,
        settings,
        services=services,
        history=history,
        presence=presence,
        directory=Directory(history),
        accounts=Accounts(presence, clock=clock),
        authenticator=authenticator,
        new_id=new_id,
    )

    async def watch_times() -> None:
        for session in hub:
            session.check_times(clock.now(), clock.monotonic())
        for endpoint in endpoints.values():
            endpoint.sweep()
        typing.sweep()
        services.limiter.sweep()

    async def broker_ready() -> bool:
        return broker.connected and consumer.is_open

    async def stats() -> Mapping[str, object]:
        return {"gateway_id": gateway_id, "sessions": len(hub), "pending": len(ingress)}

    return Service(
        name="gateway",
        runners=(
            drain,
            services.catch_ups,
            Ticker("gateway.times", TIMES_S, watch_times, clock=clock),
            Ticker("gateway.answers", SWEEP_S, ingress.sweep, clock=clock),
            Ticker("gateway.acks", FLUSH_S, acks.flush, clock=clock),
            Ticker("gateway.lease", REFRESH_S, announcer.refresh, clock=clock),
            consumer,
            publisher,
        ),
        settings=settings,
        ready={"broker": broker_ready},
        stats=stats,
        routers=(sessions_router(hub),),
        public=_public(own, app),
        drain_s=own.drain_s,
    )


def _services(
    settings: GatewaySettings,
    ingress: Ingress,
    acks: Acks,
    typing: TypingSignals,
    history: HistoryQueries,
    clock: Clock,
) -> Services:
    """Give what every session uses."""
    own, queries = settings.sockets, settings.queries
    bounded = BoundedHistory(history, concurrency=queries.query_concurrency, timeout_s=queries.query_timeout_s)
    return Services(
        settings=own,
        ingress=ingress,
        acks=acks,
        typing=typing,
        history=bounded,
        catch_ups=CatchUps(bounded, clock=clock, concurrency=queries.query_concurrency),
        limiter=RateLimiter(settings.rate_per_s(), own.rate_burst, clock=clock),
        clock=clock,
    )


def _public(own: SocketSettings, app: ASGIApp) -> PublicServer:
    return PublicServer(
        app,
        own.host,
        own.port,
        ws_protocol=HeartbeatProtocol,
        ws_max_size=own.max_read_bytes,
        ws_ping_interval_s=own.heartbeat_s,
        ws_ping_timeout_s=own.silence_s - own.heartbeat_s,
    )
