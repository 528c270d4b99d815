"""Where a gateway keeps accounts, by its settings."""

import pytest

from gateway.passwords import Passwords
from gateway.settings import GatewaySettings
from gateway.sign_in import Applicant, build
from shared.auth import Authenticator
from shared.ids import new_id
from tests.fakes.account_desk import SECRET
from tests.fakes.clock import FakeClock
from tests.fakes.queries import FakePresence

ENVIRON = {"WARREN_ADMIN_TOKEN": "a" * 32, "WARREN_INTERNAL_TOKEN": "i" * 32, "WARREN_JWT_AUDIENCE": "chat"}


def settings(**environ: str) -> GatewaySettings:
    return GatewaySettings.from_env(ENVIRON | {"WARREN_JWT_SECRET": SECRET.get_secret_value()} | environ)


def test_accounts_are_kept_in_development_or_where_it_is_said() -> None:
    jwks = {"WARREN_JWKS_URL": "http://keys.example"}
    for environ, kept in (
        ({}, False),
        ({"WARREN_GATEWAY_ACCOUNTS": "true"}, True),
        ({"WARREN_MODE": "development"}, True),
        ({"WARREN_MODE": "development", "WARREN_GATEWAY_ACCOUNTS": "false"}, False),
        ({"WARREN_MODE": "development", **jwks}, False),  # others sign the tokens
    ):
        made = build(settings(**environ), FakePresence(), clock=FakeClock(), new_id=new_id)
        assert (made is not None) is kept, environ
    with pytest.raises(ValueError, match="WARREN_JWT_SECRET"):
        settings(WARREN_GATEWAY_ACCOUNTS="true", **jwks)


async def test_the_token_of_an_account_is_one_that_the_gateway_takes() -> None:
    clock, presence = FakeClock(), FakePresence()
    given = settings(WARREN_GATEWAY_ACCOUNTS="true", WARREN_JWT_ISSUER="warren")
    sign_in = build(given, presence, clock=clock, new_id=new_id)
    assert sign_in is not None
    granted = await sign_in.register(Applicant("Bob", "bob@example.com", "Bob B.", "correct horse"), "10.0.0.1")
    identity = await Authenticator(given.auth, clock=clock).authenticate(granted.token)
    assert (identity.user_id, identity.name) == (granted.login.user_id, "Bob B.")
    assert await Passwords().is_right("correct horse", granted.login.password_hash)
