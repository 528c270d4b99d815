"""How often one may register, or try a password, from one address."""

import httpx
import pytest

from gateway.sign_in import NEW_AT_ONCE, WRONG_AT_ONCE, WRONG_PER_S
from shared.presence_http import HttpPresence
from tests.fakes import account_desk
from tests.fakes.account_desk import BOB, LOGIN, QUICK, Desk, app, error
from tests.fakes.presence_process import PlayedPresence

desk = account_desk.desk


async def test_wrong_passwords_from_one_address_are_limited_and_right_ones_count_for_nothing(desk: Desk) -> None:
    await desk.post("register", **BOB)
    for _ in range(2 * WRONG_AT_ONCE):
        assert (await desk.post("login", **LOGIN)).status_code == 200
    for _ in range(WRONG_AT_ONCE):
        assert (await desk.post("login", username="bob", password="wrong")).status_code == 401
    checked = desk.hasher.checked
    refused = await desk.post("login", **LOGIN)
    assert (error(refused), desk.hasher.checked) == ((429, "rate_limited"), checked)
    assert "Retry-After" in refused.headers
    await desk.clock.advance(1 / WRONG_PER_S)
    assert (await desk.post("login", **LOGIN)).status_code == 200


async def test_logins_that_cannot_be_checked_are_no_wrong_passwords(desk: Desk) -> None:
    await desk.post("register", **BOB)
    desk.hasher.broken = True
    for _ in range(WRONG_AT_ONCE + 1):
        assert (await desk.post("login", **LOGIN)).status_code == 503
    desk.hasher.broken = False
    assert (await desk.post("login", **LOGIN)).status_code == 200


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),  # one network
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ],
)
async def test_another_network_has_attempts_of_its_own(one: str, other: str, same: bool) -> None:
    async with PlayedPresence.open() as presence, presence.asked("internal") as asked:
        served = app(HttpPresence(asked), presence.clock, QUICK)

        async def attempt(address: str) -> int:
            transport = httpx.ASGITransport(served, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                return (await client.post("/api/v1/auth/login", json={"username": "eve", "password": "x"})).status_code

        assert [await attempt(one) for _ in range(WRONG_AT_ONCE + 1)][-2:] == [401, 429]
        assert await attempt(other) == (429 if same else 401)


@pytest.mark.parametrize("development", [False, True])
async def test_accounts_from_one_address_are_limited_but_in_development(development: bool) -> None:
    async with PlayedPresence.open() as presence, presence.asked("internal") as asked:
        served = app(HttpPresence(asked), presence.clock, QUICK, development=development)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://gateway") as client:
            statuses = []
            for n in range(NEW_AT_ONCE + 1):
                wish = BOB | {"username": f"bob{n}", "email": f"{n}@example.com"}
                statuses.append((await client.post("/api/v1/auth/register", json=wish)).status_code)
    assert statuses[-2:] == [201, 201 if development else 429]
