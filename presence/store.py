"""What presence remembers of who is there, as a port: connections, gateways' leases, standings and devices."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.commands import SetStatus, Status
from shared.events import Session, SessionClosed
from shared.ids import DeviceId, GatewayId, SessionId, UserId
from shared.presence_api import Device, DevicePosition, Here, Presence

DeviceKey = tuple[UserId, DeviceId]
MAX_DEVICES = 200  # of a user, in one answer: a client may call itself another device each time


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
    statuses: Mapping[UserId, SetStatus] = field(default_factory=dict)  # the last that each user said

    @property
    def arrived(self) -> frozenset[UserId]:
        """Those whose sessions opened."""
        return frozenset(session.user_id for session in self.opened.values())


@dataclass(frozen=True, slots=True)
class Connection:
    """A session that is open; or is over since `gone_at`, and has yet to be settled."""

    user_id: UserId
    device_id: DeviceId
    opened_at: datetime
    gone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a user stands: the presence that others were told last, and what it is to come from."""

    told: Presence
    devices: int = 0  # connected when last settled, whether others may know or not
    chosen: Status = Status.ONLINE
    text: str = ""


class PresenceStore(Protocol):
    """Durable once a call returns. Every call raises StoreUnavailable where it cannot be carried out in time.

    What others were told is what was last settled. Connections and wishes change first and presence follows, so whoever
    dies between the two finds the difference again: repeating a batch, or in `gone_users`.
    """

    async def apply(self, changes: Changes, *, at: datetime) -> None:
        """Carry out a batch: connections, leases (from `at`), what users chose, users and devices seen. Idempotent.

        A user seen for the first time gets a profile. A session that closed leaves its connection marked as gone.
        """
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

    async def gone_users(self, *, until: datetime, limit: int) -> frozenset[UserId]:
        """Give some users who have connections gone up to `until`; none when all are settled."""
        ...

    async def connections(self, user_ids: Collection[UserId]) -> Sequence[Connection]:
        """Give these users' connections, those marked as gone among them."""
        ...

    async def standings(self, user_ids: Collection[UserId]) -> Mapping[UserId, Standing]:
        """Give how these users stand, those who are known."""
        ...

    async def settle(self, user_ids: Collection[UserId], changed: Sequence[Standing], *, gone_until: datetime) -> None:
        """Record what was told and the numbers of devices; then drop these users' connections gone up to `gone_until`.

        What a user chose is not touched.
        """
        ...

    async def online(self, *, after: UserId | None, limit: int) -> Sequence[Standing]:
        """Give who is connected, invisible or not, by user id, from the one after `after`."""
        ...

    async def here(self, *, limit: int) -> Sequence[Here]:
        """Give who is connected, the invisible apart, by the latest connection of each, the last one first."""
        ...

    async def position(self, user_id: UserId, device_id: DeviceId) -> str | None:
        """Give the position that was kept last for a device."""
        ...

    async def keep_positions(self, positions: Sequence[DevicePosition]) -> None:
        """Keep positions for 90 days; an older one never takes the place of a newer one. Idempotent."""
        ...

    async def devices_of(self, user_id: UserId) -> Sequence[Device]:
        """Give the devices a user has signed in with, last seen first and at most MAX_DEVICES.

        The ephemeral ones are not kept.
        """
        ...

    async def sign_out(self, user_id: UserId, device_id: DeviceId, *, at: datetime, known: bool = True) -> bool:
        """Keep that a device was signed out; tells whether it is known now, as one is that need not have been."""
        ...

    async def signed_out(self, devices: Collection[DeviceKey]) -> Mapping[DeviceKey, datetime]:
        """Give when these devices were last signed out, those that ever were."""
        ...

    async def signed_out_of(self, user_id: UserId) -> Mapping[DeviceId, datetime]:
        """Give when each of a user's devices was last signed out, those that ever were."""
        ...

    async def ping(self) -> bool:
        """Tell whether the store answers; never raises StoreUnavailable."""
        ...
