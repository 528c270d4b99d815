"""Mint tokens for whoever asks: development only."""

from datetime import timedelta

import msgspec
from fastapi import APIRouter, Response

from gateway.rest.requests import TokenWish
from gateway.rest.schemas import returns
from shared.auth import TokenMint
from shared.clock import rfc3339
from shared.http import StructResponse
from shared.ids import DeviceId, UserId

LIFETIME = timedelta(days=1)


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token, and until when it is good."""

    token: str
    expires_at: str


def tokens_router(mint: TokenMint) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["tokens"])

    @router.post(
        "/api/auth/token",
        summary="Mint a token, in development",
        responses=returns(s200=TokenView, base=(400, 413, 422)),
    )
    async def token(wish: TokenWish) -> Response:
        """Mint a token for any user. Not there outside development."""
        device_id = DeviceId(wish.device_id) if wish.device_id else None
        minted, expires_at = mint.mint(UserId(wish.user_id), wish.name, device_id, LIFETIME.total_seconds())
        return StructResponse(TokenView(token=minted, expires_at=rfc3339(expires_at)))

    return router
