"""Users: find, look at, change one's own profile; who is there."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from gateway.rest.callers import Caller
from gateway.rest.fields import Cursor, Limit, Text, UserPath
from gateway.rest.requests import ProfilePatch
from gateway.rest.schemas import returns
from shared.clock import rfc3339
from shared.errors import Forbidden, NotFound
from shared.http import StructResponse
from shared.ids import UserId
from shared.presence_api import PresenceQueries, Profile, ProfileChange

SearchText = Annotated[Text, Query(min_length=1, max_length=128, description="how an id, a name or a username begins")]


class ProfileView(msgspec.Struct, frozen=True, kw_only=True):
    """Who a user is."""

    user_id: UserId
    name: str
    username: str | None
    avatar_url: str | None
    bio: str | None
    time_zone: str | None
    created_at: str


class ProfilesView(msgspec.Struct, frozen=True, kw_only=True):
    """A page of users, by user id."""

    users: list[ProfileView]
    next_cursor: str | None


def users_router(*, presence: PresenceQueries) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1", tags=["users"])

    @router.get("/users", summary="Find users", responses=returns(s200=ProfilesView, errors=(400, 422)))
    async def find_users(q: SearchText, caller: Caller, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """Find users whose id, name, a word of it, or username begins with a text."""
        page = await presence.search(q, limit=limit, cursor=cursor)
        users = [_view(profile) for profile in page.users]
        return StructResponse(ProfilesView(users=users, next_cursor=page.next_cursor))

    @router.get("/users/{user_id}", summary="Show a user", responses=returns(s200=ProfileView, errors=(404, 422)))
    async def show_user(user_id: UserPath, caller: Caller) -> Response:
        """Show a user's profile."""
        profiles = await presence.profiles([UserId(user_id)])
        if UserId(user_id) not in profiles:
            raise NotFound("There is no such user.", user_id=user_id)
        return StructResponse(_view(profiles[UserId(user_id)]))

    @router.patch(
        "/users/{user_id}",
        summary="Change your profile",
        responses=returns(s200=ProfileView, errors=(400, 403, 404, 409, 413, 422)),
    )
    async def change_user(user_id: UserPath, wish: ProfilePatch, caller: Caller) -> Response:
        """Change one's own profile: what is absent stays as it is, what is null is taken away."""
        if user_id != caller.user_id:
            raise Forbidden("A profile is changed by its user alone.")
        change = ProfileChange(**{name: getattr(wish, name) for name in wish.model_fields_set})
        return StructResponse(_view(await presence.change_profile(caller.user_id, change)))

    return router


def _view(profile: Profile) -> ProfileView:
    return ProfileView(
        user_id=profile.user_id,
        name=profile.name,
        username=profile.username,
        avatar_url=profile.avatar_url,
        bio=profile.bio,
        time_zone=profile.time_zone,
        created_at=rfc3339(profile.created_at),
    )
