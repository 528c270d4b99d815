"""What operators do with users' data: export, erase, let expire."""

from typing import Annotated

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from history.erasure import Erased, Erasures
from history.export import Exports
from history.retention import Retention
from shared.http import StructResponse
from shared.ids import UserId
from shared.openapi import Responses, answers

MAX_DAYS = 36_500
_LINES: Responses = {200: {"description": "One JSON object a line.", "content": {"application/x-ndjson": {}}}}


class RetentionWish(BaseModel):
    """How long messages are to be kept; null: for ever."""

    days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None


class RetentionView(msgspec.Struct, frozen=True, kw_only=True):
    """How long messages are kept; null: for ever."""

    days: int | None


def data_router(exports: Exports, erasures: Erasures, retention: Retention) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/admin", tags=["data"])

    @router.post(
        "/users/{user_id}/export",
        summary="Everything held of a user, a JSON object a line",
        response_class=StreamingResponse,
        responses=_LINES,
    )
    async def export(user_id: str) -> StreamingResponse:
        """Stream memberships, receipts, messages sent and reactions; the last line has the type `end`."""
        return StreamingResponse(await exports.begin(UserId(user_id)), media_type="application/x-ndjson")

    @router.post(
        "/users/{user_id}/erase",
        status_code=202,
        summary="Remove what a user said, and the user from groups",
        responses=answers(Erased, 202),
    )
    async def erase(user_id: str) -> StructResponse:
        """Begin it, and say how much was found; asked again, it finds nothing once it is done."""
        return StructResponse(await erasures.erase(UserId(user_id)), status_code=202)

    @router.get(
        "/retention", summary="How many days messages are kept; null: for ever", responses=answers(RetentionView)
    )
    async def kept() -> StructResponse:
        return StructResponse(RetentionView(days=await retention.days()))

    @router.put("/retention", summary="Keep messages so many days, or for ever", responses=answers(RetentionView))
    async def keep(wish: RetentionWish) -> StructResponse:
        await retention.set_days(wish.days)
        return StructResponse(RetentionView(days=wish.days))

    return router
