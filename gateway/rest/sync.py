"""Everything since a position, as the socket's `sync`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from gateway.dialects.native_views import SyncView
from gateway.dialects.native_writing import sync_view
from gateway.rest.callers import Caller
from gateway.rest.schemas import returns
from shared.history_api import HistoryQueries, SyncQuery
from shared.http import StructResponse

Since = Annotated[str | None, Query(description="the `since` of the last sync, welcome or event")]


def sync_router(*, history: HistoryQueries) -> APIRouter:
    """Make the route."""
    router = APIRouter(prefix="/v1", tags=["conversations"])

    @router.get("/sync", summary="Give what is new", responses=returns(s200=SyncView, errors=(400,)))
    async def synchronise(caller: Caller, since: Since = None) -> Response:
        """Give what changed since a position, or everything; with has_more, sync again with the new `since`."""
        return StructResponse(sync_view(await history.sync(SyncQuery(user_id=caller.user_id, since=since))))

    return router
