"""The gateway's public app: REST, its documentation, and the sockets."""

from collections.abc import Mapping

import structlog
from fastapi import FastAPI
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from gateway.requests import Services
from gateway.rest.bodies import BodyLimit
from gateway.rest.callers import Callers
from gateway.rest.conversations import ConversationsView, UnreadView, conversations_router
from gateway.rest.messages import ReceiptTaken, messages_router, receipts_router
from gateway.rest.schemas import document
from gateway.rest.tokens import TokenView, tokens_router
from gateway.settings import GatewaySettings
from gateway.views import AcceptedView, MessagesView, StoredView
from shared.auth import Authenticator, TokenMint
from shared.history_api import HistoryQueries
from shared.http import install_error_handlers
from shared.ids import NewId
from shared.presence_api import PresenceQueries

DESCRIPTION = "Every error is `{code, message, retry_after_ms?, details?}`. The socket is at `/v1/ws`."

log = structlog.get_logger()


def build_app(
    sockets: Mapping[str, ASGIApp],
    settings: GatewaySettings,
    *,
    services: Services,
    history: HistoryQueries,
    presence: PresenceQueries,
    authenticator: Authenticator,
    new_id: NewId,
) -> FastAPI:
    """Make the app; no I/O."""
    app = FastAPI(
        title="Warren",
        version="1",
        description=DESCRIPTION,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.sockets.max_read_bytes)
    install_error_handlers(app)
    app.state.callers = Callers(authenticator, services.limiter)
    app.include_router(conversations_router(history=history, presence=presence, ingress=services.ingress))
    app.include_router(messages_router(history=history, ingress=services.ingress, new_id=new_id))
    app.include_router(receipts_router(acks=services.acks))
    secret = settings.auth.jwt_secret
    if settings.sockets.dev_tokens and secret is not None:
        log.warning("dev_tokens", meaning="POST /api/auth/token gives a token of any user to whoever asks")
        app.include_router(tokens_router(TokenMint(secret, clock=services.clock)))
    for path, socket in sockets.items():
        app.router.routes.append(WebSocketRoute(path, socket))
    document(app, ConversationsView, UnreadView, MessagesView, StoredView, AcceptedView, ReceiptTaken, TokenView)
    return app
