"""What a batch of session events comes to, and whose presence differs after it; pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from presence.leases import LEASE_S
from presence.store import Changes, Connection, Sign, Standing
from shared.commands import SetStatus, Status
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

OFFLINE = "offline"


def fold(envelopes: Iterable[Envelope], *, now: datetime) -> Changes:
    """Reduce events, in their order, to what is left to do: a session that opened and closed is only closed.

    What a clock ahead of ours says is yet to come has happened `now`: else who goes would stay for as long.
    """
    folding = _Folding(now)
    for envelope in envelopes:
        folding.take(envelope.body, min(envelope.occurred_at, now))
    return Changes(folding.opened, folding.closed, folding.stopped, folding.alive, folding.announced, folding.statuses)


class _Folding:
    def __init__(self, now: datetime) -> None:
        self._now = now
        self.opened: dict[SessionId, Session] = {}
        self.closed: dict[SessionId, SessionClosed] = {}
        self.stopped: dict[GatewayId, datetime] = {}
        self.alive: dict[GatewayId, Sign] = {}
        self.announced: dict[GatewayId, bool] = {}
        self.statuses: dict[UserId, SetStatus] = {}

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
                self.closed[event.session_id] = msgspec.structs.replace(event, at=min(event.at, self._now))
            case GatewayRefreshed(gateway_id=gateway_id):
                self.alive[gateway_id] = Sign(at, event.lease_s)
            case GatewayStopped(gateway_id=gateway_id):
                self._stop(gateway_id, at)
            case SetStatus(user_id=user_id):
                self.statuses[user_id] = max(event, self.statuses.get(user_id, event), key=lambda said: said.at)
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
    connections: Iterable[Connection],
    standings: Mapping[UserId, Standing],
    *,
    at: datetime,
    gone_until: datetime,
) -> list[Standing]:
    """Give the new standings of those users who do not stand as they were last settled.

    A connection that went after `gone_until` may come back, and holds its device's place until then.
    """
    theirs: dict[UserId, list[Connection]] = {user_id: [] for user_id in user_ids}
    for connection in connections:
        theirs[connection.user_id].append(connection)
    stand = [
        (before, _stand(before, theirs[user_id], at, gone_until))
        for user_id in user_ids
        if (before := standings.get(user_id)) is not None
    ]
    return [after for before, after in stand if before.devices != after.devices or told(before, after)]


def told(before: Standing, after: Standing) -> PresenceChanged | None:
    """Give what others are to be told; None where they see no difference.

    Who is invisible comes and goes unseen: not even that something happened may be told.
    """
    was, is_ = before.told, after.told
    if (was.status, was.devices, was.text) == (is_.status, is_.devices, is_.text):
        return None
    assert is_.last_seen is not None  # they were or are visible
    return PresenceChanged(
        user_id=is_.user_id,
        status=is_.status,
        last_seen=is_.last_seen,
        devices=is_.devices,
        text=is_.text,
        chosen=after.chosen,
    )


def _stand(before: Standing, connections: Sequence[Connection], at: datetime, gone_until: datetime) -> Standing:
    devices = _count(before.devices, connections, gone_until)
    visible = devices > 0 and before.chosen is not Status.INVISIBLE
    presence = Presence(
        user_id=before.told.user_id,
        status=before.chosen if visible else OFFLINE,
        last_seen=at if visible else _last_seen(before.told, connections, gone_until, connected=devices > 0),
        devices=devices if visible else 0,
        text=before.text if visible else "",
    )
    return replace(before, told=presence, devices=devices)


def _count(before: int, connections: Iterable[Connection], gone_until: datetime) -> int:
    """Count the devices, moving no further from `before` than those must that may still come back.

    So a device that comes back is not counted twice either where it made up another id meanwhile.
    """
    there = {connection.device_id for connection in connections if connection.gone_at is None}
    held = {
        connection.device_id for connection in connections if connection.gone_at and connection.gone_at > gone_until
    }
    return min(max(before, len(there)), len(there | held))


def _last_seen(
    before: Presence, connections: Iterable[Connection], gone_until: datetime, *, connected: bool
) -> datetime | None:
    """Tell when one whom others do not see was last seen: as it was, if they did not see them before either.

    Who turns invisible looks like one who went, of whom others hear when the grace is over.
    """
    if before.status == OFFLINE:
        return before.last_seen
    went = (gone_until,) if connected else (connection.gone_at for connection in connections)
    return max((time for time in (before.last_seen, *went) if time is not None), default=gone_until)
