"""Where the devices are that do not keep their position themselves: kept by presence, so that any gateway finds it."""

import asyncio
from collections.abc import Mapping

import structlog

from shared.clock import Clock
from shared.errors import Unavailable
from shared.events import DeviceInfo
from shared.ids import DeviceId, UserId
from shared.position import MAX_TOKEN_BYTES, Position
from shared.presence_api import DevicePosition, PresenceQueries

RETRY_S = 0.2
CHUNK = 200
MAX_WAITING = 100_000

log = structlog.get_logger()


class Positions:
    """A Runner. Hands the latest position of each device over at once: what comes meanwhile goes together, next.

    Who comes back sooner than that, on another gateway, is pushed again what it has, and so is everybody after a crash.
    """

    name = "positions"

    def __init__(self, presence: PresenceQueries, *, clock: Clock) -> None:
        self._presence = presence
        self._clock = clock
        self._waiting: dict[tuple[UserId, DeviceId], DevicePosition] = {}
        self._leaving: Mapping[tuple[UserId, DeviceId], DevicePosition] = {}  # on its way to presence
        self._flushing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Hand over what comes, until `stop`."""
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()
            if self._waiting and not self._stopping and not self._wake.is_set():
                await self._clock.sleep(RETRY_S)
                self._wake.set()

    async def stop(self) -> None:
        """End after the flush that is going on."""
        self._stopping = True
        self._wake.set()

    def keep(self, user_id: UserId, device: DeviceInfo, position: Position) -> None:
        """Note that a device has everything up to a position; of a device without a name nothing is kept."""
        key = (user_id, device.id)
        kept = self._at(user_id, device.id, position)
        if device.ephemeral or kept is None:
            return
        if key in self._waiting or len(self._waiting) < MAX_WAITING:
            self._waiting[key] = kept
            self._wake.set()

    async def begin(self, user_id: UserId, device_id: DeviceId, position: Position) -> None:
        """Keep where a new device begins, before it is pushed anything. Raises: Unavailable.

        What it is written and does not confirm counts as delivered, and is found by this position alone.
        """
        kept = self._at(user_id, device_id, position)
        if kept is not None:
            await self._presence.keep_positions((kept,))

    async def of(self, user_id: UserId, device_id: DeviceId) -> Position | None:
        """Give where a device was last; None: it is new. Raises: Unavailable."""
        key = (user_id, device_id)
        here = self._waiting.get(key) or self._leaving.get(key)
        since = await self._presence.position(user_id, device_id) if here is None else here.since
        return None if since is None else Position.from_token(since)

    async def flush(self) -> None:
        """Hand over what waits; what fails goes with the next flush, unless the device has moved on."""
        async with self._flushing:
            self._leaving, self._waiting = self._waiting, {}
            noted = list(self._leaving.values())
            for start in range(0, len(noted), CHUNK):
                chunk = noted[start : start + CHUNK]
                try:
                    await self._presence.keep_positions(chunk)
                except Unavailable as error:
                    log.warning("positions_not_kept", devices=len(chunk), error=error.message)
                    for position in chunk:
                        self._waiting.setdefault((position.user_id, position.device_id), position)
            self._leaving = {}

    def _at(self, user_id: UserId, device_id: DeviceId, position: Position) -> DevicePosition | None:
        """Note the time, too; None: the position is longer than any that is taken back."""
        since = position.token()
        if len(since) > MAX_TOKEN_BYTES:
            return None
        return DevicePosition(user_id=user_id, device_id=device_id, since=since, at=self._clock.now())
