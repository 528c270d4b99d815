"""The presence store in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from presence.store import MAX_DEVICES, Changes, Connection, DeviceKey, Standing
from shared.commands import SetStatus
from shared.errors import StoreUnavailable
from shared.events import DeviceInfo, Session, SessionClosed
from shared.ids import DeviceId, GatewayId, SessionId, UserId
from shared.presence_api import Device, DevicePosition, Here, Presence, Profile
from tests.fakes.presence_accounts import FakeAccountStore


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
    signed_out_at: datetime | None = None


class FakePresenceStore(FakeAccountStore):
    """`PresenceStore`, and the stores of profiles and accounts beside it.

    `writes` counts those of batches and of what was settled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.available = True
        self.writes = 0
        self._connections: dict[SessionId, _Connection] = {}
        self._gateways: dict[GatewayId, _Gateway] = {}
        self._standings: dict[UserId, Standing] = {}
        self._chosen_at: dict[UserId, datetime] = {}
        self._devices: dict[tuple[UserId, DeviceId], _Seen] = {}
        self._positions: dict[DeviceKey, DevicePosition] = {}

    async def apply(self, changes: Changes, *, at: datetime) -> None:
        self._check()
        self.writes += 1
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
            self._open(session, at)
        for closed in changes.closed.values():
            self._close(closed)
        for said in changes.statuses.values():
            self._choose(said)

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

    async def gone_users(self, *, until: datetime, limit: int) -> frozenset[UserId]:
        self._check()
        gone = [
            connection.session.user_id
            for connection in self._connections.values()
            if connection.gone_at is not None and connection.gone_at <= until
        ]
        return frozenset(gone[:limit])

    async def connections(self, user_ids: Collection[UserId]) -> Sequence[Connection]:
        self._check()
        return [
            Connection(session.user_id, session.device.id, session.opened_at, connection.gone_at)
            for connection in self._connections.values()
            if (session := connection.session).user_id in user_ids
        ]

    async def standings(self, user_ids: Collection[UserId]) -> Mapping[UserId, Standing]:
        self._check()
        return {user_id: self._standing(user_id) for user_id in user_ids if user_id in self.users}

    async def settle(self, user_ids: Collection[UserId], changed: Sequence[Standing], *, gone_until: datetime) -> None:
        self._check()
        self.writes += 1
        for after in changed:
            now = self._standing(after.told.user_id)
            self._standings[after.told.user_id] = replace(now, told=after.told, devices=after.devices)
        self._connections = {
            session_id: connection
            for session_id, connection in self._connections.items()
            if connection.session.user_id not in user_ids
            or connection.gone_at is None
            or connection.gone_at > gone_until
        }

    async def online(self, *, after: UserId | None, limit: int) -> Sequence[Standing]:
        self._check()
        online = sorted(user_id for user_id, standing in self._standings.items() if standing.devices)
        return [self._standings[user_id] for user_id in online if user_id > (after or "")][:limit]

    async def here(self, *, limit: int) -> Sequence[Here]:
        self._check()
        last: dict[UserId, Session] = {}
        open_ = (connection.session for connection in self._connections.values() if connection.gone_at is None)
        for session in sorted(open_, key=lambda session: session.opened_at):
            last.pop(session.user_id, None)
            last[session.user_id] = session
        return [
            Here(
                user_id=user_id,
                name=self.users[user_id].name,
                device=DeviceInfo(id=session.device.id, ephemeral=True) if session.device.ephemeral else session.device,
                status=self._standing(user_id).told.status,
                since=session.opened_at,
            )
            for user_id, session in reversed(last.items())
            if self._standing(user_id).told.status != "offline"
        ][:limit]

    async def position(self, user_id: UserId, device_id: DeviceId) -> str | None:
        self._check()
        kept = self._positions.get((user_id, device_id))
        return None if kept is None else kept.since

    async def keep_positions(self, positions: Sequence[DevicePosition]) -> None:
        self._check()
        for each in positions:
            key = (each.user_id, each.device_id)
            if key not in self._positions or self._positions[key].at <= each.at:
                self._positions[key] = each

    async def erase(self, user_id: UserId, *, at: datetime) -> Collection[DeviceId]:
        self._check()
        self._accounts.pop(user_id, None)
        self._named.discard(user_id)
        if user_id in self.users:
            self.users[user_id] = Profile(user_id=user_id, name=user_id, created_at=self.users[user_id].created_at)
            self._standings[user_id] = replace(self._standing(user_id), text="")
        self._positions = {key: kept for key, kept in self._positions.items() if key[0] != user_id}
        devices = [device_id for owner_id, device_id in self._devices if owner_id == user_id]
        for device_id in devices:
            await self.sign_out(user_id, device_id, at=at)
            self._devices[user_id, device_id].info = DeviceInfo(id=device_id)
        return devices

    async def devices_of(self, user_id: UserId) -> Sequence[Device]:
        self._check()
        connected = {
            connection.session.device.id
            for connection in self._connections.values()
            if connection.session.user_id == user_id and connection.gone_at is None
        }
        devices = [
            Device(
                info=seen.info,
                first_seen=seen.first_seen,
                last_seen=seen.last_seen,
                online=device_id in connected,
                signed_out_at=seen.signed_out_at,
            )
            for (owner_id, device_id), seen in self._devices.items()
            if owner_id == user_id
        ]
        return sorted(devices, key=lambda device: device.last_seen, reverse=True)[:MAX_DEVICES]

    async def sign_out(self, user_id: UserId, device_id: DeviceId, *, at: datetime, known: bool = True) -> bool:
        self._check()
        if not known:
            self._devices.setdefault((user_id, device_id), _Seen(DeviceInfo(id=device_id), at, at))
        device = self._devices.get((user_id, device_id))
        if device is not None:
            device.signed_out_at = max(at, device.signed_out_at or at)
        return device is not None

    async def signed_out(self, devices: Collection[DeviceKey]) -> Mapping[DeviceKey, datetime]:
        self._check()
        return {key: at for key, seen in self._devices.items() if key in devices and (at := seen.signed_out_at)}

    async def signed_out_of(self, user_id: UserId) -> Mapping[DeviceId, datetime]:
        self._check()
        theirs = {key for key in self._devices if key[0] == user_id}
        return {device_id: at for (_, device_id), at in (await self.signed_out(theirs)).items()}

    async def ping(self) -> bool:
        return self.available

    def _check(self) -> None:
        if not self.available:
            raise StoreUnavailable("The fake store is away.")

    def _open(self, session: Session, at: datetime) -> None:
        self._connections[session.id] = _Connection(session, at)
        self._meet(session.user_id, session.name, session.opened_at)
        if session.device.ephemeral:
            return
        key = (session.user_id, session.device.id)
        seen = self._devices.setdefault(key, _Seen(session.device, session.opened_at, session.opened_at))
        seen.info = session.device
        seen.last_seen = max(seen.last_seen, session.opened_at)

    def _close(self, closed: SessionClosed) -> None:
        connection = self._connections.get(closed.session_id)
        if connection is not None and connection.gone_at is None:
            connection.gone_at = closed.at
        device = self._devices.get((closed.user_id, closed.device_id))
        if device is not None:
            device.last_seen = max(device.last_seen, closed.at)

    def _standing(self, user_id: UserId) -> Standing:
        return self._standings.get(user_id, Standing(Presence(user_id=user_id, status="offline")))

    def _choose(self, said: SetStatus) -> None:
        if said.user_id in self.users and said.at >= self._chosen_at.get(said.user_id, said.at):
            self._chosen_at[said.user_id] = said.at
            chosen = replace(self._standing(said.user_id), chosen=said.status, text=said.text)
            self._standings[said.user_id] = chosen

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
