"""Register and sign in users who have a password here: products that bring their own users have no need of it."""

from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv6Address, ip_address

import structlog

from gateway.limits import RateLimiter
from gateway.passwords import Passwords
from gateway.settings import GatewaySettings
from shared.auth import TokenMint
from shared.clock import Clock
from shared.errors import Unauthenticated, Unavailable
from shared.ids import DeviceId, NewId
from shared.presence_api import Login, PresenceQueries, Registration
from shared.settings import Mode

LIFETIME = timedelta(days=7)  # of a token: clients sign in anew after it, for there is no refreshing
WRONG_PER_S = 0.5  # wrong passwords from one address, in the long run
WRONG_AT_ONCE = 30  # people mistype, and an office may share an address; what is under way counts as well
WRONG_AT_ONCE_IN_DEVELOPMENT = 200
NEW_PER_S = 0.1  # accounts made from one address, outside development
NEW_AT_ONCE = 30

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who wants an account."""

    username: str
    email: str
    full_name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Granted:
    """Somebody is signed in."""

    login: Login
    token: str


class SignIn:
    """Makes accounts, and gives tokens to those who know their password.

    From one address come only so many wrong passwords in a time; whether there is such an account shows neither in the
    answer nor in how long it takes.
    """

    def __init__(
        self,
        presence: PresenceQueries,
        passwords: Passwords,
        mint: TokenMint,
        *,
        development: bool,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._presence = presence
        self._passwords = passwords
        self._mint = mint
        self._new_id = new_id
        at_once = WRONG_AT_ONCE_IN_DEVELOPMENT if development else WRONG_AT_ONCE
        self._wrong = RateLimiter(WRONG_PER_S, at_once, clock=clock)
        self._new = RateLimiter(None if development else NEW_PER_S, NEW_AT_ONCE, clock=clock)

    async def register(self, applicant: Applicant, address: str) -> Granted:
        """Make an account and sign its user in. Raises: Conflict, Invalid, RateLimited, Unavailable."""
        network = _network(address)
        self._new.sweep()
        self._new.spend(network)
        registration = Registration(
            username=applicant.username,
            email=applicant.email,
            full_name=applicant.full_name,
            password_hash=await self._passwords.hash(applicant.password),
        )
        login = await self._presence.register(registration)
        log.info("account_made", user_id=login.user_id)
        return self._granted(login)

    async def sign_in(self, name: str, password: str, address: str) -> Granted:
        """Give a token to the user of an account. Raises: Unauthenticated, RateLimited, Unavailable."""
        network = _network(address)
        self._wrong.sweep()
        self._wrong.spend(network)  # before anything is tried, or many at the same time would all pass
        try:
            login = await self._checked(name, password)
        except Unavailable:
            self._wrong.give_back(network)  # nothing was tried
            raise
        if login is None:
            log.info("sign_in_refused", network=network)
            raise Unauthenticated("Incorrect username or password.")
        self._wrong.give_back(network)
        return self._granted(login)

    async def _checked(self, name: str, password: str) -> Login | None:
        login = await self._presence.login(name)
        right = await self._passwords.is_right(password, None if login is None else login.password_hash)
        return login if right else None

    def _granted(self, login: Login) -> Granted:
        device_id = DeviceId(self._new_id())  # so that this sign-in can end alone
        token, _ = self._mint.mint(login.user_id, login.full_name, device_id, LIFETIME.total_seconds())
        return Granted(login, token)


def build(settings: GatewaySettings, presence: PresenceQueries, *, clock: Clock, new_id: NewId) -> SignIn | None:
    """Make it, where accounts are kept."""
    auth = settings.auth
    if not settings.keeps_accounts() or auth.jwt_secret is None:
        return None
    mint = TokenMint(auth.jwt_secret, clock=clock, audience=auth.jwt_audience, issuer=auth.jwt_issuer)
    development = auth.mode is Mode.DEVELOPMENT
    return SignIn(presence, Passwords(), mint, development=development, clock=clock, new_id=new_id)


def _network(address: str) -> str:
    """Give what one client has of the internet: with IPv6 it is a network of addresses (RFC 6177)."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(found) if not isinstance(found, IPv6Address) else found.exploded[:19]
