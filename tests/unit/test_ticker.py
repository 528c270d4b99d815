import asyncio

import pytest
from structlog.testing import capture_logs

from shared.errors import StoreUnavailable
from shared.ticker import Ticker
from tests.fakes.clock import FakeClock, settle


class Action:
    """Counts its calls; `error` is raised by each, `gate` holds each until it is set."""

    def __init__(self) -> None:
        self.calls = 0
        self.ended = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> None:
        self.calls += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.ended += 1


async def test_the_action_runs_each_period_and_first_after_one() -> None:
    clock, action = FakeClock(), Action()
    ticker = Ticker("beat", 5, action, clock=clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(ticker.run())
        await clock.advance(4.9)
        assert action.calls == 0
        await clock.advance(0.1)
        assert action.calls == 1
        await clock.advance(10)
        assert action.calls == 3
        await ticker.stop()


async def test_an_outage_is_logged_once_and_survived() -> None:
    clock, action = FakeClock(), Action()
    ticker = Ticker("beat", 1, action, clock=clock)
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            group.create_task(ticker.run())
            action.error = StoreUnavailable("down")
            await clock.advance(3)
            action.error = None
            await clock.advance(2)
            action.error = StoreUnavailable("down again")
            await clock.advance(1)
            await ticker.stop()
    assert action.calls == 6
    assert [entry["event"] for entry in logs] == ["tick_skipped", "tick_resumed", "tick_skipped"]


async def test_any_other_error_ends_the_run() -> None:
    clock, action = FakeClock(), Action()
    action.error = KeyError("bug")
    ticker = Ticker("beat", 1, action, clock=clock)

    async def driven() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ticker.run())
            await clock.advance(1)

    with pytest.raises(ExceptionGroup) as raised:
        await driven()
    assert raised.group_contains(KeyError)
    await ticker.stop()  # does not hang


async def test_stop_interrupts_the_wait() -> None:
    clock, action = FakeClock(), Action()
    ticker = Ticker("beat", 3600, action, clock=clock)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        running = group.create_task(ticker.run())
        await settle()
        await ticker.stop()
        await settle()
        assert running.done()
    assert action.calls == 0
    assert clock.sleepers == 0


async def test_stop_waits_for_the_running_action() -> None:
    clock, action = FakeClock(), Action()
    action.gate.clear()
    ticker = Ticker("beat", 1, action, clock=clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(ticker.run())
        await clock.advance(1)
        stopping = group.create_task(ticker.stop())
        await settle()
        assert not stopping.done()
        action.gate.set()
        await stopping
        assert action.ended == 1
        await clock.advance(5)
    assert action.calls == 1
