"""Who a client is: by its token, or, where devices are open, by the name that it gives itself."""

from datetime import timedelta

from gateway.dialects.base import Hello
from shared.auth import Authenticator, Identity
from shared.clock import Clock
from shared.errors import Forbidden, Unauthenticated
from shared.ids import UserId

OPEN_FOR = timedelta(days=365)


class Identities:
    """Tells whom a hello speaks for."""

    def __init__(self, authenticator: Authenticator, *, open_devices: bool, clock: Clock) -> None:
        self._authenticator = authenticator
        self._open_devices = open_devices
        self._clock = clock

    async def of(self, hello: Hello) -> Identity:
        """Tell whom a client speaks for. Raises: Unauthenticated, Forbidden (a token of somebody else), Unavailable."""
        name = hello.device.name if hello.device is not None else ""
        return await self.named(hello.token, hello.claims, name)

    async def named(self, token: str | None, claims: UserId | None, name: str = "") -> Identity:
        """Tell the same of a token, if there is one, and of whom the client says it is. Raises likewise."""
        if token is None and claims is not None and self._open_devices:
            expires_at = self._clock.now() + OPEN_FOR
            return Identity(user_id=claims, name=name or claims, device_id=None, role=None, expires_at=expires_at)
        if token is None:
            raise Unauthenticated("A token is needed.")
        identity = await self._authenticator.authenticate(token)
        if claims is not None and claims != identity.user_id:
            raise Forbidden("The token speaks for somebody else.", user_id=claims)
        return identity
