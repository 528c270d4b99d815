"""Presence's admin API: who is online, and which devices a user has."""

from typing import Annotated

from fastapi import APIRouter, Query

from presence.store import PresenceStore
from shared.http import ViewResponse
from shared.ids import UserId

MAX_PAGE = 200


def presence_router(store: PresenceStore) -> APIRouter:
    """Make the routes that show who is there."""
    router = APIRouter(prefix="/admin", tags=["presence"])

    @router.get("/online", summary="Who is online, by user id; `cursor` is the last user of the page before")
    async def online(cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50) -> ViewResponse:
        page = await store.online(after=None if cursor is None else UserId(cursor), limit=limit + 1)
        users = page[:limit]
        return ViewResponse({"users": users, "next_cursor": users[-1].user_id if len(page) > limit else None})

    @router.get("/users/{user_id}/devices", summary="The devices a user has signed in with, last seen first")
    async def devices(user_id: str) -> ViewResponse:
        return ViewResponse({"devices": await store.devices_of(UserId(user_id))})

    return router
