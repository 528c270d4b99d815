"""Register, log in, log out: accounts of those whose password is kept here."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import argon2
import httpx
import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from fastapi import FastAPI
from pydantic import SecretStr

from gateway.accounts import Accounts
from gateway.limits import RateLimiter
from gateway.passwords import AT_ONCE, HASHER, NOBODYS, Passwords
from gateway.rest.callers import Callers
from gateway.rest.huddle.accounts import accounts_router
from gateway.rest.huddle.errors import HuddleRoute
from gateway.settings import GatewaySettings
from gateway.sign_in import NEW_AT_ONCE, WRONG_AT_ONCE, WRONG_PER_S, Applicant, SignIn, build
from shared.auth import Authenticator, TokenMint
from shared.clock import rfc3339
from shared.errors import Unavailable
from shared.http import install_error_handlers
from shared.ids import DeviceId, UserId, new_id
from shared.presence_http import HttpPresence
from shared.settings import AuthSettings, Mode
from tests.fakes.clock import START, FakeClock, settle
from tests.fakes.presence_process import PlayedPresence
from tests.fakes.queries import FakePresence

SECRET = SecretStr("a-secret-of-the-account-tests-32-bytes")
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
NOBODY = QUICK.hash("nobody's")
BOB = {"username": "Bob", "email": "bob@example.com", "full_name": "Bob B.", "password": "correct horse"}
LOGIN = {"username": "bob", "password": "correct horse"}


class CountingHasher(PasswordHasher):
    """Counts how often a password was checked."""

    checked = 0
    broken = False

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.checked += 1
        if self.broken:
            raise VerificationError("out of memory")
        return super().verify(hash, password)


@dataclass
class Desk:
    """A client, and what stands behind the routes."""

    client: httpx.AsyncClient
    app: FastAPI
    presence: HttpPresence
    clock: FakeClock
    hasher: CountingHasher
    mint: TokenMint

    async def post(self, path: str, **body: object) -> httpx.Response:
        return await self.client.post(f"/api/v1/auth/{path}", json=body)

    async def me(self, token: str) -> httpx.Response:
        return await self.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})


def app(presence: HttpPresence, clock: FakeClock, hasher: PasswordHasher, *, development: bool = False) -> FastAPI:
    made = FastAPI()
    install_error_handlers(made)
    settings = AuthSettings(mode=Mode.PRODUCTION, jwt_secret=SECRET)
    accounts = Accounts(presence, clock=clock)
    made.state.callers = Callers(Authenticator(settings, clock=clock), RateLimiter(None, 1, clock=clock), accounts)
    mint = TokenMint(SECRET, clock=clock)
    passwords = Passwords(hasher, NOBODY)
    sign_in = SignIn(presence, passwords, mint, development=development, clock=clock, new_id=new_id)
    made.include_router(accounts_router(presence, sign_in))
    return made


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    hasher = CountingHasher(time_cost=1, memory_cost=8, parallelism=1)
    async with PlayedPresence.open() as presence, presence.asked("internal") as asked:
        queries = HttpPresence(asked)
        served = app(queries, presence.clock, hasher)
        mint = TokenMint(SECRET, clock=presence.clock)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://gateway") as client:
            yield Desk(client, served, queries, presence.clock, hasher, mint)


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_who_registers_is_signed_in_with_the_next_number(desk: Desk) -> None:
    answer = await desk.post("register", **BOB)
    token = answer.json().pop("access_token")
    assert (answer.status_code, answer.json()) == (
        201,
        {
            "id": 1,
            "username": "Bob",
            "email": "bob@example.com",
            "full_name": "Bob B.",
            "avatar_url": None,
            "bio": None,
            "timezone": None,
            "is_active": True,
            "is_online": False,
            "last_seen": None,
            "created_at": rfc3339(START),
            "access_token": token,
            "token_type": "bearer",
        },
    )
    me = (await desk.me(token)).json()
    assert me == {name: value for name, value in answer.json().items() if name not in ("access_token", "token_type")}
    assert "password" not in answer.text + str(me)


@pytest.mark.parametrize("name", ["Bob", "bOB", "BOB@example.com"])
async def test_an_account_logs_in_by_json_and_by_form(desk: Desk, name: str) -> None:
    await desk.post("register", **BOB)
    login = {"username": name, "password": "correct horse"}
    for answer in (
        await desk.post("login", **login),
        await desk.client.post("/api/v1/auth/login", data={**login, "grant_type": "password"}),
        await desk.client.post("/api/v1/auth/login", content=httpx.Response(200, json=login).content),  # says nothing
    ):
        assert (answer.status_code, answer.json()["token_type"]) == (200, "bearer")
        assert (await desk.me(answer.json()["access_token"])).json()["id"] == 1
    assert (await desk.post("login", email="bob@example.com", password="correct horse")).status_code == 200


async def test_a_wrong_password_and_an_unknown_name_are_the_same_and_take_the_same_work(desk: Desk) -> None:
    await desk.post("register", **BOB)
    wrong = await desk.post("login", username="bob", password="incorrect horse")
    unknown = await desk.post("login", username="eve", password="correct horse")
    assert error(wrong) == (401, "unauthenticated")
    assert (unknown.status_code, unknown.json()) == (wrong.status_code, wrong.json())
    assert desk.hasher.checked == 2
    nobodys = await desk.post("login", username="eve", password="nobody's")
    assert nobodys.status_code == 401


async def test_a_password_is_the_same_however_it_was_composed(desk: Desk) -> None:
    await desk.post("register", **{**BOB, "password": "caf\u00e9-table"})
    assert (await desk.post("login", username="bob", password="cafe\u0301-table")).status_code == 200


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"username": "b"}, "username"),
        ({"username": "bob@example.com"}, "username"),
        ({"username": "bob b"}, "username"),
        ({"username": "bob\n"}, "username"),
        ({"username": None}, "username"),
        ({"email": "nowhere"}, "email"),
        ({"email": "a b@c"}, "email"),
        ({"full_name": " "}, "full_name"),
        ({"full_name": "x" * 129}, "full_name"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 1025}, "password"),
        ({"password": 12345678}, "password"),
    ],
)
async def test_a_registration_that_makes_no_sense_is_refused(desk: Desk, change: dict[str, object], path: str) -> None:
    answer = await desk.post("register", **BOB | change)
    assert error(answer) == (422, "invalid_field")
    assert answer.json()["details"]["path"] == path
    assert str(change.get("password", BOB["password"])) not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{", b"\xff", b"null", b'"\\ud800"', b'{"username": "bob"}'),
        *(b'{"username": 1, "password": "x"}', b'{"username": "bob", "password": "\\ud800"}'),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
async def test_a_login_that_cannot_be_read_is_refused_and_counts_for_nothing(
    desk: Desk, body: bytes, kind: str
) -> None:
    for _ in range(3):
        answer = await desk.client.post("/api/v1/auth/login", content=body, headers={"Content-Type": kind})
        assert error(answer)[0] in (400, 422)
    assert desk.hasher.checked == 0


async def test_a_username_may_be_in_any_script(desk: Desk) -> None:
    await desk.post("register", **BOB | {"username": "张三"})
    assert (await desk.post("login", username="张三", password="correct horse")).status_code == 200


async def test_a_name_or_address_that_is_taken_is_a_conflict(desk: Desk) -> None:
    await desk.post("register", **BOB)
    for change, field in (({"email": "new@example.com"}, "username"), ({"username": "new"}, "email")):
        answer = await desk.post("register", **BOB | change)
        assert error(answer) == (409, "conflict")
        assert answer.json()["details"] == {"field": field}


async def test_who_brings_a_token_of_their_own_is_known_by_it(desk: Desk) -> None:
    token, _ = desk.mint.mint(UserId("alice"), "Alice", DeviceId("phone"), 60)
    me = (await desk.me(token)).json()
    assert (me["id"], me["username"], me["full_name"], me["email"]) == ("alice", "Alice", "Alice", None)
    for path in ("me", "logout"):
        method = "GET" if path == "me" else "POST"
        assert error(await desk.client.request(method, f"/api/v1/auth/{path}")) == (401, "unauthenticated")


async def test_after_a_logout_the_token_of_that_login_counts_no_more(desk: Desk) -> None:
    await desk.post("register", **BOB)
    one, other = [(await desk.post("login", **LOGIN)).json()["access_token"] for _ in range(2)]
    await desk.clock.advance(1)
    answer = await desk.client.post("/api/v1/auth/logout", headers={"Authorization": f"Bearer {one}"})
    assert answer.status_code == 200
    await desk.clock.advance(61)  # the gateways that no event reached ask again after a minute
    assert error(await desk.me(one)) == (401, "unauthenticated")
    assert (await desk.me(other)).status_code == 200


async def test_without_accounts_one_is_known_and_logs_out_all_the_same(desk: Desk) -> None:
    token, _ = desk.mint.mint(UserId("alice"), "Alice", DeviceId("phone"), 60)
    without = FastAPI()
    without.state.callers = desk.app.state.callers
    without.include_router(accounts_router(desk.presence, None))
    headers = {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(without)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
        assert (await client.get("/api/v1/auth/me")).json()["id"] == "alice"
        assert (await client.post("/api/v1/auth/logout")).status_code == 200
        for path, body in (("register", BOB), ("login", LOGIN)):
            assert (await client.post(f"/api/v1/auth/{path}", json=body)).status_code == 404
    assert (await desk.presence.devices(UserId("alice")))[0].signed_out_at is not None


async def test_errors_are_in_the_words_of_the_wire_and_say_no_password(desk: Desk) -> None:
    worded = FastAPI()
    worded.state.callers = desk.app.state.callers
    sign_in = SignIn(
        desk.presence, Passwords(QUICK, NOBODY), desk.mint, development=True, clock=desk.clock, new_id=new_id
    )
    worded.include_router(accounts_router(desk.presence, sign_in, route_class=HuddleRoute))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(worded), base_url="http://gateway") as client:
        for path, body, status in (
            ("register", BOB | {"email": "nowhere"}, 422),
            ("register", BOB | {"password": "short"}, 422),
            ("login", LOGIN, 401),
            ("login", {"password": LOGIN["password"]}, 422),
            ("logout", {}, 401),
        ):
            answer = await client.post(f"/api/v1/auth/{path}", json=body)
            assert (answer.status_code, answer.json()["status_code"]) == (status, status)
            assert answer.json()["detail"]
            assert not any(each in answer.text for each in ("correct horse", "short"))


# --- how often


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


# --- where


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


# --- passwords


def test_the_hash_of_nobody_takes_as_much_work_as_any_other() -> None:
    assert argon2.extract_parameters(NOBODYS) == argon2.extract_parameters(HASHER.hash("x"))


async def test_a_hash_is_argon2id_and_another_each_time() -> None:
    passwords = Passwords(QUICK, NOBODY)
    one, other = await passwords.hash("secret"), await passwords.hash("secret")
    assert one.startswith("$argon2id$")
    assert one != other
    assert await passwords.is_right("secret", one)
    assert not await passwords.is_right("secrets", one)
    assert not await passwords.is_right("nobody's", None)


class HeldHasher(PasswordHasher):
    """Tells when a hash is begun, and waits until it may go on."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.began = threading.Semaphore(0)
        self.may_go_on = threading.Event()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.began.release()
        self.may_go_on.wait()
        return super().hash(password, salt=salt)


async def test_only_a_few_hashes_are_made_at_a_time() -> None:
    hasher = HeldHasher()
    passwords = Passwords(hasher, NOBODY)
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(passwords.hash("secret"), name="hash") for _ in range(AT_ONCE + 2)]
        for _ in range(AT_ONCE):
            await asyncio.to_thread(hasher.began.acquire)
        await settle()
        assert not hasher.began.acquire(blocking=False)
        hasher.may_go_on.set()
    assert len({each.result() for each in made}) == AT_ONCE + 2


async def test_what_is_kept_wrongly_is_no_wrong_password() -> None:
    with pytest.raises(Unavailable):
        await Passwords(QUICK, NOBODY).is_right("secret", "no hash")
