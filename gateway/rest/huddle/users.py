"""Users on the huddle wire: find, look at, change one's own profile, ask who is here."""

import msgspec
from fastapi import APIRouter, Response

from gateway.dialects.huddle_views import presence_among
from gateway.dialects.numbers import ShownId
from gateway.dialects.world import World
from gateway.rest.fields import UserPath
from gateway.rest.huddle.errors import HuddleRoute
from gateway.rest.huddle.fields import Limit, SearchText, UserPatch
from gateway.rest.huddle.views import UserView, user_view, user_views
from gateway.rest.worlds import ThatWorld
from shared.errors import Forbidden, NotFound
from shared.http import StructResponse
from shared.ids import UserId
from shared.presence_api import ProfileChange

ME = "me"
_FIELDS = {"full_name": "name", "timezone": "time_zone"}  # where the profile's name is another


class OnlineView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a user is here."""

    user_id: ShownId
    is_online: bool
    last_seen: str | None


def users_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(route_class=HuddleRoute, include_in_schema=False)
    for path, handler, method in (
        ("/search", search_users, "GET"),
        ("/{user_id}", show_user, "GET"),
        ("/{user_id}", change_user, "PUT"),
        ("/{user_id}/online", show_online, "GET"),
        ("/{user_id}/online", show_online, "POST"),
    ):
        router.add_api_route(f"/api/v1/users{path}", handler, methods=[method])
    return router


async def search_users(q: SearchText, world: ThatWorld, limit: Limit = 20) -> Response:
    """Find users whose id, name, a word of it, or username begins with a text."""
    page = await world.presence.search(q, limit=limit, cursor=None)
    views = await user_views(world, [profile.user_id for profile in page.users])
    return StructResponse([views[profile.user_id] for profile in page.users])


async def show_user(user_id: UserPath, world: ThatWorld) -> Response:
    """Show a user."""
    return StructResponse(await _user(world, _named(user_id, world)))


async def change_user(user_id: UserPath, wish: UserPatch, world: ThatWorld) -> Response:
    """Change one's own profile: what is absent stays as it is, what is null is taken away."""
    caller = world.caller.user_id
    if _named(user_id, world) != caller:
        raise Forbidden("A profile is changed by its user alone.", user_id=user_id)
    changes = {_FIELDS.get(name, name): getattr(wish, name) for name in wish.model_fields_set}
    await world.presence.change_profile(caller, ProfileChange(**changes))
    return StructResponse(await _user(world, caller))


async def show_online(user_id: UserPath, world: ThatWorld) -> Response:
    """Tell whether a user is here: whoever has an open socket is, so there is nothing to set."""
    view = await _user(world, _named(user_id, world))
    return StructResponse(OnlineView(user_id=view.id, is_online=view.is_online, last_seen=view.last_seen))


async def _user(world: World, user_id: UserId) -> UserView:
    profiles = await world.presence.profiles([user_id])
    if user_id not in profiles:
        raise NotFound("There is no such user.", user_id=user_id)
    here = await presence_among(world, [user_id])
    login = await world.presence.login_of(user_id) if user_id == world.caller.user_id else None
    return user_view(user_id, profiles[user_id], here.get(user_id), None if login is None else login.email)


def _named(name: str, world: World) -> UserId:
    return world.caller.user_id if name == ME else UserId(name)
