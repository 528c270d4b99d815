"""Who may come in, and by which name: what presence says of a user, remembered for a minute."""

import asyncio
from collections import Counter, OrderedDict
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
CONCURRENCY = 16  # questions at a time, so that a storm of reconnects waits here
PATIENCE_S = 2.0  # then a user comes in by their token alone
AWAY_S = 1.0  # for so long presence is not asked after it gave no answer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Known:
    account: Account
    said: str  # the name that the user came with
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
        self._turns = asyncio.Semaphore(CONCURRENCY)
        self._away_until = 0.0
        self._asking: Counter[UserId] = Counter()
        self._events_of: Counter[UserId] = Counter()  # of those who are being asked for, so far

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
        if known is not None and known.until > self._clock.monotonic() and not _is_news(identity, known):
            return known.account
        try:
            account = await self._asked(identity)
        except (Unavailable, TimeoutError) as error:
            self._away_until = self._clock.monotonic() + AWAY_S
            log.warning("account_assumed", user_id=identity.user_id, error=str(error))
            return Account(user_id=identity.user_id, name=identity.name) if known is None else known.account
        self._remember(account, identity.name)
        return account

    async def _asked(self, identity: Identity) -> Account:
        """Ask presence; again where an event about the user came meanwhile, which the answer may not hold yet."""
        user_id = identity.user_id
        name = None if identity.name == user_id else identity.name
        self._asking[user_id] += 1
        try:
            async with self._turns:
                while True:
                    if self._clock.monotonic() < self._away_until:
                        raise Unavailable("Presence did not answer a moment ago.")
                    events = self._events_of[user_id]
                    async with asyncio.timeout(PATIENCE_S):
                        account = await self._presence.account(user_id, name)
                    if events == self._events_of[user_id]:
                        return account
        finally:
            self._asking[user_id] -= 1
            if not self._asking[user_id]:
                del self._asking[user_id]
                del self._events_of[user_id]

    def renamed(self, event: ProfileChanged) -> None:
        """Take note of a new name."""
        self._note(event.user_id)
        known = self._known.get(event.user_id)
        if known is not None:
            self._remember(replace(known.account, name=event.name), known.said)

    def signed_out(self, event: DeviceSignedOut) -> None:
        """Take note that a device's tokens count no more."""
        self._note(event.user_id)
        known = self._known.get(event.user_id)
        if known is not None and event.reason is SignOutReason.KICKED:
            signed_out = known.account.signed_out | {event.device_id: event.at}
            self._remember(replace(known.account, signed_out=signed_out), known.said)

    def forget(self) -> None:
        """Ask anew for everyone: events may have been missed."""
        self._known.clear()

    def _note(self, user_id: UserId) -> None:
        if user_id in self._asking:
            self._events_of[user_id] += 1

    def _remember(self, account: Account, said: str) -> None:
        self._known[account.user_id] = _Known(account, said, self._clock.monotonic() + FRESH_S)
        self._known.move_to_end(account.user_id)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)


def _is_news(identity: Identity, known: _Known) -> bool:
    """Tell whether somebody has another name than presence was asked with: it may count from now on."""
    return identity.name not in (known.said, known.account.name, identity.user_id)
