"""The routes of accounts, with a played presence behind them and a client before them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import httpx
import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from fastapi import FastAPI
from pydantic import SecretStr

from gateway.accounts import Accounts
from gateway.limits import RateLimiter
from gateway.passwords import Passwords
from gateway.rest.callers import Callers
from gateway.rest.huddle.accounts import accounts_router
from gateway.sign_in import SignIn
from shared.auth import Authenticator, TokenMint
from shared.http import install_error_handlers
from shared.ids import new_id
from shared.presence_http import HttpPresence
from shared.settings import AuthSettings, Mode
from tests.fakes.clock import FakeClock
from tests.fakes.presence_process import PlayedPresence

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
