"""Tokens: what is checked of them, and what those minted for development say."""

import asyncio
import json
import socket
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from shared.auth import Authenticator, Identity, TokenMint
from shared.errors import TokenExpired, Unauthenticated, Unavailable
from shared.ids import DeviceId, UserId
from shared.settings import AuthSettings
from tests.fakes.clock import FakeClock

SECRET = "a secret of the tests, long enough for HS256"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def authenticator(clock: FakeClock, **settings: Any) -> Authenticator:
    return Authenticator(AuthSettings(**{"jwt_secret": SECRET, **settings}), clock=clock)


def claims(clock: FakeClock, **changed: Any) -> dict[str, Any]:
    """Good claims with some changed; None takes one away."""
    good = {"sub": "alice", "exp": int(clock.now().timestamp()) + 60}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def signed(payload: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(payload, key, algorithm, headers=headers or None)


def part(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_a_minted_token_tells_who_it_speaks_for(clock: FakeClock) -> None:
    token, expires_at = TokenMint(SecretStr(SECRET), clock=clock).mint(
        UserId("alice"), "Alice", DeviceId("phone"), lifetime_s=3600
    )
    assert expires_at == clock.now() + timedelta(hours=1)
    assert await authenticator(clock).authenticate(token) == Identity(
        user_id=UserId("alice"),
        name="Alice",
        device_id=DeviceId("phone"),
        role=None,
        expires_at=expires_at,
        issued_at=clock.now(),
    )


async def test_only_subject_and_expiry_are_needed(clock: FakeClock) -> None:
    identity = await authenticator(clock).authenticate(signed(claims(clock)))
    assert (identity.user_id, identity.name, identity.device_id, identity.role) == ("alice", "alice", None, None)


async def test_the_role_is_read(clock: FakeClock) -> None:
    identity = await authenticator(clock).authenticate(signed(claims(clock, role="moderator")))
    assert identity.role == "moderator"


async def test_a_token_is_good_until_it_expires_give_or_take_the_leeway(clock: FakeClock) -> None:
    token = signed(claims(clock))
    checks = authenticator(clock)
    await clock.advance(69)
    await checks.authenticate(token)
    await clock.advance(1)
    with pytest.raises(TokenExpired):
        await checks.authenticate(token)


async def test_a_token_is_refused_before_its_time(clock: FakeClock) -> None:
    starts = int(clock.now().timestamp()) + 30
    token = signed(claims(clock, nbf=starts))
    checks = authenticator(clock)
    with pytest.raises(Unauthenticated, match="not valid yet"):
        await checks.authenticate(token)
    await clock.advance(20)
    assert await checks.authenticate(token)


@pytest.mark.parametrize(
    "changed",
    [
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "with space"},
        {"sub": "line\n"},
        {"sub": "x" * 129},
        {"sub": ["alice"]},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 1e300},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"nbf": "now"},
        {"name": 7},
        {"name": "x" * 129},
        {"name": "\ud800"},
        {"device": {}},
        {"device": "no/such"},
        {"role": ["admin"]},
        {"aud": "another service"},
    ],
    ids=str,
)
async def test_claims_that_say_nothing_sound_are_refused(clock: FakeClock, changed: dict[str, Any]) -> None:
    token = jwt.api_jws.encode(json.dumps(claims(clock, **changed)).encode(), SECRET, "HS256")
    with pytest.raises(Unauthenticated) as refused:
        await authenticator(clock).authenticate(token)
    assert not isinstance(refused.value, TokenExpired)


async def test_tokens_that_prove_nothing_are_refused_and_never_repeated(clock: FakeClock) -> None:
    good = signed(claims(clock))
    header, payload, signature = good.split(".")
    other = "another secret, also long enough for HS256"
    forged = [
        "",
        "nonsense",
        "a.b.c",
        "\ud800",
        signed(claims(clock, padding="x" * 10_000)),
        f"{header}.{payload}",
        f"{header}.{payload}.",
        f"{header}.{part(claims(clock, sub='mallory'))}.{signature}",
        f"{header}.{payload}.{signature[::-1]}",
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{payload}.{signature}",
        f"{part([])}.{payload}.{signature}",
        signed(claims(clock), key=other),
        signed(claims(clock), key=SECRET * 2, algorithm="HS512"),
        signed(claims(clock, exp=1), key=other),
    ]
    checks = authenticator(clock)
    for token in forged:
        with pytest.raises(Unauthenticated) as refused:
            await checks.authenticate(token)
        assert not isinstance(refused.value, TokenExpired), token
        said = str(refused.value)
        assert not any(piece in said for piece in token.split(".") if len(piece) > 1), said
    assert await checks.authenticate(good)


