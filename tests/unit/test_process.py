import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs
from structlog.typing import EventDict
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from shared import process
from shared.service import PublicServer, Service
from tests.fakes.clock import FakeClock
from tests.fakes.process import ADMIN, FakeRunner, service

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as entries:
        yield entries


def events(logs: list[EventDict]) -> list[str]:
    return [entry["event"] for entry in logs]


async def run(it: Service) -> None:
    async with asyncio.timeout(5):
        await process.run(it, admin=ADMIN, admin_port=0, clock=FakeClock())


@contextlib.asynccontextmanager
async def running(it: Service, last: FakeRunner) -> AsyncIterator[None]:
    """Run a service while the body runs; the body ends it."""
    async with asyncio.TaskGroup() as group:
        group.create_task(run(it))
        await last.started.wait()
        yield


def port_of(logs: list[EventDict], index: int) -> int:
    port: int = [entry["port"] for entry in logs if entry["event"] == "listening"][index]
    return port


async def test_a_signal_stops_the_runners_in_their_order(logs: list[EventDict]) -> None:
    journal: list[str] = []
    source, sink = FakeRunner("source", journal), FakeRunner("sink", journal)
    before = signal.getsignal(signal.SIGINT)
    async with running(service(source, sink), sink):
        os.kill(os.getpid(), signal.SIGTERM)
    assert journal[:3] == ["source runs", "sink runs", "source stops"]
    assert journal.index("source stops") < journal.index("sink stops")
    assert sorted(journal[3:]) == ["sink ended", "sink stops", "source ended"]
    assert events(logs) == ["listening", "signal", "draining", "drained"]
    assert signal.getsignal(signal.SIGINT) is before


async def test_the_http_servers_leave_signals_alone(logs: list[EventDict]) -> None:
    runner = FakeRunner("consumer")
    async with running(service(runner, public=PublicServer(answer_ok, "127.0.0.1", 0)), runner):
        handler = signal.getsignal(signal.SIGTERM)
        assert not isinstance(getattr(handler, "__self__", None), uvicorn.Server)
        os.kill(os.getpid(), signal.SIGTERM)


async def test_the_admin_api_starts_the_drain_and_answers_probes_to_its_end(logs: list[EventDict]) -> None:
    runner = FakeRunner("consumer", stubborn=True)
    async with running(service(runner), runner):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port_of(logs, 0)}") as client:
            assert (await client.get("/readyz")).status_code == 200
            headers = {"Authorization": "Bearer admin token"}
            assert (await client.post("/admin/drain", headers=headers)).status_code == 202
            await runner.asked_to_stop.wait()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port_of(logs, 0)}") as client:
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200
            assert "warren_process_draining 1.0" in (await client.get("/metrics")).text
        runner.gives_in.set()
    assert events(logs)[-1] == "drained"


async def answer_ok(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_a_draining_public_server_takes_no_new_connections_and_keeps_the_open_ones(logs: list[EventDict]) -> None:
    runner = FakeRunner("sessions", stubborn=True)
    public = PublicServer(answer_ok, "127.0.0.1", 0)
    async with running(service(runner, public=public), runner):
        url = f"http://127.0.0.1:{port_of(logs, 1)}"
        async with httpx.AsyncClient(base_url=url) as old, httpx.AsyncClient(base_url=url) as new:
            assert (await old.get("/")).text == "ok"
            os.kill(os.getpid(), signal.SIGTERM)
            await runner.asked_to_stop.wait()
            assert (await old.get("/")).text == "ok"
            with pytest.raises(httpx.ConnectError):
                await new.get("/")
        runner.gives_in.set()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def test_the_public_server_speaks_websocket_within_its_limits(logs: list[EventDict]) -> None:
    runner = FakeRunner("sessions")
    async with running(service(runner, public=PublicServer(echo, "127.0.0.1", 0, ws_max_size=10)), runner):
        async with connect(f"ws://127.0.0.1:{port_of(logs, 1)}") as client:
            assert client.response is not None
            assert "Sec-WebSocket-Extensions" not in client.response.headers
            await client.send("x" * 10)
            assert await client.recv() == "x" * 10
            await client.send("x" * 11)
            with pytest.raises(ConnectionClosedError) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        os.kill(os.getpid(), signal.SIGTERM)


async def test_what_does_not_end_in_time_is_cut_and_named(logs: list[EventDict]) -> None:
    quick, stubborn = FakeRunner("quick"), FakeRunner("stubborn", stubborn=True)
    async with running(service(quick, stubborn, drain_s=0.01), stubborn):
        os.kill(os.getpid(), signal.SIGINT)
    (cut,) = [entry for entry in logs if entry["event"] == "drain_cut"]
    assert "stubborn" in cut["unfinished"]
    assert "quick" not in cut["unfinished"]


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (FakeRunner("broken", error=KeyError("bug")), KeyError),
        (FakeRunner("broken", ends_early=True), process.EndedEarly),
    ],
    ids=["crashes", "ends early"],
)
async def test_a_part_that_fails_ends_the_process(
    logs: list[EventDict], broken: FakeRunner, error: type[Exception]
) -> None:
    journal: list[str] = []
    with pytest.raises(SystemExit) as ended:
        await run(service(FakeRunner("sound", journal), broken))
    assert ended.value.code == 1
    assert journal == ["sound runs"]  # cancelled, not drained: the state it shares may be wrong
    assert events(logs)[-1] == "crashed"
    assert logs[-1]["exc_info"].subgroup(error) is not None


