"""Tokens: who a caller is. Checks JWTs (RFC 7519), and mints them."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
import msgspec
from pydantic import SecretStr

from shared.clock import Clock
from shared.errors import TokenExpired, Unauthenticated, Unavailable
from shared.ids import DeviceId, Id, UserId
from shared.settings import AuthSettings

SECRET_ALGORITHM = "HS256"
JWKS_ALGORITHMS = [
    "RS256",
    "ES256",
    "EdDSA",
]  # never beside HS256: a public key would pass for a secret (RFC 8725 §2.1)
LEEWAY = timedelta(seconds=10)  # between the issuer's clock and ours
JWKS_TIMEOUT_S = 5.0
MAX_TOKEN_CHARS = 8192  # what proxies commonly let pass as one header


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for. `name` is the user id where the token has none."""

    user_id: UserId
    name: str
    device_id: DeviceId | None
    role: str | None
    expires_at: datetime
    issued_at: datetime | None = None  # a device's sign-out ends what was issued before


class _Claims(msgspec.Struct, frozen=True):
    sub: Id
    exp: float
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    device: Id | None = None
    role: Id | None = None
    nbf: float | None = None
    iat: float | None = None


class Authenticator:
    """Checks tokens against the HS256 secret, or against the keys at the JWKS address where there is one."""

    def __init__(self, settings: AuthSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._jwks = jwt.PyJWKClient(settings.jwks_url, timeout=JWKS_TIMEOUT_S) if settings.jwks_url else None
        self._asking_jwks = asyncio.Lock()  # one thread at a time, however many callers wait

    async def authenticate(self, token: str) -> Identity:
        """Tell whom a token speaks for. Cancelling loses nothing.

        Raises: Unauthenticated, TokenExpired, Unavailable (the JWKS address gives no keys).
        """
        if not token:
            raise Unauthenticated("A token is needed.")
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise Unauthenticated("The token is not valid: it is too long, or has characters that tokens have not.")
        try:
            key, algorithms = await self._key(token)
            payload = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                # The claims are checked below, their times by the injected clock.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            return self._identity(msgspec.convert(payload, _Claims))
        except (jwt.PyJWTError, msgspec.ValidationError, UnicodeError) as error:
            raise Unauthenticated(f"The token is not valid: {error}.") from error

    def _identity(self, claims: _Claims) -> Identity:
        now = self._clock.now()
        if _moment(claims.exp) + LEEWAY <= now:
            raise TokenExpired("The token has expired; sign in again.")
        if claims.nbf is not None and _moment(claims.nbf) - LEEWAY > now:
            raise Unauthenticated("The token is not valid yet.")
        name = claims.name or claims.sub
        name.encode()  # JSON may say half a surrogate pair, which no message to others could
        return Identity(
            user_id=UserId(claims.sub),
            name=name,
            device_id=DeviceId(claims.device) if claims.device else None,
            role=claims.role,
            expires_at=_moment(claims.exp),
            issued_at=None if claims.iat is None else _moment(claims.iat),
        )

    async def _key(self, token: str) -> tuple[jwt.PyJWK | str, list[str]]:
        if self._jwks is None:
            secret = self._settings.jwt_secret
            assert secret is not None  # AuthSettings demands one of the two
            return secret.get_secret_value(), [SECRET_ALGORITHM]
        kid: str = jwt.get_unverified_header(token).get("kid", "")
        kid.encode()  # the error for an unknown one names it
        try:
            async with asyncio.timeout(JWKS_TIMEOUT_S), self._asking_jwks:
                return await asyncio.to_thread(_find_key, self._jwks, kid), JWKS_ALGORITHMS
        except (jwt.PyJWKClientConnectionError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable("Tokens cannot be checked now: the JWKS address gives no keys.") from error


class TokenMint:
    """Makes tokens: in development, and for those who sign in with a password; else another system does."""

    def __init__(
        self, secret: SecretStr, *, clock: Clock, audience: str | None = None, issuer: str | None = None
    ) -> None:
        self._secret = secret
        self._clock = clock
        self._audience = audience
        self._issuer = issuer

    def mint(
        self, user_id: UserId, name: str | None, device_id: DeviceId | None, lifetime_s: float
    ) -> tuple[str, datetime]:
        """Make a token and tell when it expires (whole seconds)."""
        now = self._clock.now()
        expires_at = (now + timedelta(seconds=lifetime_s)).replace(microsecond=0)
        claims = {
            "sub": user_id,
            "name": name,
            "device": device_id,
            "iat": now.timestamp(),  # to the millisecond: a sign-out and the next sign-in may share a second
            "exp": int(expires_at.timestamp()),
            "aud": self._audience,
            "iss": self._issuer,
        }
        said = {claim: value for claim, value in claims.items() if value is not None}
        return jwt.encode(said, self._secret.get_secret_value(), SECRET_ALGORITHM), expires_at


def _find_key(jwks: jwt.PyJWKClient, kid: str) -> jwt.PyJWK:
    """Find a key among the cached ones, or the fetched; blocks. That it is unknown is the token's fault alone."""
    try:
        jwks.get_signing_keys()
    except jwt.PyJWTError as error:
        raise jwt.PyJWKClientConnectionError(str(error)) from error
    return jwks.get_signing_key(kid)


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Unauthenticated("The token is not valid: a time in it is out of bounds.") from error
