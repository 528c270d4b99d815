"""Presence's query API for the other services, over HTTP."""

import msgspec
from fastapi import APIRouter, Request

from shared.errors import InvalidField
from shared.http import StructResponse
from shared.presence_api import PresenceQueries, PresenceQuery


def query_router(queries: PresenceQueries) -> APIRouter:
    """Make the route that `shared.presence_http` asks."""
    router = APIRouter(tags=["internal"])

    @router.post("/internal/presence", summary="The presence of each user asked for")
    async def presence(request: Request) -> StructResponse:
        try:
            query = msgspec.json.decode(await request.body(), type=PresenceQuery)
        except msgspec.MsgspecError as error:
            raise InvalidField(f"{error}.", path="user_ids") from error
        return StructResponse(await queries.presence_of(query.user_ids))

    return router