async def test_audience_and_issuer_are_held_to_the_settings(clock: FakeClock) -> None:
    checks = authenticator(clock, jwt_audience="warren", jwt_issuer="https://id.example")
    good = claims(clock, aud=["other", "warren"], iss="https://id.example")
    assert await checks.authenticate(signed(good))
    for wrong in ({"aud": "other"}, {"aud": None}, {"iss": "https://evil.example"}, {"iss": None}):
        with pytest.raises(Unauthenticated):
            await checks.authenticate(signed({name: value for name, value in {**good, **wrong}.items() if value}))


class KeyServer:
    """An issuer's keys over HTTP; counts how often they are fetched, and can hold or spoil its answers."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.fetches = 0
        self.body: bytes | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.fetches += 1
                body = server.body if server.body is not None else server.keys()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def keys(self) -> bytes:
        rsa_key = jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True)
        ec_key = jwt.algorithms.ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True)
        named = [{**rsa_key, "kid": "r", "alg": "RS256"}, {**ec_key, "kid": "e", "alg": "ES256"}]
        return json.dumps({"keys": named}).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def issuer() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


async def test_tokens_of_an_issuer_are_checked_with_its_keys_which_are_fetched_once(
    clock: FakeClock, issuer: KeyServer
) -> None:
    checks = authenticator(clock, jwt_secret=None, jwks_url=issuer.url)
    async with asyncio.TaskGroup() as group:
        for key, algorithm, kid in ((issuer.rsa, "RS256", "r"), (issuer.ec, "ES256", "e")) * 3:
            token = signed(claims(clock), key, algorithm, kid=kid)
            group.create_task(checks.authenticate(token))
    assert issuer.fetches == 1


async def test_an_issuers_public_key_is_no_secret_and_its_keys_do_not_mix(clock: FakeClock, issuer: KeyServer) -> None:
    checks = authenticator(clock, jwks_url=issuer.url)  # with a secret set besides: the issuer's keys alone count
    public = issuer.rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # PyJWT will not sign with a public key, so the forger does without it.
    body = f"{part({'alg': 'HS256', 'kid': 'r'})}.{part(claims(clock))}"
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    seal = urlsafe_b64encode(algorithm.sign(body.encode(), public)).decode().rstrip("=")
    for forged in (
        f"{body}.{seal}",
        signed(claims(clock), kid="r"),
        signed(claims(clock), rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256", kid="r"),
        signed(claims(clock), issuer.ec, "ES256", kid="r"),
        signed(claims(clock), issuer.rsa, "RS256", kid="unknown"),
        signed(claims(clock), issuer.rsa, "RS256", kid="\ud800"),
        signed(claims(clock), issuer.rsa, "RS256"),
        "nonsense",
    ):
        with pytest.raises(Unauthenticated) as refused:
            await checks.authenticate(forged)
        assert refused.value.message.encode()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"keys": []}', b'{"keys": 7}'])
async def test_an_issuer_that_gives_no_keys_is_an_outage(clock: FakeClock, issuer: KeyServer, body: bytes) -> None:
    issuer.body = body
    checks = authenticator(clock, jwt_secret=None, jwks_url=issuer.url)
    token = signed(claims(clock), issuer.rsa, "RS256", kid="r")
    with pytest.raises(Unavailable):
        await checks.authenticate(token)
    issuer.body = None
    assert await checks.authenticate(token)


async def test_an_issuer_that_cannot_be_reached_is_an_outage(clock: FakeClock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        checks = authenticator(clock, jwt_secret=None, jwks_url=f"http://127.0.0.1:{taken.getsockname()[1]}/")
        key = ec.generate_private_key(ec.SECP256R1())
        with pytest.raises(Unavailable):
            await checks.authenticate(signed(claims(clock), key, "ES256", kid="e"))
