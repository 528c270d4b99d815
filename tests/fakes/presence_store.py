"""The presence store in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from presence.store import Changes, Connection
from shared.errors import StoreUnavailable
from shared.events import DeviceInfo, PresenceChanged, Session
from shared.ids import DeviceId, GatewayId, SessionId, UserId
from shared.presence_api import Device, Presence


@dataclass
class _Connection:
    session: Session
    confirmed_at: datetime
    gone_at: datetime | None = None


@dataclass
class _Gateway:
    seen_at: datetime
    expires_at: datetime
    announced: bool = False
    announcing_since: datetime | None = None


@dataclass
class _Seen:
    info: DeviceInfo
    first_seen: datetime
    last_seen: datetime


class FakePresenceStore:
    def __init__(self) -> None:
        self.available = True
        self._connections: dict[SessionId, _Connection] = {}
        self._gateways: dict[GatewayId, _Gateway] = {}
        self._users: dict[UserId, Presence] = {}
        self._devices: dict[tuple[UserId, DeviceId], _Seen] = {}

    async def apply(self, changes: Changes, *, at: datetime) -> None:
        self._check()
        for gateway_id, stopped_at in changes.stopped.items():
            self._forget(gateway_id, stopped_at)
        for gateway_id, sign in changes.alive.items():
            expires_at = at + timedelta(seconds=sign.lease_s)
            gateway = self._gateways.setdefault(gateway_id, _Gateway(sign.at, expires_at))
            gateway.seen_at = max(gateway.seen_at, sign.at)
            gateway.expires_at = max(gateway.expires_at, expires_at)
        for gateway_id, first in changes.announced.items():
            self._gateways[gateway_id].announced = True
            if first:
                self._gateways[gateway_id].announcing_since = at
        for session in changes.opened.values():
            self._connections[session.id] = _Connection(session, at)
            self._see(session.user_id, session.opened_at)
            if session.device.ephemeral:
                continue
            key = (session.user_id, session.device.id)
            seen = self._devices.setdefault(key, _Seen(session.device, session.opened_at, session.opened_at))
            seen.info = session.device
            seen.last_seen = max(seen.last_seen, session.opened_at)
        for closed in changes.closed.values():
            self._connections.pop(closed.session_id, None)
            if closed.user_id in self._users:
                self._see(closed.user_id, closed.at)
            device = self._devices.get((closed.user_id, closed.device_id))
            if device is not None:
                device.last_seen = max(device.last_seen, closed.at)

    async def expire(self, *, at: datetime, announced_before: datetime) -> tuple[GatewayId, ...]:
        self._check()
        silent = tuple(gateway_id for gateway_id, gateway in self._gateways.items() if gateway.expires_at <= at)
        for gateway_id in silent:
            self._forget(gateway_id, self._gateways[gateway_id].seen_at)
        for gateway_id, gateway in self._gateways.items():
            since = gateway.announcing_since
            if since is not None and since <= announced_before:
                gateway.announcing_since = None
                for connection in self._of(gateway_id):
                    if connection.confirmed_at < since:
                        connection.gone_at = since
        return silent

    async def unannounced(self, gateway_ids: Collection[GatewayId]) -> frozenset[GatewayId]:
        self._check()
        known = {gateway_id for gateway_id, gateway in self._gateways.items() if gateway.announced}
        return frozenset(gateway_ids) - known

    async def gone_users(self, *, limit: int) -> frozenset[UserId]:
        self._check()
        gone = [connection.session.user_id for connection in self._connections.values() if connection.gone_at]
        return frozenset(gone[:limit])

    async def connections(self, user_ids: Collection[UserId]) -> Sequence[Connection]:
        self._check()
        return [
            Connection(connection.session.user_id, connection.session.device.id, connection.gone_at)
            for connection in self._connections.values()
            if connection.session.user_id in user_ids
        ]

    async def settle(self, user_ids: Collection[UserId], changed: Sequence[PresenceChanged]) -> None:
        self._check()
        for change in changed:
            last_seen = max(self._users[change.user_id].last_seen or change.last_seen, change.last_seen)
            self._users[change.user_id] = Presence(
                user_id=change.user_id, status=change.status, last_seen=last_seen, devices=change.devices
            )
        self._connections = {
            session_id: connection
            for session_id, connection in self._connections.items()
            if connection.gone_at is None or connection.session.user_id not in user_ids
        }

    async def presence_of(self, user_ids: Collection[UserId]) -> Mapping[UserId, Presence]:
        self._check()
        return {user_id: self._users[user_id] for user_id in user_ids if user_id in self._users}

    async def online(self, *, after: UserId | None, limit: int) -> Sequence[Presence]:
        self._check()
        online = sorted(user_id for user_id, user in self._users.items() if user.status == "online")
        return [self._users[user_id] for user_id in online if user_id > (after or "")][:limit]

    async def devices_of(self, user_id: UserId) -> Sequence[Device]:
        self._check()
        connected = {
            connection.session.device.id
            for connection in self._connections.values()
            if connection.session.user_id == user_id and connection.gone_at is None
        }
        devices = [
            Device(info=seen.info, first_seen=seen.first_seen, last_seen=seen.last_seen, online=device_id in connected)
            for (owner_id, device_id), seen in self._devices.items()
            if owner_id == user_id
        ]
        return sorted(devices, key=lambda device: device.last_seen, reverse=True)

    async def ping(self) -> bool:
        return self.available

    def _check(self) -> None:
        if not self.available:
            raise StoreUnavailable("The fake store is away.")

    def _see(self, user_id: UserId, at: datetime) -> None:
        user = self._users.get(user_id, Presence(user_id=user_id, status="offline", last_seen=at))
        self._users[user_id] = msgspec.structs.replace(user, last_seen=max(user.last_seen or at, at))

    def _of(self, gateway_id: GatewayId) -> list[_Connection]:
        return [
            connection
            for connection in self._connections.values()
            if connection.session.gateway_id == gateway_id and connection.gone_at is None
        ]

    def _forget(self, gateway_id: GatewayId, seen_at: datetime) -> None:
        for connection in self._of(gateway_id):
            connection.gone_at = seen_at
        self._gateways.pop(gateway_id, None)
