"""Hashes of passwords: made and checked in the same work, a few at a time."""

import asyncio
import threading

import argon2
import pytest
from argon2 import PasswordHasher

from gateway.passwords import AT_ONCE, HASHER, NOBODYS, Passwords
from shared.errors import Unavailable
from tests.fakes.account_desk import NOBODY, QUICK
from tests.fakes.clock import settle


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
