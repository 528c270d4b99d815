"""Who a client is: a token's user, or a device's own word where devices are open."""

import pytest
from pydantic import SecretStr

from gateway.dialects.base import Hello
from gateway.identities import Identities
from gateway.settings import GatewaySettings
from shared.auth import Authenticator, TokenMint
from shared.errors import Forbidden, Unauthenticated
from shared.events import DeviceInfo
from shared.ids import DeviceId, UserId
from tests.fakes.clock import FakeClock
from tests.fakes.edge import ENVIRON, SECRET

CLOCK = FakeClock()
TABLET = UserId("tablet")


def identities(*, open_devices: bool = False) -> Identities:
    auth = GatewaySettings.from_env(ENVIRON).auth
    return Identities(Authenticator(auth, clock=CLOCK), open_devices=open_devices, clock=CLOCK)


def token(user: str) -> str:
    return TokenMint(SecretStr(SECRET), clock=CLOCK).mint(UserId(user), user.title(), None, 60)[0]


async def test_a_token_says_who_it_is() -> None:
    identity = await identities().of(Hello(token=token("tablet"), claims=TABLET))
    assert (identity.user_id, identity.name) == ("tablet", "Tablet")


async def test_a_token_of_somebody_else_is_refused() -> None:
    with pytest.raises(Forbidden):
        await identities(open_devices=True).of(Hello(token=token("mallory"), claims=TABLET))


async def test_a_device_is_believed_where_devices_are_open() -> None:
    device = DeviceInfo(id=DeviceId("tablet"), name="In the kitchen")
    identity = await identities(open_devices=True).of(Hello(claims=TABLET, device=device))
    assert (identity.user_id, identity.name, identity.role) == ("tablet", "In the kitchen", None)


@pytest.mark.parametrize("open_devices", [False, True])
async def test_nobody_is_believed_without_a_name(*, open_devices: bool) -> None:
    with pytest.raises(Unauthenticated):
        await identities(open_devices=open_devices).of(Hello())


async def test_a_device_needs_a_token_where_devices_are_not_open() -> None:
    with pytest.raises(Unauthenticated):
        await identities().of(Hello(claims=TABLET))


async def test_a_false_token_is_refused_where_a_name_would_do() -> None:
    with pytest.raises(Unauthenticated):
        await identities(open_devices=True).of(Hello(token="forged", claims=TABLET))
