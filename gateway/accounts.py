"""Who may come in, and by which name: what presence says of a user, remembered for a minute."""

from collections import OrderedDict
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from shared.auth import Identity
from shared.clock import Clock
from shared.errors import SignedOut, Unavailable
from shared.events import DeviceSignedOut, ProfileChanged, SignOutReason
from shared.ids import DeviceId, UserId
from shared.presence_api import Account, PresenceQueries

FRESH_S = 60.0
CAPACITY = 50_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Known:
    account: Account
    until: float


class Accounts:
    """Keeps the accounts in use. Changes come as events; what was missed is made good within a minute.

    While presence is away a user comes in by their token alone: chatting does not wait for presence, and it tells the
    gateways again of a device that was signed out as soon as it sees it.
    """

    def __init__(self, presence: PresenceQueries, *, clock: Clock) -> None:
        self._presence = presence
        self._clock = clock
        self._known: OrderedDict[UserId, _Known] = OrderedDict()

    async def admit(self, identity: Identity, device_id: DeviceId | None) -> Account:
        """Let a token's user in, on a device if one is named. Raises: SignedOut."""
        account = await self._account(identity)
        for device in (identity.device_id, device_id):
            out_at = account.signed_out.get(device) if device is not None else None
            if out_at is not None and (identity.issued_at is None or identity.issued_at <= out_at):
                raise SignedOut("This device was signed out; sign in again.", device_id=device)
        return account

    async def _account(self, identity: Identity) -> Account:
        known = self._known.get(identity.user_id)
        if known is not None and known.until > self._clock.monotonic():
            return known.account
        name = None if identity.name == identity.user_id else identity.name
        try:
            account = await self._presence.account(identity.user_id, name)
        except Unavailable as error:
            log.warning("account_assumed", user_id=identity.user_id, error=error.message)
            return Account(user_id=identity.user_id, name=identity.name) if known is None else known.account
        self._remember(account)
        return account

    def renamed(self, event: ProfileChanged) -> None:
        """Take note of a new name."""
        known = self._known.get(event.user_id)
        if known is not None:
            self._remember(replace(known.account, name=event.name))

    def signed_out(self, event: DeviceSignedOut) -> None:
        """Take note that a device's tokens count no more."""
        known = self._known.get(event.user_id)
        if known is not None and event.reason is SignOutReason.KICKED:
            signed_out = known.account.signed_out | {event.device_id: event.at}
            self._remember(replace(known.account, signed_out=signed_out))

    def forget(self) -> None:
        """Ask anew for everyone: events may have been missed."""
        self._known.clear()

    def _remember(self, account: Account) -> None:
        self._known[account.user_id] = _Known(account, self._clock.monotonic() + FRESH_S)
        self._known.move_to_end(account.user_id)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)
