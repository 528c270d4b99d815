"""The registry of wire languages: one line each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.dialects.base import MakeDialect
from gateway.dialects.devices import DevicesDialect
from gateway.dialects.envelope import EnvelopeDialect
from gateway.dialects.flutter import FlutterDialect
from gateway.dialects.huddle import HuddleDialect
from gateway.dialects.native import NativeDialect
from gateway.dialects.service import ServiceDialect


@dataclass(frozen=True, slots=True)
class Wire:
    """One wire language: where its sockets are, and its dialect over Socket.IO by the first event of its clients."""

    name: str
    sockets: Mapping[str, MakeDialect] = field(default_factory=dict)
    socket_io: Mapping[str, MakeDialect] = field(default_factory=dict)


NATIVE = Wire("native", {"/v1/ws": NativeDialect.make})
WIRES: tuple[Wire, ...] = (
    Wire("devices", {"/api/messages/ws/{device_id}": DevicesDialect}),
    Wire("envelope", {"/ws/envelope": EnvelopeDialect.make}),
    Wire("service", socket_io={"register": ServiceDialect.make}),
    Wire("flutter", socket_io={"message": FlutterDialect.make}),
    Wire("huddle", {"/ws": HuddleDialect.make}),
)
