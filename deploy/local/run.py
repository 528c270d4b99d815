"""Run the whole of Warren on this machine: `make run`."""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError

from deploy.local.keeper import Program, keep_all
from deploy.local.mongodb import MongoNode
from deploy.local.processes import LocalError, require_free
from deploy.local.rabbitmq import RabbitNode
from deploy.local.readiness import until_ready
from deploy.local.settings import LocalSettings
from shared.logging import mask_secrets
from shared.process import explain
from shared.settings import DEVELOPMENT_SECRET

SERVICES = ("history", "presence", "delivery", "gateway")  # stopped in the opposite order: sources before sinks
PORTS = {
    "WARREN_GATEWAY_PORT": "8000",
    "WARREN_GATEWAY_ADMIN_PORT": "8100",
    "WARREN_DELIVERY_ADMIN_PORT": "8101",
    "WARREN_PRESENCE_ADMIN_PORT": "8102",
    "WARREN_HISTORY_ADMIN_PORT": "8103",
}
MAX_PORT = 65535
SECRETS = ("WARREN_JWT_SECRET", "WARREN_ADMIN_TOKEN", "WARREN_INTERNAL_TOKEN")
READY_PATIENCE_S = 60.0  # the usual start takes 2 to 5 s
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COLOURS = {"history": 32, "presence": 35, "delivery": 33, "gateway": 36}  # ANSI

BANNER = """
  Warren is up. Ctrl-C stops it; the data stay under {dir}/.

    WebSocket   ws://127.0.0.1:{WARREN_GATEWAY_PORT}/v1/ws
    REST        http://127.0.0.1:{WARREN_GATEWAY_PORT}/docs
    Admin       gateway :{WARREN_GATEWAY_ADMIN_PORT}   delivery :{WARREN_DELIVERY_ADMIN_PORT}   \
presence :{WARREN_PRESENCE_ADMIN_PORT}   history :{WARREN_HISTORY_ADMIN_PORT}
    RabbitMQ    {WARREN_AMQP_URL}
    MongoDB     {WARREN_MONGO_URL}

  A token       curl -s localhost:{WARREN_GATEWAY_PORT}/api/auth/token -d '{{"user_id": "alice"}}' \
-H 'content-type: application/json'
  Chat          make chat USER=alice TO=bob{url}        and in another terminal:  make chat USER=bob TO=alice{url}
"""


def main() -> int:
    """Start everything, wait for a signal, stop everything. Gives the exit code."""
    for number in STOP_SIGNALS:
        signal.signal(number, _leave)
    try:
        environ = environment(dotenv_values(".env"), os.environ)
        settings, ports = LocalSettings.from_env(environ), read_ports(environ)
        with _only_one(settings.dir), _nodes(settings, ports, environ):
            _prepare(environ)
            asyncio.run(_run_services(environ, ports, banner(settings, environ)))
    except LocalError as error:
        print(f"\n{error}\n", file=sys.stderr)
        return 1
    except ValidationError as error:
        print(f"\n{explain(error)}", file=sys.stderr)
        return 1
    print("Warren has stopped.")
    return 0


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _ignore_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def environment(dotenv: Mapping[str, str | None], ours: Mapping[str, str]) -> dict[str, str]:
    """Give the services' environment: ours, then `.env`, then what suits development; an empty value is none."""
    given = {name: value for source in (dotenv, ours) for name, value in source.items() if value}
    defaults = {"WARREN_MODE": "development", "WARREN_GATEWAY_DEV_TOKENS": "true", **PORTS}
    defaults |= dict.fromkeys(SECRETS, DEVELOPMENT_SECRET)
    environ = defaults | given
    if environ["WARREN_MODE"] == "development":
        environ.setdefault("WARREN_GATEWAY_OPEN_DEVICES", "true")
    for service in ("history", "presence"):
        port = environ[f"WARREN_{service.upper()}_ADMIN_PORT"]
        environ.setdefault(f"WARREN_{service.upper()}_URL", f"http://127.0.0.1:{port}")
    return environ | {"PYTHONUNBUFFERED": "1"}


