"""Who calls on the devices wire: a device, by its token, or by its id alone where devices are open."""

from dataclasses import replace

from starlette.requests import Request

from gateway.accounts import Accounts
from gateway.dialects.base import Caller
from gateway.dialects.devices import DevicesDialect, device_named
from gateway.dialects.devices_names import name_of
from gateway.hub import Hub
from gateway.identities import Identities
from gateway.limits import RateLimiter
from gateway.transport import upgrade_of
from gateway.world import Reach, UserWorld
from shared.ids import DeviceId, UserId

HEADER = "x-device-id"


class DeviceCallers:
    """Lets devices in, one request at a time."""

    def __init__(
        self, *, identities: Identities, limiter: RateLimiter, accounts: Accounts, hub: Hub, reach: Reach, is_open: bool
    ) -> None:
        self._identities = identities
        self._limiter = limiter
        self._accounts = accounts
        self._hub = hub
        self._reach = reach
        self._is_open = is_open

    async def world(self, request: Request) -> UserWorld:
        """Tell as whom a request may ask. Raises: Unauthenticated, Forbidden, Invalid (the id), RateLimited."""
        token, claims = _credentials(request)
        identity = await self._identities.named(token, claims)
        self._limiter.spend(identity.user_id)
        account = await self._accounts.admit(identity, DeviceId(identity.user_id))
        if token is None and account.name == identity.user_id:  # named as it would be by its socket
            named = replace(identity, name=name_of(identity.user_id))
            account = await self._accounts.admit(named, DeviceId(identity.user_id))
        identity = replace(identity, name=account.name)
        self._hear(identity.user_id)
        device_id = identity.device_id or DeviceId(identity.user_id)
        return UserWorld(self._reach, Caller(identity.user_id, identity.name, device_id, identity.role))

    async def passer_by(self, request: Request) -> None:
        """Let whoever asks look around where devices are open, else only those who say who they are."""
        if not self._is_open or any(_credentials(request)):
            await self.world(request)

    def _hear(self, user_id: UserId) -> None:
        """Whoever asks is there: what was written to the device's socket has come."""
        for session in self._hub.of_user(user_id):
            if session.about.dialect == DevicesDialect.name:
                session.hear()


def _credentials(request: Request) -> tuple[str | None, UserId | None]:
    named = request.headers.get(HEADER)
    return upgrade_of(request.scope).token, None if named is None else device_named(named)
