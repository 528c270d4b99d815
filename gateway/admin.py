"""The gateway's admin API: who is connected here, and showing them out."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from gateway.disconnects import Disconnect
from gateway.hub import Hub
from gateway.session import Session
from shared.clock import rfc3339
from shared.errors import NotFound
from shared.events import DeviceInfo
from shared.http import StructResponse
from shared.ids import SessionId, UserId
from shared.openapi import answers

MAX_PAGE = 200


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """One open socket."""

    id: SessionId
    user_id: UserId
    name: str
    device: DeviceInfo
    dialect: str
    address: str
    opened_at: str


class SessionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Open sockets, by id: the oldest first."""

    sessions: list[SessionView]
    next_cursor: str | None


class Kicked(msgspec.Struct, frozen=True, kw_only=True):
    """How many sessions were closed."""

    closed: int


def sessions_router(hub: Hub) -> APIRouter:
    """Make the routes over the sessions of this gateway."""
    router = APIRouter(prefix="/admin", tags=["sessions"])

    @router.get("/sessions", summary="Open sessions, of one user or of all", responses=answers(SessionPage))
    async def page(
        user: str | None = None, cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100
    ) -> Response:
        known = hub if user is None else hub.of_user(UserId(user))
        after = sorted((session for session in known if session.id > (cursor or "")), key=lambda session: session.id)
        views = [_view(session) for session in after[:limit]]
        more = len(after) > limit
        return StructResponse(SessionPage(sessions=views, next_cursor=views[-1].id if more else None))

    @router.delete("/sessions/{session_id}", status_code=204, summary="Close one session; its client does not return")
    async def close(session_id: str) -> None:
        session = hub.get(SessionId(session_id))
        if session is None:
            raise NotFound("No session of this gateway has that id.", session_id=session_id)
        session.close(Disconnect.KICKED)

    @router.post(
        "/users/{user_id}/kick",
        summary="Close the sessions of a user on this gateway, of one device or of all",
        responses=answers(Kicked),
    )
    async def kick(user_id: str, device_id: str | None = None) -> Response:
        sessions = [session for session in hub.of_user(UserId(user_id)) if device_id in (None, session.about.device.id)]
        for session in sessions:
            session.close(Disconnect.KICKED)
        return StructResponse(Kicked(closed=len(sessions)))

    return router


def _view(session: Session) -> SessionView:
    about = session.about
    return SessionView(
        id=about.id,
        user_id=about.user_id,
        name=about.name,
        device=about.device,
        dialect=about.dialect,
        address=session.address,
        opened_at=rfc3339(about.opened_at),
    )
