"""Run one service process: signals, the TaskGroup, the HTTP servers, the ordered drain, the exit code."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError

from shared.admin import build_admin_app
from shared.clock import Clock
from shared.errors import WarrenError
from shared.metrics import DRAINING, LOOP_LAG_SECONDS
from shared.service import PublicServer, Service
from shared.settings import AdminSettings, Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOP_LAG_EVERY_S = 1.0
BACKLOG = 2048

# A crash inside uvicorn's lifespan would go unnoticed, so there is none.
_http_config = partial(
    uvicorn.Config, http="httptools", lifespan="off", log_config=None, access_log=False, server_header=False
)

SettingsT = TypeVar("SettingsT")
log = structlog.get_logger()


class EndedEarly(Exception):
    """A part of the process ended though nothing stopped it."""


def main(
    serve: Callable[[SettingsT], Coroutine[Any, Any, None]],
    read: Callable[[Mapping[str, str]], SettingsT],
    environ: Mapping[str, str],
) -> None:
    """Run a service's main coroutine on uvloop with the settings that `read` finds.

    Exit codes: 0 drained, 1 crashed or could not start, 2 wrong settings.
    """
    try:
        settings = read(environ)
    except ValidationError as error:
        sys.stderr.write(explain(error))
        raise SystemExit(2) from None
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except WarrenError as error:
        log.critical("cannot_start", error=error.message)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None


def explain(error: ValidationError) -> str:
    """Say which environment variables are wrong and why; never shows their values, which may be secret."""
    prefixes = {settings.__name__: settings.model_config["env_prefix"] for settings in _subclasses(Settings)}
    prefix = prefixes.get(error.title, "WARREN_")
    lines = ["The settings are wrong:"]
    for fault in error.errors():
        name = "".join(f"{prefix}{part}: ".upper() for part in fault["loc"][:1])
        lines.append(f"  {name}{fault['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines) + "\n"


async def run(service: Service, *, admin: AdminSettings, admin_port: int, clock: Clock) -> None:
    """Run a service until SIGTERM, SIGINT or `POST /admin/drain`, then drain it as `Service` says and return.

    Raises: SystemExit(1), after logging why, when a port cannot be had, or a part crashes or ends early. A second
    signal ends the process at once.
    """
    drain = asyncio.Event()
    with contextlib.ExitStack() as stack:
        servers = [_admin_server(service, admin, admin_port, drain, stack)]
        if service.public is not None:
            servers.append(_public_server(service.name, service.public, stack))
        stack.enter_context(_drained_by_signals(drain))
        await _Process(service, servers, drain, clock).run()


class _Server(uvicorn.Server):
    """uvicorn's server as one task among others: its socket is given, and signals are not its business."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self.servers = []  # until it has started
        self.listener = listener

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def stop_listening(self) -> None:
        """Take no new connections; those that are open live on."""
        for server in self.servers:
            server.close()


class _Process:
    """The running parts of one service, and their end."""

    def __init__(self, service: Service, servers: list[_Server], drain: asyncio.Event, clock: Clock) -> None:
        self._service = service
        self._servers = servers
        self._drain = drain
        self._clock = clock
        self._parts: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for server in self._servers:
                    self._start(group, f"http:{server.config.port}", server.serve(sockets=[server.listener]))
                for runner in self._service.runners:
                    self._start(group, runner.name, runner.run())
                watch = group.create_task(self._watch_loop(), name="loop lag")
                group.create_task(self._drain_when_asked(watch), name="drain")
        except BaseExceptionGroup as crash:
            log.critical("crashed", exc_info=crash)
            raise SystemExit(1) from None

    def _start(self, group: asyncio.TaskGroup, name: str, part: Coroutine[Any, Any, None]) -> None:
        self._parts.append(group.create_task(self._outlive(name, part), name=name))

    async def _outlive(self, name: str, part: Coroutine[Any, Any, None]) -> None:
        await part
        if not self._drain.is_set():
            raise EndedEarly(f"{name} ended, though nothing stopped it.")

    async def _drain_when_asked(self, watch: asyncio.Task[None]) -> None:
        await self._drain.wait()
        started = self._clock.monotonic()
        DRAINING.set(1)
        log.info("draining", deadline_s=self._service.drain_s)
        try:
            async with asyncio.timeout(self._service.drain_s) as deadline:
                await self._stop_in_order()
        except TimeoutError:
            if not deadline.expired():
                raise
            late = [part.get_name() for part in self._parts if not part.done()]
            log.warning("drain_cut", unfinished=late)
        for task in (*self._parts, watch):
            task.cancel()
        log.info("drained", seconds=round(self._clock.monotonic() - started, 3))

    async def _stop_in_order(self) -> None:
        for server in self._servers[1:]:  # the admin server answers probes to the end
            server.stop_listening()
        for runner in self._service.runners:
            await runner.stop()
        for server in self._servers:
            server.should_exit = True
        await asyncio.wait(self._parts)

    async def _watch_loop(self) -> None:
        while True:
            asked = self._clock.monotonic()
            await self._clock.sleep(LOOP_LAG_EVERY_S)
            LOOP_LAG_SECONDS.observe(max(0.0, self._clock.monotonic() - asked - LOOP_LAG_EVERY_S))


def _admin_server(
    service: Service, admin: AdminSettings, port: int, drain: asyncio.Event, stack: contextlib.ExitStack
) -> _Server:
    setting = f"WARREN_{service.name.upper()}_ADMIN_PORT"
    listener = stack.enter_context(_listen(admin.admin_host, port, setting))
    app = build_admin_app(service, admin, drain)
    return _Server(_http_config(app, admin.admin_host, port, ws="none"), listener)


def _public_server(name: str, public: PublicServer, stack: contextlib.ExitStack) -> _Server:
    listener = stack.enter_context(_listen(public.host, public.port, f"WARREN_{name.upper()}_PORT"))
    config = _http_config(
        public.app,
        public.host,
        public.port,
        ws=public.ws_protocol,
        ws_max_size=public.ws_max_size,
        ws_ping_interval=public.ws_ping_interval_s,
        ws_ping_timeout=public.ws_ping_timeout_s,
        ws_per_message_deflate=False,  # per message and connection it costs more CPU and memory than bytes are worth
    )
    return _Server(config, listener)


def _listen(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        log.critical("cannot_listen", host=host, port=port, setting=setting, error=os.strerror(error.errno or 0))
        raise SystemExit(1) from None
    log.info("listening", host=host, port=listener.getsockname()[1])
    return listener


@contextlib.contextmanager
def _drained_by_signals(drain: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        log.info("signal", signal=number.name)
        drain.set()
        for each in SIGNALS:  # the next one gets the system's default: the process ends at once
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    before = {each: signal.getsignal(each) for each in SIGNALS}
    for each in SIGNALS:
        loop.add_signal_handler(each, on_signal, each)
    try:
        yield
    finally:
        for each in SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, before[each])


def _subclasses(of: type[Settings]) -> Iterator[type[Settings]]:
    for each in of.__subclasses__():
        yield each
        yield from _subclasses(each)
