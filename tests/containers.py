"""RabbitMQ and MongoDB nodes in containers, with what the local nodes offer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from pymongo import MongoClient
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed
from testcontainers.core.container import DockerContainer

from deploy.local.mongodb import SET, made_primary
from deploy.local.processes import LOOK_EVERY_S, START_DEADLINE_S, STOP_DEADLINE_S, LocalError
from deploy.local.rabbitmq import greeting

LOG_LINES = 30
ERL_ARGS = "+sbwt none +sbwtdcpu none +sbwtdio none"  # no busy waiting


class ContainerNode:
    """One container on a fixed port of this machine, which it keeps over stops and starts, with its data."""

    _inner_port = 0  # zero: the same as outside

    def __init__(self, image: str, port: int) -> None:
        self.port = port
        self._container = DockerContainer(image)
        # This machine alone reaches it; the library's own `with_bind_ports` listens on all addresses.
        self._container.ports[f"{self._inner_port or port}/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment]
        self._created = False

    @classmethod
    @contextmanager
    def made(cls, image: str, port: int) -> Iterator[Self]:
        """Give a node, not started yet; removes it with its data."""
        node = cls(image, port)
        try:
            yield node
        finally:
            node._container.stop()

    def start(self) -> None:
        """Start it and wait until it is ready. Raises: LocalError."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it without waiting for it."""
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._created = True

    def wait_ready(self) -> None:
        """Wait until it is ready. Raises: LocalError, with the end of its log."""
        until = Retrying(
            retry=retry_if_result(lambda ready: not ready),
            wait=wait_fixed(LOOK_EVERY_S),
            stop=stop_after_delay(START_DEADLINE_S),
            retry_error_callback=lambda _: False,
        )
        if not until(self._ready_or_ended) or self._ended():
            log = self._container.get_wrapped_container().logs(tail=LOG_LINES).decode(errors="replace")
            raise LocalError(f"{self._container.image} is not ready after {START_DEADLINE_S:.0f} s, or ended:\n{log}")

    def stop(self) -> None:
        """Stop it in order. Stopping it twice is harmless."""
        if self._created:
            self._container.get_wrapped_container().stop(timeout=int(STOP_DEADLINE_S))

    def kill(self) -> None:
        """End it as a crash would."""
        if self._created and not self._ended():
            self._container.get_wrapped_container().kill()

    def _ready_or_ended(self) -> bool:
        return self._ready() or self._ended()

    def _ready(self) -> bool:
        raise NotImplementedError

    def _ended(self) -> bool:
        self._container.reload()
        return self._container.status == "exited"


class ContainerRabbit(ContainerNode):
    """A RabbitMQ in a container."""

    _inner_port = 5672

    def __init__(self, image: str, port: int) -> None:
        super().__init__(image, port)
        self._container.with_env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERL_ARGS)

    @property
    def url(self) -> str:
        """The node's AMQP address, default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def stop(self) -> None:
        """Stop it in order, whether or not the image's first process passes signals on."""
        if self._created and not self._ended():
            self._container.exec(["rabbitmqctl", "shutdown"])
        super().stop()

    def add_vhost(self, name: str) -> str:
        """Make an empty virtual host; gives its AMQP address."""
        self._ctl("add_vhost", name)
        self._ctl("set_permissions", "--vhost", name, "guest", ".*", ".*", ".*")
        return self.url + name

    def _ctl(self, *arguments: str) -> None:
        done = self._container.exec(["rabbitmqctl", "--quiet", *arguments])
        if done.exit_code != 0:
            raise LocalError(f"rabbitmqctl {arguments[0]} failed:\n{done.output.decode(errors='replace')}")

    def _ready(self) -> bool:
        return bool(greeting(self.port))


class ContainerMongo(ContainerNode):
    """A MongoDB in a container. It listens on the same port inside, so that its own address is the one outside."""

    def __init__(self, image: str, port: int) -> None:
        super().__init__(image, port)
        parameters = ["diagnosticDataCollectionEnabled=false", "shutdownTimeoutMillisForSignaledShutdown=100"]
        command = ["mongod", "--quiet", "--replSet", SET, "--port", str(port), "--wiredTigerCacheSizeGB", "0.5"]
        self._container.with_command(command + [f"--setParameter={parameter}" for parameter in parameters])

    @property
    def url(self) -> str:
        """The node's address."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def _ready(self) -> bool:
        client: MongoClient[dict[str, Any]] = MongoClient(self.url, serverSelectionTimeoutMS=500)
        with client:
            return made_primary(client, self.port)
