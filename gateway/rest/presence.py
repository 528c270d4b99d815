"""Who is there."""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Response

from gateway.rest.callers import Caller
from gateway.rest.schemas import returns
from gateway.views import PresencesView, presence_view
from shared.errors import InvalidField, TooLarge
from shared.http import StructResponse
from shared.ids import ID_PATTERN, UserId
from shared.presence_api import MAX_USERS, Presence, PresenceQueries

Users = Annotated[str, Query(min_length=1, description=f"user ids, with commas between them; at most {MAX_USERS}")]
_ID = re.compile(ID_PATTERN)


def presence_router(*, presence: PresenceQueries) -> APIRouter:
    """Make the route."""
    router = APIRouter(prefix="/v1", tags=["users"])

    @router.get("/presence", summary="Tell who is there", responses=returns(s200=PresencesView, errors=(413, 422)))
    async def show_presence(users: Users, caller: Caller) -> Response:
        """Tell who is there, in the order asked; whom nobody has seen is offline."""
        user_ids = _user_ids(users)
        here = await presence.presence_of(user_ids)
        asked = (here.get(user_id) or Presence(user_id=user_id, status="offline") for user_id in user_ids)
        return StructResponse(PresencesView(presence=tuple(presence_view(each) for each in asked)))

    return router


def _user_ids(users: str) -> list[UserId]:
    """Read the ids, each once. Raises: InvalidField, TooLarge."""
    names = list(dict.fromkeys(users.split(",")))
    if len(names) > MAX_USERS:
        raise TooLarge("Too many users at once.", limit=MAX_USERS)
    for name in names:
        if not _ID.match(name):
            raise InvalidField("users: user ids with commas between them, and no spaces.", path="users")
    return [UserId(name) for name in names]