async def test_a_crash_while_draining_is_still_a_crash(logs: list[EventDict]) -> None:
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)  # called once `run` waits
    with pytest.raises(SystemExit) as ended:
        await run(service(FakeRunner("consumer"), FakeRunner("publisher", stop_error=KeyError("bug"))))
    assert ended.value.code == 1
    assert events(logs) == ["listening", "signal", "draining", "crashed"]


@pytest.mark.parametrize("which", ["admin", "public"])
async def test_a_port_in_use_is_said_with_its_setting(logs: list[EventDict], which: str) -> None:
    journal: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        admin_port, public = (port, None) if which == "admin" else (0, PublicServer(answer_ok, "127.0.0.1", port))
        it = service(FakeRunner("consumer", journal), public=public)
        with pytest.raises(SystemExit) as ended:
            await process.run(it, admin=ADMIN, admin_port=admin_port, clock=FakeClock())
    assert ended.value.code == 1
    assert logs[-1] == {
        "event": "cannot_listen",
        "log_level": "critical",
        "host": "127.0.0.1",
        "port": port,
        "setting": "WARREN_FAKE_ADMIN_PORT" if which == "admin" else "WARREN_FAKE_PORT",
        "error": "Address already in use",
    }
    assert journal == []


@contextlib.contextmanager
def program(**environ: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.process"],
        cwd=PROJECT,
        env={"PATH": "", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        yield child
        child.kill()


def read_until(child: "subprocess.Popen[str]", text: str) -> None:
    assert child.stdout is not None
    assert any(text in line for line in child.stdout), f"the program ended before it said {text!r}"


def test_a_terminated_program_drains_and_ends_with_0() -> None:
    with program() as child:
        read_until(child, "running")
        child.terminate()
        out, err = child.communicate(timeout=5)
    assert child.returncode == 0
    assert out.splitlines()[-4:] == ["consumer runs", "consumer stops", "consumer ended", "closed"]
    assert err == ""


def test_a_second_signal_ends_the_program_at_once() -> None:
    with program(WARREN_FAKE_STUBBORN="true") as child:
        read_until(child, "running")
        child.terminate()
        read_until(child, "draining")
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=5) == -signal.SIGINT


def test_a_program_that_cannot_have_its_port_says_so_in_one_line_and_ends_with_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with program(WARREN_FAKE_ADMIN_PORT=port) as child:
            out, err = child.communicate(timeout=5)
    assert child.returncode == 1
    assert len(out.splitlines()) == 1
    assert port in out
    assert "WARREN_FAKE_ADMIN_PORT" in out
    assert err == ""


def test_a_program_with_wrong_settings_names_the_variable_and_ends_with_2() -> None:
    with program(WARREN_FAKE_ADMIN_PORT="hunter2") as child:
        out, err = child.communicate(timeout=5)
    assert child.returncode == 2
    assert out == ""
    assert err.splitlines()[0] == "The settings are wrong:"
    assert "WARREN_FAKE_ADMIN_PORT: " in err
    assert "hunter2" not in err
    assert "Traceback" not in err
