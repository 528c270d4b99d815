"""Where the devices are that do not keep their position themselves: kept by presence, so that any gateway finds it."""

import structlog

from shared.clock import Clock
from shared.errors import Unavailable
from shared.events import DeviceInfo
from shared.ids import DeviceId, UserId
from shared.position import MAX_TOKEN_BYTES, Position
from shared.presence_api import DevicePosition, PresenceQueries

FLUSH_S = 0.2  # who comes back sooner, on another gateway, is pushed again what it has
CHUNK = 200
MAX_WAITING = 100_000

log = structlog.get_logger()


class Positions:
    """Keeps the latest position of each device until the next flush. What is lost in a crash is pushed once more."""

    def __init__(self, presence: PresenceQueries, *, clock: Clock) -> None:
        self._presence = presence
        self._clock = clock
        self._waiting: dict[tuple[UserId, DeviceId], DevicePosition] = {}

    def keep(self, user_id: UserId, device: DeviceInfo, position: Position) -> None:
        """Note that a device has everything up to a position; of a device without a name nothing is kept."""
        key = (user_id, device.id)
        since = position.token()
        if device.ephemeral or len(since) > MAX_TOKEN_BYTES:
            return
        if key in self._waiting or len(self._waiting) < MAX_WAITING:
            at = self._clock.now()
            self._waiting[key] = DevicePosition(user_id=user_id, device_id=device.id, since=since, at=at)

    async def of(self, user_id: UserId, device_id: DeviceId) -> Position | None:
        """Give where a device was last; None: it is new. Raises: Unavailable."""
        waiting = self._waiting.get((user_id, device_id))
        since = await self._presence.position(user_id, device_id) if waiting is None else waiting.since
        return None if since is None else Position.from_token(since)

    async def flush(self) -> None:
        """Hand over what waits; what fails goes with the next flush, unless the device has moved on."""
        waiting, self._waiting = self._waiting, {}
        noted = list(waiting.values())
        for start in range(0, len(noted), CHUNK):
            chunk = noted[start : start + CHUNK]
            try:
                await self._presence.keep_positions(chunk)
            except Unavailable as error:
                log.warning("positions_not_kept", devices=len(chunk), error=error.message)
                for position in chunk:
                    self._waiting.setdefault((position.user_id, position.device_id), position)
