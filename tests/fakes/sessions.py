"""Sessions as gateways tell of them."""

from datetime import datetime

from shared.events import DeviceInfo, Session, SessionClosed
from shared.ids import DeviceId, GatewayId, SessionId, UserId
from tests.fakes.clock import START


def session(
    session_id: str, user_id: str, *, gateway_id: str = "gw-1", device_id: str = "phone", opened_at: datetime = START
) -> Session:
    return Session(
        id=SessionId(session_id),
        user_id=UserId(user_id),
        name=user_id.title(),
        gateway_id=GatewayId(gateway_id),
        device=DeviceInfo(id=DeviceId(device_id), name="A device", type="mobile", platform="android"),
        dialect="native",
        opened_at=opened_at,
    )


def closing(opened: Session, at: datetime) -> SessionClosed:
    return SessionClosed(
        session_id=opened.id,
        user_id=opened.user_id,
        device_id=opened.device.id,
        gateway_id=opened.gateway_id,
        at=at,
    )
