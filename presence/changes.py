"""What a batch of session events comes to, and whose presence differs after it; pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from presence.leases import LEASE_S
from presence.store import Changes, Connection, Sign
from shared.envelope import Body, Envelope
from shared.events import (
    GatewayRefreshed,
    GatewayStopped,
    PresenceChanged,
    Session,
    SessionClosed,
    SessionOpened,
    SessionsAnnounced,
    SessionsWanted,
)
from shared.ids import GatewayId, SessionId, UserId
from shared.presence_api import Presence


def fold(envelopes: Iterable[Envelope]) -> Changes:
    """Reduce events, in their order, to what is left to do: a session that opened and closed is only closed."""
    folding = _Folding()
    for envelope in envelopes:
        folding.take(envelope.body, envelope.occurred_at)
    return Changes(folding.opened, folding.closed, folding.stopped, folding.alive, folding.announced)


class _Folding:
    def __init__(self) -> None:
        self.opened: dict[SessionId, Session] = {}
        self.closed: dict[SessionId, SessionClosed] = {}
        self.stopped: dict[GatewayId, datetime] = {}
        self.alive: dict[GatewayId, Sign] = {}
        self.announced: dict[GatewayId, bool] = {}

    def take(self, event: Body, at: datetime) -> None:
        match event:
            case SessionOpened(session=session):
                self._open(session, at)
            case SessionsAnnounced(gateway_id=gateway_id):
                self.alive[gateway_id] = Sign(at, LEASE_S)
                self.announced[gateway_id] = event.first or self.announced.get(gateway_id, False)
                for session in event.sessions:
                    self._open(session, at)
            case SessionClosed():
                self.opened.pop(event.session_id, None)
                self.closed[event.session_id] = event
            case GatewayRefreshed(gateway_id=gateway_id):
                self.alive[gateway_id] = Sign(at, event.lease_s)
            case GatewayStopped(gateway_id=gateway_id):
                self._stop(gateway_id, at)
            case _:
                assert isinstance(event, SessionsWanted)  # a question to the gateways, on the same fanout

    def _open(self, session: Session, at: datetime) -> None:
        self.alive[session.gateway_id] = Sign(at, LEASE_S)
        self.opened[session.id] = session
        self.closed.pop(session.id, None)

    def _stop(self, gateway_id: GatewayId, at: datetime) -> None:
        self.stopped[gateway_id] = at
        self.alive.pop(gateway_id, None)
        self.announced.pop(gateway_id, None)
        for session_id in [id_ for id_, session in self.opened.items() if session.gateway_id == gateway_id]:
            del self.opened[session_id]


def compare(
    user_ids: Collection[UserId],
    connections: Sequence[Connection],
    settled: Mapping[UserId, Presence],
    *,
    at: datetime,
) -> list[PresenceChanged]:
    """Give the users whose number of devices differs from what was last settled.

    Who is online is seen now; who is not was last seen when their last session closed, or its gateway last spoke.
    """
    devices: dict[UserId, set[str]] = {user_id: set() for user_id in user_ids}
    last_seen: dict[UserId, datetime] = {}
    for connection in connections:
        if connection.gone_at is None:
            devices[connection.user_id].add(connection.device_id)
        else:
            last_seen[connection.user_id] = max(
                connection.gone_at, last_seen.get(connection.user_id, connection.gone_at)
            )
    changed: list[PresenceChanged] = []
    for user_id, there in devices.items():
        before = settled.get(user_id)
        if before is None or before.devices == len(there):
            continue
        times = [time for time in (before.last_seen, last_seen.get(user_id)) if time is not None]
        changed.append(
            PresenceChanged(
                user_id=user_id,
                status="online" if there else "offline",
                last_seen=at if there else max(times, default=at),
                devices=len(there),
            )
        )
    return changed