def read_ports(environ: Mapping[str, str]) -> dict[str, int]:
    """Give the services' ports by their variables. Raises: LocalError."""
    for name in PORTS:
        if not (environ[name].isdecimal() and 1 <= int(environ[name]) <= MAX_PORT):
            raise LocalError(f"{name} is to be a port, 1 to {MAX_PORT}.")
    return {name: int(environ[name]) for name in PORTS}


def banner(settings: LocalSettings, environ: Mapping[str, str]) -> str:
    """Say where everything is and what to try."""
    port = environ["WARREN_GATEWAY_PORT"]
    url = "" if port == PORTS["WARREN_GATEWAY_PORT"] else f" URL=ws://127.0.0.1:{port}/v1/ws"
    return mask_secrets(BANNER.format(dir=settings.dir, url=url, **environ))


@contextlib.contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LocalError(
                f"Warren is running here already (process {lock.read().strip()}, data in {directory}/). Stop that one "
                "with Ctrl-C, or set WARREN_LOCAL_DIR and the ports to run another."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def _nodes(settings: LocalSettings, ports: Mapping[str, int], environ: dict[str, str]) -> Iterator[None]:
    """Run a private RabbitMQ and MongoDB where no address is given, and put theirs into the environment."""
    nodes: dict[str, RabbitNode | MongoNode] = {}
    wanted = {name: (port, name.split("_")[1].lower()) for name, port in ports.items()}
    if not environ.get("WARREN_AMQP_URL"):
        nodes["WARREN_AMQP_URL"] = RabbitNode(settings.dir / "rabbitmq", settings.amqp_port)
        wanted["WARREN_LOCAL_AMQP_PORT"] = (settings.amqp_port, "RabbitMQ")
    if not environ.get("WARREN_MONGO_URL"):
        nodes["WARREN_MONGO_URL"] = MongoNode(settings.dir / "mongodb", settings.mongo_port)
        wanted["WARREN_LOCAL_MONGO_PORT"] = (settings.mongo_port, "MongoDB")
    for name, (port, what) in wanted.items():
        require_free(port, what, advice=f"Choose another one with {name}.")
    with contextlib.ExitStack() as stack:
        for name, node in nodes.items():
            stack.callback(node.stop)
            node.launch()
            environ[name] = node.url
        stack.callback(_ignore_signals)  # called first of these: what is left to do then takes a second or two
        if nodes:
            print("Starting RabbitMQ and MongoDB …", flush=True)
        for node in nodes.values():
            node.wait_ready()
        yield
        print("Stopping RabbitMQ and MongoDB …", flush=True)


def _prepare(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.init"], env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LocalError(f"services.init failed with code {done.returncode}:\n{done.stdout}{done.stderr}")


async def _run_services(environ: dict[str, str], ports: Mapping[str, int], text: str) -> None:
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    programs = [Program(name, [sys.executable, "-m", f"services.{name}"], environ, _printer(name)) for name in SERVICES]
    async with asyncio.TaskGroup() as group:
        announcing = group.create_task(announce(ports, text), name="announce")
        await keep_all(programs, until=stop)
        announcing.cancel()


async def announce(ports: Mapping[str, int], text: str, *, patience_s: float = READY_PATIENCE_S) -> None:
    """Print a text once every service says that it is ready; where that takes long, say who is not."""
    async with asyncio.TaskGroup() as group:
        waits = [
            group.create_task(until_ready(ports[f"WARREN_{name.upper()}_ADMIN_PORT"]), name=name) for name in SERVICES
        ]
        await asyncio.wait(waits, timeout=patience_s)
        if late := [wait.get_name() for wait in waits if not wait.done()]:
            print(f"Not ready after {patience_s:g} s: {', '.join(late)}. Still waiting …", flush=True)
    print(text, flush=True)


def _printer(name: str) -> Callable[[str], None]:
    prefix = f"{name:<{max(map(len, SERVICES))}} |"
    if sys.stdout.isatty():
        prefix = f"\x1b[{COLOURS[name]}m{prefix}\x1b[0m"
    return lambda line: print(prefix, line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
