"""The Compose stack as its users see it: ports of this machine, and containers that a test may kill."""

import asyncio
import json
import os
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from deploy.local.processes import free_port
from deploy.local.readiness import until_ready
from tests.e2e.stack import PROJECT, TAIL_LINES, Gateway, Stack

COMMAND_DEADLINE_S = 300.0  # the longest builds the image
READY_DEADLINE_S = 120.0  # containers start more slowly than processes
PORTS = {
    "proxy": "WARREN_GATEWAY_PORT",
    "gateway-1": "WARREN_GATEWAY_ADMIN_PORT",
    "gateway-2": "WARREN_COMPOSE_GATEWAY_2_ADMIN_PORT",
    "delivery": "WARREN_DELIVERY_ADMIN_PORT",
    "presence": "WARREN_PRESENCE_ADMIN_PORT",
    "history": "WARREN_HISTORY_ADMIN_PORT",
    "mongo": "WARREN_COMPOSE_MONGO_PORT",
    "rabbitmq": "WARREN_COMPOSE_RABBITMQ_UI_PORT",
}
SERVICES = ("history", "presence", "delivery", "gateway-1", "gateway-2")
JOBS = ("mongo-init", "init")
MAX_ADDRESS_SESSIONS = 30  # all clients of a test are on one address; the ledger has 10, some of them twice for a while


@dataclass
class ComposeStack(Stack):
    """A running Compose project of its own. All clients go through its proxy."""

    shell: dict[str, str] = field(default_factory=dict)  # the environment of docker's commands

    async def compose(self, *arguments: str) -> str:
        """Run a command of `docker compose` on this project; gives what it prints."""
        return await run("docker", "compose", *arguments, environ=self.shell)

    async def inspect(self, name: str) -> dict[str, Any]:
        """Give all that Docker knows of a container."""
        container = (await self.compose("ps", "--all", "--quiet", name)).strip()
        found: dict[str, Any] = json.loads(await run("docker", "inspect", container, environ=self.shell))[0]
        return found

    async def kill(self, name: str) -> None:
        """End a container as a crash would, start it, and wait until everything is ready.

        Docker lets those lie that it was told to kill; it starts by itself only what ends otherwise.
        """
        container = (await self.inspect(name))["Id"]
        await run("docker", "kill", container, environ=self.shell)
        await run("docker", "start", container, environ=self.shell)
        await self.ready()

    async def ready(self, *names: str) -> None:
        """Wait until the proxy lets clients in, and these services, else all of them, are ready."""
        try:
            async with asyncio.timeout(READY_DEADLINE_S):
                for name in names or SERVICES:
                    await until_ready(self.admin_ports[name])
                await until_ready(self.gateways[0].port, "/openapi.json")
        except TimeoutError:
            raise AssertionError(f"not ready within {READY_DEADLINE_S:.0f} s\n{self.tails()}") from None

    def tails(self) -> str:
        """Give the ends of all logs."""
        command = ["docker", "compose", "logs", "--no-color", "--timestamps", "--tail", str(TAIL_LINES)]
        return subprocess.run(command, cwd=PROJECT, env=self.shell, capture_output=True, text=True, check=False).stdout


async def run(*command: str, environ: dict[str, str]) -> str:
    """Run a command to its end; gives its standard output. Raises: AssertionError, with all that it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=PROJECT, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(COMMAND_DEADLINE_S):
            output, errors = await process.communicate()
    except TimeoutError:
        process.terminate()
        await process.wait()
        raise AssertionError(f"{' '.join(command)} takes longer than {COMMAND_DEADLINE_S:.0f} s") from None
    assert process.returncode == 0, f"{' '.join(command)}\n{output.decode()}{errors.decode()}"
    return output.decode()


@asynccontextmanager
async def composed(directory: Path) -> AsyncIterator[ComposeStack]:
    """Build the image, bring everything up with secrets and ports of its own; at the end remove it with its data."""
    env_file = directory / ".env"
    ports = {name: free_port() for name in PORTS}
    lines = [f"{variable}={ports[name]}\n" for name, variable in PORTS.items()]
    env_file.write_text("".join([*lines, f"WARREN_GATEWAY_MAX_ADDRESS_SESSIONS={MAX_ADDRESS_SESSIONS}\n"]))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("WARREN_")}
    shell = ours | {
        "COMPOSE_PROJECT_NAME": f"warren-test-{uuid.uuid4().hex[:8]}",
        "COMPOSE_ENV_FILES": str(env_file),
        "WARREN_ENV_FILE": str(env_file),
        "WARREN_IMAGE": "warren:test",
        "WARREN_PROXY_IMAGE": "warren-proxy:test",
    }
    await run("sh", "deploy/compose/secrets.sh", str(env_file), environ=shell)
    secrets = {name: value or "" for name, value in dotenv_values(env_file).items()}
    password = secrets["WARREN_COMPOSE_MONGO_PASSWORD"]
    environ = secrets | {
        "WARREN_MONGO_URL": f"mongodb://warren:{password}@127.0.0.1:{ports['mongo']}/warren?directConnection=true",
        "WARREN_MONGO_DATABASE": "warren",
    }
    stack = ComposeStack(environ, directory, [Gateway("proxy", ports["proxy"])], admin_ports=ports, shell=shell)
    try:
        await _bring_up(stack)
        yield stack
    finally:
        await stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


async def _bring_up(stack: ComposeStack) -> None:
    try:
        await stack.compose("up", "--detach", "--build", "--wait")
    except AssertionError as failure:
        failure.add_note(stack.tails())
        raise
