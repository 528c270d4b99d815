"""All routes of the huddle wire's REST API."""

from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gateway.rest.huddle.accounts import accounts_router
from gateway.rest.huddle.channels import channels_router
from gateway.rest.huddle.errors import HuddleRoute
from gateway.rest.huddle.messages import messages_router
from gateway.rest.huddle.notifications import notifications_router
from gateway.rest.huddle.teams import teams_router
from gateway.rest.huddle.users import users_router
from gateway.sign_in import SignIn
from shared.errors import NotFound
from shared.presence_api import PresenceQueries

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def huddle_routers(presence: PresenceQueries, sign_in: SignIn | None) -> Iterator[APIRouter]:
    """Make the routers; `sign_in`: where accounts are kept. They come last: other wires have `/api/messages/status`."""
    yield accounts_router(presence, sign_in, route_class=HuddleRoute)
    yield messages_router()
    yield channels_router()
    yield teams_router()
    yield users_router()
    yield notifications_router()
    yield _nothing_router()


def _nothing_router() -> APIRouter:
    """Make what answers where there is no route, in this wire's words."""
    router = APIRouter(route_class=HuddleRoute, include_in_schema=False)
    router.add_api_route("/api/v1/{rest:path}", find_nothing, methods=METHODS)
    return router


async def find_nothing(request: Request) -> Response:
    """Say that there is nothing, or send those on who end a path with a slash."""
    path = request.url.path
    if path.endswith("/") and path != "/api/v1/":
        return RedirectResponse(request.url.replace(path=path.rstrip("/")), status_code=307)
    raise NotFound(f"There is nothing at {path} for {request.method}.")
