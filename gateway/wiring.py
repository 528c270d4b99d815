"""Put a gateway process together; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from zoneinfo import ZoneInfo

from starlette.types import ASGIApp

from gateway.accounts import Accounts
from gateway.acks import FLUSH_S, Acks
from gateway.admin import sessions_router
from gateway.advances import Advances
from gateway.announcer import REFRESH_S, Announcer
from gateway.arrivals import Arrivals
from gateway.catch_up import CatchUps
from gateway.dialects import NATIVE, WIRES, Wire
from gateway.dialects.base import Kit, MakeDialect
from gateway.dialects.socket_io import FirstEventDialect
from gateway.directory import Directory
from gateway.door import Door
from gateway.drain import Drain
from gateway.endpoint import Endpoint
from gateway.handlers import handlers
from gateway.heartbeat import HeartbeatProtocol
from gateway.hub import Hub
from gateway.identities import Identities
from gateway.ingress import SWEEP_S, Ingress
from gateway.known import People, Rooms
from gateway.limits import RateLimiter
from gateway.notifications import Notifications, notifications_router
from gateway.positions import Positions
from gateway.presences import Presences
from gateway.queries import BoundedHistory, BoundedPresence
from gateway.requests import Services
from gateway.rest.app import build_app
from gateway.settings import GatewaySettings, SocketSettings
from gateway.socket_io.server import PATHS, SocketIo
from gateway.statuses import Statuses
from gateway.typing_signals import TypingSignals
from gateway.watching import Watchers
from gateway.world import Reach
from shared.auth import Authenticator
from shared.broker.api import Broker
from shared.broker.batching import BatchingPublisher
from shared.broker.consumer import Consumer
from shared.broker.topology import Topology, gateway_queue
from shared.clock import Clock
from shared.history_api import HistoryQueries
from shared.ids import GatewayId, NewId
from shared.presence_api import PresenceQueries
from shared.service import PublicServer, Runner, Service
from shared.ticker import Ticker

PUBLISH_PATIENCE_S = 5.0  # as long as a sender waits for an answer
TIMES_S = 1.0  # how exactly tokens expire, handshakes end, typing is taken back


@dataclass(frozen=True, slots=True)
class _Given:
    """What the process brings."""

    settings: GatewaySettings
    broker: Broker
    history: HistoryQueries
    presence: PresenceQueries
    clock: Clock
    new_id: NewId


@dataclass(frozen=True, slots=True)
class _SocketIo:
    """Socket.IO, where a wire is served that travels in it."""

    endpoints: tuple[Endpoint, ...] = ()
    runners: tuple[Runner, ...] = ()
    apps: Mapping[str, ASGIApp] = field(default_factory=dict)  # by their paths


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the gateway is made of, below its edges."""

    gateway_id: GatewayId
    publisher: BatchingPublisher
    authenticator: Authenticator
    identities: Identities
    hub: Hub
    announcer: Announcer
    services: Services
    presences: Presences
    drain: Drain
    door: Door


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
    given = _Given(settings, broker, history, presence, clock, new_id)
    parts = _parts(given)
    endpoints = {
        path: _endpoint(given, parts, make_dialect)
        for wire in (NATIVE, *_served(settings))
        for path, make_dialect in wire.sockets.items()
    }
    socket_io = _socket_io(given, parts)
    consumer = _consumer(given, parts)

    notifications = Notifications(parts.publisher, clock=clock, new_id=new_id)

    async def broker_ready() -> bool:
        return broker.connected and consumer.is_open

    async def stats() -> Mapping[str, object]:
        pending = len(parts.services.ingress)
        return {"gateway_id": parts.gateway_id, "sessions": len(parts.hub), "pending": pending}

    return Service(
        name="gateway",
        runners=_runners(given, parts, (*endpoints.values(), *socket_io.endpoints), (*socket_io.runners, consumer)),
        settings=settings,
        ready={"broker": broker_ready},
        stats=stats,
        routers=(sessions_router(parts.hub), notifications_router(notifications)),
        public=_public(settings.sockets, _app(given, parts, endpoints, socket_io.apps)),
        drain_s=settings.sockets.drain_s,
    )


def _parts(given: _Given) -> _Parts:
    settings, clock, new_id = given.settings, given.clock, given.new_id
    gateway_id = GatewayId(settings.gateway_id(new_id()))
    publisher = BatchingPublisher(
        given.broker, clock=clock, pace_s=settings.broker.publish_pace_s, patience_s=PUBLISH_PATIENCE_S
    )
    authenticator = Authenticator(settings.auth, clock=clock)
    hub = Hub()
    announcer = Announcer(publisher, hub, gateway_id=gateway_id, clock=clock, new_id=new_id)
    identities = Identities(authenticator, open_devices=settings.sockets.open_devices, clock=clock)
    services = _services(given, publisher, hub, gateway_id, identities)
    drain = Drain(
        hub,
        announcer,
        services.ingress,
        services.acks,
        services.positions,
        clock=clock,
        drain_s=settings.sockets.drain_s,
    )
    return _Parts(
        gateway_id=gateway_id,
        publisher=publisher,
        authenticator=authenticator,
        identities=identities,
        hub=hub,
        announcer=announcer,
        services=services,
        presences=Presences(services.presence, services.watchers, clock=clock),
        drain=drain,
        door=Door(gateway_id=gateway_id, hub=hub, announcer=announcer, drain=drain, services=services, new_id=new_id),
    )


