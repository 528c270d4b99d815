"""Who calls: every route but the one that mints tokens needs a bearer token."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from gateway.accounts import Accounts
from gateway.limits import RateLimiter
from shared.auth import Authenticator, Identity
from shared.errors import Unauthenticated


class Callers:
    """Finds the identity behind a token; an app keeps one as `state.callers`."""

    def __init__(self, authenticator: Authenticator, limiter: RateLimiter, accounts: Accounts) -> None:
        self._authenticator = authenticator
        self._limiter = limiter
        self._accounts = accounts

    async def identify(self, token: str) -> Identity:
        """Authenticate; the name is the profile's. Raises: Unauthenticated, SignedOut, RateLimited."""
        identity = await self._authenticator.authenticate(token)
        self._limiter.spend(identity.user_id)
        account = await self._accounts.admit(identity, None)
        return replace(identity, name=account.name)


Bearer = Annotated[
    HTTPAuthorizationCredentials | None,
    Depends(HTTPBearer(auto_error=False, description="A token, as the socket takes it.")),
]


async def _caller(request: Request, credentials: Bearer) -> Identity:
    if credentials is None:
        raise Unauthenticated("A token is needed: Authorization: Bearer.")
    callers: Callers = request.app.state.callers
    return await callers.identify(credentials.credentials)


Caller = Annotated[Identity, Depends(_caller)]
