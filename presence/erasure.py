"""Remove what presence keeps of who a user is: profile, account, positions, and what their devices said."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

import structlog

from presence import metrics
from presence.outbound import Outbound
from shared.clock import Clock
from shared.events import DeviceSignedOut, ProfileChanged, SignOutReason
from shared.ids import DeviceId, UserId

log = structlog.get_logger()


class Erasable(Protocol):
    """The part of the store that forgets."""

    async def erase(self, user_id: UserId, *, at: datetime) -> Collection[DeviceId]:
        """Take away a user's account, positions and profile, and what their devices are; give these. Idempotent.

        Of the profile the id is left for a name, until a token says another; of a device its id, and that it was signed
        out. Raises: StoreUnavailable.
        """
        ...


class Erasures:
    """Erase users, and tell the gateways: sessions end, and what clients show of the user is their id."""

    def __init__(self, store: Erasable, outbound: Outbound, *, clock: Clock) -> None:
        self._store = store
        self._outbound = outbound
        self._clock = clock

    async def erase(self, user_id: UserId) -> None:
        """Erase a user; asked again, it tells again. Raises: StoreUnavailable, BrokerUnavailable."""
        at, reason = self._clock.now(), SignOutReason.KICKED
        devices = await self._store.erase(user_id, at=at)
        out = [DeviceSignedOut(user_id=user_id, device_id=each, reason=reason, at=at) for each in devices]
        await self._outbound.tell_all([ProfileChanged(user_id=user_id, name=user_id), *out])
        metrics.PROFILES_CHANGED.inc()
        metrics.SIGNED_OUT.labels(reason).inc(len(out))
        log.info("user_erased", user_id=user_id, devices=len(out))
