"""The REST routes of the service wire: make a session, list and kick devices."""

from datetime import tzinfo
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from gateway.dialects.numbers import ShownId, shown_user_id
from gateway.dialects.service_sessions import SessionPart, chosen_id, find_session, make_session
from gateway.dialects.service_views import Success, devices_view
from gateway.dialects.world import World
from gateway.rest.fields import DevicePath, IdOrNumber
from gateway.rest.service.errors import ServiceRoute
from gateway.rest.worlds import ThatWorld
from shared.errors import Forbidden
from shared.http import StructResponse
from shared.ids import ConversationId, DeviceId, UserId

MAX_USERS = 500


class SessionWish(BaseModel):
    """The session to make: with whom, and by which id; with nobody, it waits for an agent."""

    session_id: IdOrNumber | None = None
    user_ids: Annotated[list[IdOrNumber], Field(max_length=MAX_USERS)]


class MadeView(Success, frozen=True, kw_only=True):
    """The session is there, made now or before."""

    session_id: str
    user_ids: list[ShownId]


def service_router(zone: tzinfo) -> APIRouter:
    """Make the routes; times are in this zone."""
    router = APIRouter(route_class=ServiceRoute, include_in_schema=False)
    router.add_api_route("/api/sessions", make, methods=["POST"])
    router.add_api_route("/api/devices/{device_id}", kick, methods=["DELETE"])

    @router.get("/api/devices")
    async def list_devices(world: ThatWorld) -> Response:
        """List the devices that the caller is signed in with, last seen first."""
        return StructResponse(devices_view(await world.presence.devices(world.caller.user_id), zone))

    return router


async def make(wish: SessionWish, world: ThatWorld) -> Response:
    """Make a session, or find the one of this id that the caller is in."""
    name = wish.session_id or world.new_message_id()
    others = tuple(UserId(user_id) for user_id in wish.user_ids if user_id != world.caller.user_id)
    conversation_id = await _found(world, name)
    if conversation_id is None:
        conversation_id = chosen_id(name)
        await make_session(world, conversation_id, others, None if others else SessionPart(state="waiting"))
    room = await world.room(conversation_id)
    return StructResponse(MadeView(session_id=name, user_ids=[shown_user_id(member) for member in room.member_ids]))


async def kick(device_id: DevicePath, world: ThatWorld) -> Response:
    """End a device's sessions everywhere; its tokens from before count no more."""
    await world.presence.sign_out(world.caller.user_id, DeviceId(device_id))
    return StructResponse(Success())


async def _found(world: World, name: str) -> ConversationId | None:
    try:
        return await find_session(world, name)
    except Forbidden:
        return None
