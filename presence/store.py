"""What presence remembers, as a port: connections, gateways' leases, users and their devices."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.events import PresenceChanged, Session, SessionClosed
from shared.ids import DeviceId, GatewayId, SessionId, UserId
from shared.presence_api import Device, Presence


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of life of a gateway."""

    at: datetime
    lease_s: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch of session events comes to. No session is in both `opened` and `closed`."""

    opened: Mapping[SessionId, Session]
    closed: Mapping[SessionId, SessionClosed]
    stopped: Mapping[GatewayId, datetime]  # before what else is said of the same gateway
    alive: Mapping[GatewayId, Sign]
    announced: Mapping[GatewayId, bool]  # True: its announcement begins in this batch

    @property
    def users(self) -> frozenset[UserId]:
        """Those whose sessions opened or closed."""
        opened = {session.user_id for session in self.opened.values()}
        return frozenset(opened | {closed.user_id for closed in self.closed.values()})


@dataclass(frozen=True, slots=True)
class Connection:
    """A session that is open, or was on a gateway that is gone (`gone_at`) and has yet to be settled."""

    user_id: UserId
    device_id: DeviceId
    gone_at: datetime | None = None


class PresenceStore(Protocol):
    """Durable once a call returns. Every call raises StoreUnavailable where it cannot be carried out in time.

    A user's presence is what was last settled. Connections change first and presence follows, so whoever dies between
    the two finds the difference again: repeating a batch, or in `gone_users`.
    """

    async def apply(self, changes: Changes, *, at: datetime) -> None:
        """Carry out a batch: connections, leases (from `at`), users and devices seen. Idempotent."""
        ...

    async def expire(self, *, at: datetime, announced_before: datetime) -> tuple[GatewayId, ...]:
        """Mark as gone the connections of gateways whose lease ran out, and forget these gateways.

        Likewise the connections that are missing from their gateway's announcement, where that began before
        `announced_before`. Gives the gateways whose lease ran out.
        """
        ...

    async def unannounced(self, gateway_ids: Collection[GatewayId]) -> frozenset[GatewayId]:
        """Give those that have not announced their sessions since they were last forgotten."""
        ...

    async def gone_users(self, *, limit: int) -> frozenset[UserId]:
        """Give some users who have connections marked as gone; none when all are settled."""
        ...

    async def connections(self, user_ids: Collection[UserId]) -> Sequence[Connection]:
        """Give these users' connections, those marked as gone among them."""
        ...

    async def settle(self, user_ids: Collection[UserId], changed: Sequence[PresenceChanged]) -> None:
        """Record the presence that was published, then drop these users' connections that are marked as gone."""
        ...

    async def presence_of(self, user_ids: Collection[UserId]) -> Mapping[UserId, Presence]:
        """Give the settled presence of those who have ever connected."""
        ...

    async def online(self, *, after: UserId | None, limit: int) -> Sequence[Presence]:
        """Give who is online, by user id, from the one after `after`."""
        ...

    async def devices_of(self, user_id: UserId) -> Sequence[Device]:
        """Give the devices a user has signed in with, last seen first; the ephemeral ones are not kept."""
        ...

    async def ping(self) -> bool:
        """Tell whether the store answers; never raises StoreUnavailable."""
        ...
