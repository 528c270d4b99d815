"""The gateway's public app: REST, its documentation, and the sockets."""

from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from gateway import sign_in
from gateway.accounts import Accounts
from gateway.dialects.native_views import SyncView
from gateway.directory import Directory
from gateway.door import Door
from gateway.hub import Hub
from gateway.identities import Identities
from gateway.requests import Services
from gateway.rest.bodies import BodyLimit
from gateway.rest.callers import Callers
from gateway.rest.changes import changes_router
from gateway.rest.conversations import (
    ChannelsView,
    ConversationsView,
    UnreadView,
    conversations_router,
    making_router,
)
from gateway.rest.device_chat.callers import DeviceCallers
from gateway.rest.device_chat.routes import device_chat_router
from gateway.rest.devices import DevicesView, devices_router
from gateway.rest.huddle.app import huddle_routers
from gateway.rest.members import MembersView, joining_router, members_router
from gateway.rest.messages import messages_router
from gateway.rest.presence import presence_router
from gateway.rest.receipts import ReadersView, ReceiptTaken, receipts_router
from gateway.rest.refusals import Refused, answer_refused
from gateway.rest.schemas import document
from gateway.rest.service.routes import service_router
from gateway.rest.shown import Shown
from gateway.rest.sse import sse_router
from gateway.rest.sync import sync_router
from gateway.rest.tokens import TokenView, tokens_router
from gateway.rest.users import ProfilesView, users_router
from gateway.settings import GatewaySettings
from gateway.views import AcceptedView, ChangedView, MessagesView, PresencesView, StoredView
from shared.auth import Authenticator, TokenMint
from shared.history_api import HistoryQueries
from shared.http import install_error_handlers
from shared.ids import NewId
from shared.presence_api import PresenceQueries

DESCRIPTION = "Every error is `{code, message, retry_after_ms?, details?}`. The socket is at `/v1/ws`."
_ANSWERS = (
    *(ConversationsView, ChannelsView, UnreadView, MembersView, MessagesView, StoredView, AcceptedView, ChangedView),
    *(ReceiptTaken, ReadersView, SyncView, ProfilesView, PresencesView, DevicesView, TokenView),
)

log = structlog.get_logger()


def build_app(
    sockets: Mapping[str, ASGIApp],
    socket_io: Mapping[str, ASGIApp],
    settings: GatewaySettings,
    *,
    services: Services,
    door: Door,
    history: HistoryQueries,
    presence: PresenceQueries,
    directory: Directory,
    accounts: Accounts,
    authenticator: Authenticator,
    identities: Identities,
    hub: Hub,
    new_id: NewId,
) -> FastAPI:
    """Make the app; no I/O."""
    app = FastAPI(
        title="Warren",
        version="1",
        description=DESCRIPTION,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.sockets.max_read_bytes)
    _allow_origins(app, settings)
    install_error_handlers(app)
    app.add_exception_handler(Refused, answer_refused)
    app.state.callers = callers = Callers(authenticator, services.limiter, accounts)
    app.state.directory = directory
    named = settings.served("envelope")
    app.include_router(sse_router(door=door, callers=callers, services=services, new_id=new_id, named=named))
    for router in _routers(services, history, presence, directory, new_id):
        app.include_router(router)
    if settings.sockets.open_devices:
        log.warning("open_devices", meaning="whoever names a device or user is believed to be it, without a token")
    if settings.served("devices"):  # before huddle, which has /api/messages/{id}
        app.include_router(_device_chat(settings, services, accounts, identities, hub))
    secret = settings.auth.jwt_secret
    if settings.sockets.dev_tokens and secret is not None:
        log.warning("dev_tokens", meaning="POST /api/auth/token gives a token of any user to whoever asks")
        app.include_router(tokens_router(TokenMint(secret, clock=services.clock)))
    app.state.reach = services.reach
    if settings.served("service"):
        app.include_router(service_router(ZoneInfo(settings.sockets.time_zone)))
    if settings.served("huddle"):
        accounts_here = sign_in.build(settings, services.reach.presence, clock=services.clock, new_id=new_id)
        for router in huddle_routers(services.reach.presence, accounts_here):
            app.include_router(router, include_in_schema=False)
    for path, socket in sockets.items():
        app.router.routes.append(WebSocketRoute(path, socket))
    for path, transport in socket_io.items():
        app.router.routes += (Route(path, transport, include_in_schema=False), WebSocketRoute(path, transport))
    document(app, *_ANSWERS)
    return app


def _routers(
    services: Services, history: HistoryQueries, presence: PresenceQueries, directory: Directory, new_id: NewId
) -> Iterator[APIRouter]:
    shown, ingress = Shown(history, presence), services.ingress
    yield conversations_router(history=history, shown=shown)
    yield making_router(directory=directory, shown=shown, ingress=ingress, new_id=new_id)
    yield members_router(history=history, ingress=ingress, new_id=new_id)
    yield joining_router(shown=shown, ingress=ingress, new_id=new_id)
    yield messages_router(history=history, directory=directory, ingress=ingress, new_id=new_id)
    yield changes_router(ingress=ingress, new_id=new_id)
    yield receipts_router(history=history, directory=directory, acks=services.acks)
    yield sync_router(history=history)
    yield users_router(presence=presence)
    yield presence_router(presence=presence)
    yield devices_router(presence=presence)


def _device_chat(
    settings: GatewaySettings, services: Services, accounts: Accounts, identities: Identities, hub: Hub
) -> APIRouter:
    callers = DeviceCallers(
        identities=identities,
        limiter=services.limiter,
        accounts=accounts,
        hub=hub,
        reach=services.reach,
        is_open=settings.sockets.open_devices,
    )
    return device_chat_router(callers, services.reach.presence)


def _allow_origins(app: FastAPI, settings: GatewaySettings) -> None:
    origins, pattern = settings.sockets.origins(), settings.origin_pattern()
    if origins or pattern:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_origin_regex=pattern,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Last-Event-ID",
                "X-Access-Token",
                "X-Device-ID",
            ],
            expose_headers=["Retry-After"],
        )


def _operation_id(route: APIRoute) -> str:
    return route.name