def _services(
    given: _Given, publisher: BatchingPublisher, hub: Hub, gateway_id: GatewayId, identities: Identities
) -> Services:
    """Give what every session uses."""
    settings, clock, new_id = given.settings, given.clock, given.new_id
    own, queries = settings.sockets, settings.queries
    topology = Topology(shards=settings.broker.shards)
    concurrency, timeout_s = queries.query_concurrency, queries.query_timeout_s
    history = BoundedHistory(given.history, concurrency=concurrency, timeout_s=timeout_s)
    ingress = Ingress(publisher, topology, gateway_id=gateway_id, clock=clock, new_id=new_id)
    acks = Acks(publisher, topology, clock=clock, new_id=new_id)
    directory = Directory(history)
    watchers = Watchers(hub)
    return Services(
        settings=own,
        ingress=ingress,
        acks=acks,
        typing=TypingSignals(publisher, clock=clock, new_id=new_id),
        history=history,
        catch_ups=CatchUps(history, clock=clock, concurrency=concurrency),
        accounts=Accounts(given.presence, clock=clock),
        directory=directory,
        presence=BoundedPresence(given.presence, concurrency=concurrency, timeout_s=timeout_s),
        watchers=watchers,
        statuses=Statuses(publisher, new_id=new_id),
        limiter=RateLimiter(settings.rate_per_s(), own.rate_burst, clock=clock),
        positions=Positions(given.presence, clock=clock),
        reach=Reach(
            history=given.history,
            presence=given.presence,
            ingress=ingress,
            acks=acks,
            advances=Advances(),
            directory=directory,
            identities=identities,
            people=People(given.presence, clock=clock),
            rooms=Rooms(given.history, clock=clock),
            watchers=watchers,
            clock=clock,
            new_id=new_id,
            arrival_s=own.arrival_s,
        ),
        clock=clock,
    )


def _served(settings: GatewaySettings) -> tuple[Wire, ...]:
    return tuple(wire for wire in WIRES if settings.served(wire.name))


def _endpoint(given: _Given, parts: _Parts, make_dialect: MakeDialect) -> Endpoint:
    own = given.settings.sockets
    kit = Kit(
        new_id=given.new_id,
        now=given.clock.now,
        max_frame_bytes=own.max_frame_bytes,
        zone=ZoneInfo(own.time_zone),
    )
    return Endpoint(
        partial(make_dialect, kit),
        door=parts.door,
        identities=parts.identities,
        services=parts.services,
    )


def _socket_io(given: _Given, parts: _Parts) -> _SocketIo:
    """Make what serves the wires over Socket.IO, all at the same paths."""
    wires = {event: make for wire in _served(given.settings) for event, make in wire.socket_io.items()}
    if not wires:
        return _SocketIo()
    own = given.settings.sockets
    endpoint = _endpoint(given, parts, partial(FirstEventDialect.make, wires))
    server = SocketIo(endpoint.serve, max_read_bytes=own.max_read_bytes, ping_s=own.heartbeat_s)
    return _SocketIo((endpoint,), (server,), dict.fromkeys(PATHS, server))


def _consumer(given: _Given, parts: _Parts) -> Consumer:
    """Make what reads the gateway's queue."""
    hub, announcer, services = parts.hub, parts.announcer, parts.services
    arrivals = Arrivals(hub, announcer, services.catch_ups, services.ingress, services.accounts, parts.presences)
    taken = handlers(
        ingress=services.ingress,
        hub=hub,
        announcer=announcer,
        catch_ups=services.catch_ups,
        watchers=services.watchers,
        accounts=services.accounts,
        people=services.reach.people,
        rooms=services.reach.rooms,
        advances=services.reach.advances,
        clock=given.clock,
    )
    return Consumer(
        given.broker,
        gateway_queue(parts.gateway_id),
        taken,
        clock=given.clock,
        new_id=given.new_id,
        on_open=arrivals.reopened,
    )


def _app(given: _Given, parts: _Parts, endpoints: Mapping[str, Endpoint], socket_io: Mapping[str, ASGIApp]) -> ASGIApp:
    return build_app(
        endpoints,
        socket_io,
        given.settings,
        door=parts.door,
        services=parts.services,
        history=given.history,
        presence=given.presence,
        directory=parts.services.directory,
        accounts=parts.services.accounts,
        authenticator=parts.authenticator,
        identities=parts.identities,
        hub=parts.hub,
        new_id=given.new_id,
    )


def _runners(given: _Given, parts: _Parts, endpoints: Sequence[Endpoint], ends: Sequence[Runner]) -> tuple[Runner, ...]:
    clock, services = given.clock, parts.services

    async def watch_times() -> None:
        for session in parts.hub:
            session.check_times(clock.now(), clock.monotonic())
        for endpoint in endpoints:
            endpoint.sweep()
        services.typing.sweep()
        services.limiter.sweep()

    return (
        parts.drain,
        services.catch_ups,
        parts.presences,
        Ticker("gateway.times", TIMES_S, watch_times, clock=clock),
        Ticker("gateway.answers", SWEEP_S, services.ingress.sweep, clock=clock),
        Ticker("gateway.acks", FLUSH_S, services.acks.flush, clock=clock),
        services.positions,
        Ticker("gateway.lease", REFRESH_S, parts.announcer.refresh, clock=clock),
        *ends,
        parts.publisher,
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
