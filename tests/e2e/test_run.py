"""`make run` starts everything, keeps it running, and leaves only the data behind."""

import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from client.rest import WarrenRest
from client.warren import WarrenClient
from deploy.local.processes import Process, free_port, spawn
from deploy.local.readiness import until_ready
from tests.e2e.stack import PROJECT, START_DEADLINE_S

PORTS = ("GATEWAY_PORT", "GATEWAY_ADMIN_PORT", "DELIVERY_ADMIN_PORT", "PRESENCE_ADMIN_PORT", "HISTORY_ADMIN_PORT")
LOCAL_PORTS = ("LOCAL_AMQP_PORT", "LOCAL_MONGO_PORT")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    ports = {f"WARREN_{name}": str(free_port()) for name in (*PORTS, *LOCAL_PORTS)}
    return {**os.environ, "WARREN_LOCAL_DIR": str(tmp_path / "data"), "PYTHONUNBUFFERED": "1", **ports}


def run(environ: dict[str, str], log: Path) -> Process:
    return spawn([sys.executable, "-m", "deploy.local.run"], log=log, env=environ, cwd=PROJECT)


@asynccontextmanager
async def running(environ: dict[str, str], log: Path) -> AsyncIterator[Process]:
    process = run(environ, log)
    try:
        process.wait_until(lambda: "Warren is up" in log.read_text(), what="make run", deadline_s=START_DEADLINE_S)
        yield process
    finally:
        process.stop(grace_s=40)


async def chat(environ: dict[str, str]) -> int:
    """Send a message from alice to bob; gives its seq."""
    address = f"127.0.0.1:{environ['WARREN_GATEWAY_PORT']}"
    async with WarrenRest.open(f"http://{address}") as rest:
        token = (await rest.mint_token("alice")).token
    async with WarrenClient(f"ws://{address}/v1/ws", token=token) as alice:
        sent = await (await alice.send("hi", to="bob")).stored()
    assert sent.seq is not None
    return sent.seq


def descendants(process: Process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def survivors(family: list[psutil.Process], *, wait_s: float = 1.0) -> list[psutil.Process]:
    """Give those that still live; a zombie does not, though a container's init may not have buried it."""
    _, left = psutil.wait_procs(family, timeout=wait_s)
    return [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


async def test_data_outlive_the_processes_and_nothing_else_does(environ: dict[str, str], tmp_path: Path) -> None:
    for attempt in (1, 2):
        async with running(environ, tmp_path / f"{attempt}.log") as process:
            assert await chat(environ) == attempt
            family = descendants(process)
            os.kill(process.pid, signal.SIGINT)
            assert process.stop(grace_s=40) == 0
        assert survivors(family) == []


@pytest.mark.parametrize("name", ["WARREN_GATEWAY_PORT", "WARREN_LOCAL_AMQP_PORT"])
def test_a_wrong_port_is_named_without_a_traceback(environ: dict[str, str], tmp_path: Path, name: str) -> None:
    process = run({**environ, name: "abc"}, tmp_path / "log")
    assert process.wait() == 1
    assert name in process.tail()
    assert "Traceback" not in process.tail()


async def test_a_second_run_leaves_the_first_alone_and_a_crashed_service_comes_back(
    environ: dict[str, str], tmp_path: Path
) -> None:
    async with running(environ, tmp_path / "first.log") as process:
        second = run(environ, tmp_path / "second.log")
        assert second.wait() == 1
        assert f"running here already (process {process.pid}" in second.tail()
        other = run({**environ, "WARREN_LOCAL_DIR": str(tmp_path / "other")}, tmp_path / "other.log")
        assert other.wait() == 1
        assert re.search(r"Port \d+, which gateway wants, is taken .* WARREN_GATEWAY_PORT", other.tail())
        await chat(environ)
        [history] = [each for each in descendants(process) if "services.history" in each.cmdline()]
        history.kill()
        await until_ready(int(environ["WARREN_HISTORY_ADMIN_PORT"]))
        await chat(environ)
        family = descendants(process)
        process.kill()  # without a chance to stop anything
    assert survivors(family, wait_s=20) == []
