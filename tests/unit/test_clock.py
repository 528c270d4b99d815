import asyncio
from datetime import UTC

import pytest

from shared.clock import SystemClock, rfc3339
from tests.fakes.clock import FakeClock, settle


async def test_sleepers_wake_in_the_order_of_their_times_each_at_its_own() -> None:
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        started = clock.monotonic()
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic() - started))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 5), ("early", 1), ("as early", 1), ("beyond", 10.5)):
            group.create_task(sleeper(name, seconds))
        await clock.advance(10)
        assert woken == [("early", 1), ("as early", 1), ("late", 5)]
        assert clock.sleepers == 1
        await clock.advance(0.5)
    assert woken[-1] == ("beyond", 10.5)


async def test_what_a_woken_task_starts_comes_to_rest_before_the_next_wakes() -> None:
    clock = FakeClock()
    seen: list[str] = []

    async def chain() -> None:
        await clock.sleep(1)
        for turn in range(5):
            await asyncio.sleep(0)
            seen.append(f"turn {turn}")
        await clock.sleep(1)  # due at 2, before the other's 3, though asked for within the same advance
        seen.append("slept again")

    async def other() -> None:
        await clock.sleep(3)
        seen.append("other")

    async with asyncio.TaskGroup() as group:
        group.create_task(chain())
        group.create_task(other())
        await clock.advance(3)
    assert seen == [*(f"turn {turn}" for turn in range(5)), "slept again", "other"]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(clock.sleep(1))
        await settle()
        assert clock.sleepers == 1
        task.cancel()
        await settle()
        assert clock.sleepers == 0
        await clock.advance(2)


async def test_the_time_of_day_and_the_monotonic_time_go_together() -> None:
    clock = FakeClock()
    day, monotonic = clock.now(), clock.monotonic()
    assert day.tzinfo is UTC
    await clock.advance(1.001)  # × 1000 it is a little less than 1001
    assert (clock.now() - day).total_seconds() == 1.001
    assert clock.monotonic() - monotonic == pytest.approx(1.001)


async def test_a_task_that_never_waits_is_told_apart_from_one_that_comes_to_rest() -> None:
    async def restless() -> None:
        while True:  # noqa: ASYNC110  # never to wait is its point
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(restless())
        with pytest.raises(AssertionError, match="does not come to rest"):
            await settle()
        task.cancel()


async def test_the_machines_clock_gives_aware_whole_milliseconds() -> None:
    clock = SystemClock()
    now = clock.now()
    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0
    before = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() > before


def test_times_are_written_with_three_digits_of_milliseconds_and_z() -> None:
    assert rfc3339(FakeClock().now()) == "2026-01-01T12:00:00.000Z"
