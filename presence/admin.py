"""Presence's admin API: who is online, and which devices a user has."""

from typing import Annotated

import msgspec
import structlog
from fastapi import APIRouter, Query
from starlette.responses import Response

from presence.store import PresenceStore, Standing
from shared.clock import Clock
from shared.http import ViewResponse
from shared.ids import DeviceId, UserId
from shared.openapi import answers
from shared.presence_api import Device, Presence, PresenceQueries

MAX_PAGE = 200

log = structlog.get_logger()


class OnlinePage(msgspec.Struct, frozen=True, kw_only=True):
    """Users who are connected, by user id."""

    users: list[Presence]
    next_cursor: UserId | None


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """The devices of a user."""

    devices: tuple[Device, ...]


def presence_router(store: PresenceStore, queries: PresenceQueries, *, clock: Clock) -> APIRouter:
    """Make the routes that show who is there."""
    router = APIRouter(prefix="/admin", tags=["presence"])

    @router.get(
        "/online",
        summary="Who is connected, the invisible too, by user id; `cursor` is the last user of the page before",
        responses=answers(OnlinePage),
    )
    async def online(cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50) -> ViewResponse:
        page = await store.online(after=None if cursor is None else UserId(cursor), limit=limit + 1)
        users = [_connected(standing, clock) for standing in page[:limit]]
        return ViewResponse(OnlinePage(users=users, next_cursor=users[-1].user_id if len(page) > limit else None))

    @router.get(
        "/users/{user_id}/devices",
        summary="The devices a user has signed in with, last seen first",
        responses=answers(Devices),
    )
    async def devices(user_id: str) -> ViewResponse:
        return ViewResponse(Devices(devices=await queries.devices(UserId(user_id))))

    @router.delete(
        "/users/{user_id}/devices/{device_id}",
        status_code=204,
        summary="Sign a device out: its sessions end, and its tokens from before count no more",
    )
    async def sign_out(user_id: str, device_id: str) -> Response:
        await queries.sign_out(UserId(user_id), DeviceId(device_id))
        log.warning("device_signed_out_by_operator", user_id=user_id, device_id=device_id)
        return Response(status_code=204)

    return router


def _connected(standing: Standing, clock: Clock) -> Presence:
    return Presence(
        user_id=standing.told.user_id,
        status=standing.chosen,
        last_seen=clock.now(),
        devices=standing.devices,
        text=standing.text,
    )
