"""Hash passwords with argon2id, and check them: a few at a time, each in a thread of its own."""

import asyncio
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError

from shared.errors import Unavailable

T = TypeVar("T")

AT_ONCE = 2  # each takes 19 MiB and some 30 ms of one thread: OWASP's minimum, for logins come in crowds
PATIENCE_S = 30.0  # until its turn comes
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# of a password that nobody knows: checking against it takes as long as against any other
NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$8AoVvblaEZfwN4AwysBrTQ$f0QeU3cw1DZddYBaTME2CcFe+GfJ6sq8TIxxOZCVHAo"


class Passwords:
    """Makes hashes, and tells whether a password is that of a hash."""

    def __init__(self, hasher: PasswordHasher = HASHER, nobodys: str = NOBODYS) -> None:
        self._hasher = hasher
        self._nobodys = nobodys
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def hash(self, password: str) -> str:
        """Make a hash, another each time. Raises: Unavailable."""
        return await self._in_turn(self._hash, password)

    async def is_right(self, password: str, password_hash: str | None) -> bool:
        """Check a password; where there is no hash it is wrong, and that takes no less time. Raises: Unavailable."""
        right = await self._in_turn(self._verify, password, password_hash or self._nobodys)
        return right and password_hash is not None

    async def _in_turn(self, work: Callable[..., T], *given: str) -> T:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Unavailable("Too many are signing in at the moment.", retry_after_ms=1000) from error
        try:
            return await asyncio.to_thread(work, *given)
        except (HashingError, InvalidHashError, VerificationError) as error:
            raise Unavailable("Passwords cannot be checked now.") from error
        finally:
            self._turns.release()

    def _hash(self, password: str) -> str:
        return self._hasher.hash(_prepared(password))

    def _verify(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _prepared(password))
        except VerifyMismatchError:
            return False


def _prepared(password: str) -> str:
    return unicodedata.normalize("NFC", password)  # keyboards differ in how they compose (RFC 8265 §4.2)
