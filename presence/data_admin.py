"""What operators do with users' data in presence: erase it."""

from fastapi import APIRouter
from starlette.responses import Response

from presence.erasure import Erasures
from shared.ids import UserId


def data_router(erasures: Erasures) -> APIRouter:
    """Make the route."""
    router = APIRouter(prefix="/admin", tags=["data"])

    @router.post(
        "/users/{user_id}/erase",
        status_code=204,
        summary="Remove who a user is: profile, account, positions, and what their devices said of themselves",
    )
    async def erase(user_id: str) -> Response:
        """Sign the user's devices out as well; asked again, it does the same."""
        await erasures.erase(UserId(user_id))
        return Response(status_code=204)

    return router
