"""The routing table: which gateways hold a user's sessions."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.clock import Clock
from shared.events import Session
from shared.ids import GatewayId, SessionId, UserId

LEASE_S = 15.0  # of a gateway that has not yet said its own; it refreshes every 5 s


class _Seat(NamedTuple):
    user_id: UserId
    confirmed_at: float


@dataclass(slots=True)
class _Gateway:
    lease_until: float
    announced: bool = False
    announcing_since: float | None = None
    seats: dict[SessionId, _Seat] = field(default_factory=dict)


class RoutingTable:
    """User → gateway → session ids, in memory, as the gateways' own events tell it.

    It may know a session too many: a gateway ignores recipients that it does not hold. A session too few is one that
    the gateway has yet to announce, and catches up from history when it is told of the route.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._routes: dict[UserId, dict[GatewayId, set[SessionId]]] = {}
        self._gateways: dict[GatewayId, _Gateway] = {}

    @property
    def gateway_count(self) -> int:
        """Count the gateways."""
        return len(self._gateways)

    @property
    def session_count(self) -> int:
        """Count the sessions."""
        return sum(len(gateway.seats) for gateway in self._gateways.values())

    def gateways_of(self, user_id: UserId) -> Iterable[GatewayId]:
        """Name the gateways that hold a session of the user."""
        return self._routes.get(user_id, ())

    def among(self, users: AbstractSet[UserId]) -> set[UserId]:
        """Name those of the users who have a session; costs as much as the smaller of the two sets."""
        return self._routes.keys() & users

    def sessions_of(self, user_id: UserId) -> dict[GatewayId, tuple[SessionId, ...]]:
        """Name the user's sessions by gateway."""
        routes = self._routes.get(user_id, {})
        return {gateway_id: tuple(sorted(sessions)) for gateway_id, sessions in routes.items()}

    def has_announced(self, gateway_id: GatewayId) -> bool:
        """Tell whether the gateway has announced its sessions since it was last forgotten."""
        gateway = self._gateways.get(gateway_id)
        return gateway is not None and gateway.announced

    def add(self, session: Session) -> bool:
        """Add a session, or confirm it; tells whether it is new."""
        seats = self._gateway(session.gateway_id).seats
        new = session.id not in seats
        seats[session.id] = _Seat(session.user_id, self._clock.monotonic())
        self._routes.setdefault(session.user_id, {}).setdefault(session.gateway_id, set()).add(session.id)
        return new

    def remove(self, gateway_id: GatewayId, session_id: SessionId) -> None:
        """Remove a closed session, if it is there."""
        gateway = self._gateways.get(gateway_id)
        seat = gateway.seats.pop(session_id, None) if gateway is not None else None
        if seat is None:
            return
        routes = self._routes[seat.user_id]
        routes[gateway_id].discard(session_id)
        if not routes[gateway_id]:
            del routes[gateway_id]
        if not routes:
            del self._routes[seat.user_id]

    def announce(self, gateway_id: GatewayId, sessions: Iterable[Session], *, first: bool) -> list[Session]:
        """Add a part of a gateway's announcement; gives the sessions that are new.

        What is known and not announced again goes only a lease after the announcement began, when all its parts have
        come: nobody loses their route in between.
        """
        gateway = self._gateway(gateway_id)
        gateway.announced = True
        if first:
            gateway.announcing_since = self._clock.monotonic()
        return [session for session in sessions if self.add(session)]

    def refresh(self, gateway_id: GatewayId, lease_s: float) -> None:
        """Renew a gateway's lease."""
        self._gateway(gateway_id).lease_until = self._clock.monotonic() + lease_s

    def forget(self, gateway_id: GatewayId) -> None:
        """Drop a gateway and every route to it."""
        gateway = self._gateways.get(gateway_id)
        if gateway is None:
            return
        for session_id in tuple(gateway.seats):
            self.remove(gateway_id, session_id)
        del self._gateways[gateway_id]

    def expire(self) -> list[GatewayId]:
        """Forget the gateways whose lease ran out, and sessions that their gateway no longer announces."""
        now = self._clock.monotonic()
        gone = [gateway_id for gateway_id, gateway in self._gateways.items() if gateway.lease_until <= now]
        for gateway_id in gone:
            self.forget(gateway_id)
        for gateway_id, gateway in self._gateways.items():
            since = gateway.announcing_since
            if since is not None and since + LEASE_S <= now:
                gateway.announcing_since = None
                self._drop_unconfirmed(gateway_id, gateway, since)
        return gone

    def _drop_unconfirmed(self, gateway_id: GatewayId, gateway: _Gateway, since: float) -> None:
        for session_id in [id_ for id_, seat in gateway.seats.items() if seat.confirmed_at < since]:
            self.remove(gateway_id, session_id)

    def _gateway(self, gateway_id: GatewayId) -> _Gateway:
        gateway = self._gateways.get(gateway_id)
        if gateway is None:
            gateway = self._gateways[gateway_id] = _Gateway(lease_until=self._clock.monotonic() + LEASE_S)
        return gateway
