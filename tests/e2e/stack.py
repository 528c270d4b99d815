"""The four services as real processes, kept running as `make run` keeps them; tests kill what they like."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from client.rest import WarrenRest
from deploy.local.keeper import Program, keep_all
from deploy.local.processes import free_port
from deploy.local.readiness import until_ready
from shared.settings import DEVELOPMENT_SECRET

PROJECT = Path(__file__).parents[2]
START_DEADLINE_S = 60.0
TAIL_LINES = 30


@dataclass(frozen=True)
class Gateway:
    """One gateway process as clients see it."""

    name: str
    port: int

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Stack:
    """A running Warren. Programs are named history, presence, delivery, gateway-1, gateway-2 …"""

    environ: dict[str, str]
    log_dir: Path
    gateways: Sequence[Gateway]
    programs: dict[str, Program] = field(default_factory=dict)
    admin_ports: dict[str, int] = field(default_factory=dict)

    async def kill(self, name: str) -> None:
        """End a process as a crash would, and wait until its successor is ready."""
        pid = self.programs[name].pid
        assert pid is not None, f"{name} does not run"
        os.kill(pid, signal.SIGKILL)
        await self.ready(name)  # a dead process does not answer, so it is the successor that says so

    @asynccontextmanager
    async def replica(self, service: str) -> AsyncIterator[str]:
        """Run a further process of a service, and give its name; it crashes at the end, and has no successor."""
        name = f"{service}-2"
        _add_program(self, name, service, {f"WARREN_{service.upper()}_ADMIN_PORT": str(free_port())})
        program = self.programs.pop(name)  # the others are started again
        async with asyncio.TaskGroup() as group:
            group.create_task(program.keep(), name=name)
            try:
                await self.ready(name)
                yield name
            finally:
                program.stop()
                if program.pid is not None:
                    os.kill(program.pid, signal.SIGKILL)

    async def shards_open(self, name: str) -> int:
        """Ask a process how many shards it consumes."""
        async with self.admin(name) as admin:
            return int((await admin.get("/admin/stats")).raise_for_status().json()["shards_open"])

    async def ready(self, *names: str) -> None:
        """Wait until these services say that they are ready; all of them where none is named."""
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                for name in names or self.programs:
                    await until_ready(self.admin_ports[name])
        except TimeoutError:
            raise AssertionError(f"not ready within {START_DEADLINE_S:.0f} s\n{self.tails()}") from None

    async def token(self, user_id: str) -> str:
        """Get a token for a user."""
        async with WarrenRest.open(self.gateways[0].rest_url) as rest:
            return (await rest.mint_token(user_id)).token

    @asynccontextmanager
    async def admin(self, name: str) -> AsyncIterator[httpx.AsyncClient]:
        """Speak to the admin API of a service."""
        headers = {"Authorization": f"Bearer {self.environ['WARREN_ADMIN_TOKEN']}"}
        url = f"http://127.0.0.1:{self.admin_ports[name]}"
        async with httpx.AsyncClient(base_url=url, headers=headers) as http:
            yield http

    def tails(self) -> str:
        """Give the ends of all logs."""
        parts = []
        for log in sorted(self.log_dir.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            parts.append("\n".join([f"--- {log}", *lines[-TAIL_LINES:]]))
        return "\n".join(parts)


@asynccontextmanager
async def running(environ: dict[str, str], log_dir: Path, *, gateways: int) -> AsyncIterator[Stack]:
    """Prepare broker and database, start everything, give it when it is ready; stop it in order at the end."""
    environ = {**os.environ, **_development(environ)}
    await _init(environ)
    stack = Stack(environ, log_dir, [Gateway(f"gateway-{n + 1}", free_port()) for n in range(gateways)])
    _add_programs(stack)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_all(list(stack.programs.values()), until=stop), name="stack")
        try:
            await stack.ready()
            yield stack
        finally:
            stop.set()


def _development(environ: dict[str, str]) -> dict[str, str]:
    secrets = dict.fromkeys(("WARREN_JWT_SECRET", "WARREN_ADMIN_TOKEN", "WARREN_INTERNAL_TOKEN"), DEVELOPMENT_SECRET)
    return {
        "WARREN_MODE": "development",
        "WARREN_GATEWAY_DEV_TOKENS": "true",
        "WARREN_GATEWAY_DRAIN_S": "1",
        "WARREN_HISTORY_ADMIN_PORT": str(history := free_port()),
        "WARREN_PRESENCE_ADMIN_PORT": str(presence := free_port()),
        "WARREN_DELIVERY_ADMIN_PORT": str(free_port()),
        "WARREN_HISTORY_URL": f"http://127.0.0.1:{history}",
        "WARREN_PRESENCE_URL": f"http://127.0.0.1:{presence}",
        "PYTHONUNBUFFERED": "1",
        **secrets,
        **environ,
    }


def _add_programs(stack: Stack) -> None:
    for name in ("history", "presence", "delivery"):
        _add_program(stack, name, name, {})
    for gateway in stack.gateways:
        own = {
            "WARREN_GATEWAY_ID": gateway.name,
            "WARREN_GATEWAY_PORT": str(gateway.port),
            "WARREN_GATEWAY_ADMIN_PORT": str(free_port()),
        }
        _add_program(stack, gateway.name, "gateway", own)


def _add_program(stack: Stack, name: str, service: str, own: dict[str, str]) -> None:
    env = {**stack.environ, **own}
    log = stack.log_dir / f"{name}.log"

    def say(line: str) -> None:
        with log.open("a") as file:
            file.write(line + "\n")

    stack.programs[name] = Program(name, [sys.executable, "-m", f"services.{service}"], env, say)
    stack.admin_ports[name] = int(env[f"WARREN_{service.upper()}_ADMIN_PORT"])


async def _init(environ: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.init"),
        env=environ,
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")
