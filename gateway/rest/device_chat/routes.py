"""The REST routes of the devices wire."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from gateway.rest.device_chat import messages, sessions
from gateway.rest.device_chat.bodies import SESSION_PATTERN, ListWish, SendWish, StatusWish
from gateway.rest.device_chat.callers import DeviceCallers
from gateway.rest.device_chat.views import DeviceResponse, KnownDeviceView, OnlineView, device_view, known_view
from gateway.world import UserWorld
from shared.presence_api import MAX_USERS, PresenceQueries


def device_chat_router(callers: DeviceCallers, presence: PresenceQueries) -> APIRouter:
    """Make the routes."""
    router = APIRouter(include_in_schema=False, default_response_class=DeviceResponse)
    _add_messages(router, callers)
    _add_sessions(router, callers)
    _add_devices(router, callers, presence)
    return router


def _add_messages(router: APIRouter, callers: DeviceCallers) -> None:
    world_of = Depends(callers.world)

    @router.post("/api/messages/send")
    async def send_to_device(wish: SendWish, world: UserWorld = world_of) -> Response:
        """Send a message."""
        return DeviceResponse(await messages.send(world, wish))

    @router.post("/api/messages/list")
    async def list_messages(wish: ListWish, world: UserWorld = world_of) -> Response:
        """Read a page of messages."""
        return DeviceResponse(await messages.read_page(world, wish))

    @router.put("/api/messages/status")
    async def mark_messages(wish: StatusWish, world: UserWorld = world_of) -> Response:
        """Say what was received."""
        return DeviceResponse(await messages.mark(world, wish))


def _add_sessions(router: APIRouter, callers: DeviceCallers) -> None:
    world_of, emptied = Depends(callers.world), sessions.Emptied()

    @router.get("/api/messages/sessions")
    async def list_sessions(world: UserWorld = world_of) -> Response:
        """Give the caller's sessions."""
        return DeviceResponse(await sessions.sessions(world, emptied))

    @router.delete("/api/messages/sessions/{session_id}")
    async def clear_session(
        session_id: Annotated[str, Path(pattern=SESSION_PATTERN)], world: UserWorld = world_of
    ) -> Response:
        """Clear a session for the caller."""
        return DeviceResponse(await sessions.clear(world, session_id))

    @router.get("/api/messages/unread")
    async def count_unread(world: UserWorld = world_of) -> Response:
        """Count what is unread."""
        return DeviceResponse(await sessions.unread(world))


def _add_devices(router: APIRouter, callers: DeviceCallers, presence: PresenceQueries) -> None:
    let_in = [Depends(callers.passer_by)]

    @router.get("/api/messages/online", dependencies=let_in)
    async def list_online() -> Response:
        """Give the devices that are connected."""
        here = tuple(device_view(each) for each in await presence.online(limit=MAX_USERS))
        return DeviceResponse(OnlineView(online_devices=here, count=len(here)))

    @router.get("/api/sync/devices", dependencies=let_in)
    async def list_devices() -> Response:
        """Give the devices that are known here."""
        return DeviceResponse(await _known(presence))


async def _known(presence: PresenceQueries) -> list[KnownDeviceView]:
    page = await presence.search("", limit=MAX_USERS, cursor=None)
    here = await presence.presence_of([profile.user_id for profile in page.users])
    shown = {each.user_id: device_view(each) for each in await presence.online(limit=MAX_USERS)}
    return [known_view(profile, shown.get(profile.user_id), here.get(profile.user_id)) for profile in page.users]
