"""Split events by the gateways that hold their recipients."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from shared.envelope import Envelope
from shared.events import Entry, Handoff, TypingChanged
from shared.ids import GatewayId, UserId


class Routes(Protocol):
    """Where users are."""

    def gateways_of(self, user_id: UserId) -> Iterable[GatewayId]:
        """Name the gateways that hold a session of the user."""
        ...


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event and those it is for. The envelope is the one it came in: its hand-offs keep its id, trace and time."""

    envelope: Envelope
    event: Entry | TypingChanged
    audience: Collection[UserId]


Plan: TypeAlias = Mapping[GatewayId, Sequence[Envelope]]


def plan(parcels: Iterable[Parcel], routes: Routes) -> Plan:
    """Give each gateway its hand-offs, in the order of the parcels: one an event, with all its recipients there."""
    plans: dict[GatewayId, list[Envelope]] = {}
    for parcel in parcels:
        for gateway_id, recipients in _by_gateway(parcel.audience, routes).items():
            handoff = Handoff(recipients=tuple(recipients), event=parcel.event)
            source = parcel.envelope
            plans.setdefault(gateway_id, []).append(
                Envelope(id=source.id, trace_id=source.trace_id, occurred_at=source.occurred_at, body=handoff)
            )
    return plans


def _by_gateway(audience: Iterable[UserId], routes: Routes) -> dict[GatewayId, list[UserId]]:
    split: dict[GatewayId, list[UserId]] = {}
    for user_id in audience:
        for gateway_id in routes.gateways_of(user_id):
            split.setdefault(gateway_id, []).append(user_id)
    return split
