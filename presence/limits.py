"""How many devices a user may have connected at once, and which one must go; pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from presence.store import Connection
from shared.events import DeviceSignedOut, SignOutReason
from shared.ids import DeviceId, UserId


class DevicePolicy(StrEnum):
    """Who gives way where there is one device too many."""

    REPLACE = "replace"  # the one that connected longest ago
    REFUSE = "refuse"  # the new one


@dataclass(frozen=True, slots=True)
class DeviceLimit:
    """A number of devices, and what becomes of those beyond it."""

    most: int
    policy: DevicePolicy

    def exceeded(self, user_ids: Collection[UserId], connections: Iterable[Connection]) -> list[DeviceSignedOut]:
        """Tell which devices of these users must go: their sessions up to the last that is known, none after it.

        Told again while they are still there, which changes nothing.
        """
        devices: dict[UserId, defaultdict[DeviceId, list[datetime]]] = {
            user_id: defaultdict(list) for user_id in user_ids
        }
        for connection in connections:
            if connection.gone_at is None and connection.user_id in devices:
                devices[connection.user_id][connection.device_id].append(connection.opened_at)
        return [out for user_id, theirs in devices.items() for out in self._out(user_id, theirs)]

    def _out(self, user_id: UserId, devices: dict[DeviceId, list[datetime]]) -> list[DeviceSignedOut]:
        too_many = len(devices) - self.most
        if too_many <= 0:
            return []
        if self.policy is DevicePolicy.REPLACE:
            reason = SignOutReason.REPLACED
            leaving = sorted(devices, key=lambda device_id: max(devices[device_id]))[:too_many]
        else:
            reason = SignOutReason.REFUSED
            leaving = sorted(devices, key=lambda device_id: min(devices[device_id]))[-too_many:]
        return [
            DeviceSignedOut(user_id=user_id, device_id=device_id, reason=reason, at=max(devices[device_id]))
            for device_id in leaving
        ]
