"""The RabbitMQ and MongoDB of the tests: containers where a Docker engine answers, else this machine's binaries.

WARREN_TEST_NODES=containers or =local has it one way; RABBITMQ_IMAGE and MONGO_IMAGE name other images.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from os import environ
from pathlib import Path
from typing import Protocol

import docker
from docker.errors import DockerException
from testcontainers.core.config import testcontainers_config

from deploy.local.mongodb import MongoNode
from deploy.local.processes import free_port
from deploy.local.rabbitmq import RabbitNode
from tests.containers import ContainerMongo, ContainerRabbit

RABBITMQ_IMAGE = environ.get("RABBITMQ_IMAGE") or "rabbitmq:4.2-management"
MONGO_IMAGE = environ.get("MONGO_IMAGE") or "mongo:8.0"
WANTED = environ.get("WARREN_TEST_NODES", "")
ENGINE_TIMEOUT_S = 120  # of one request; the longest pulls an image


class Node(Protocol):
    """One broker or database on a port of its own. What is durable in it survives its stops and starts."""

    port: int

    @property
    def url(self) -> str: ...

    def start(self) -> None:
        """Launch it, and wait until it is ready."""
        ...

    def launch(self) -> None: ...

    def wait_ready(self) -> None: ...

    def stop(self) -> None:
        """Stop it in order, if it runs."""
        ...

    def kill(self) -> None:
        """End it as a crash would."""
        ...


class Mongo(Node, Protocol):
    """A MongoDB: a replica set of one."""


class Rabbit(Node, Protocol):
    """A RabbitMQ."""

    def add_vhost(self, name: str) -> str:
        """Make an empty virtual host; gives its AMQP address."""
        ...


@dataclass(frozen=True)
class Choice:
    """Where the nodes run, and a sentence about it."""

    containers: bool
    why: str


@cache
def chosen() -> Choice:
    """Choose once for the session; pulls the images that are missing."""
    assert WANTED in ("", "containers", "local"), f"WARREN_TEST_NODES={WANTED} is neither containers nor local"
    if WANTED == "local":
        return Choice(containers=False, why="local binaries, as WARREN_TEST_NODES says; test_compose.py is left out")
    try:
        engine = docker.from_env(timeout=ENGINE_TIMEOUT_S)
        try:
            says = _look(engine)
        finally:
            engine.close()
    except DockerException as error:
        if WANTED == "containers":
            raise
        return Choice(containers=False, why=f"local binaries, and test_compose.py is left out: {error}")
    return Choice(containers=True, why=f"containers of {RABBITMQ_IMAGE} and {MONGO_IMAGE}, {says}")


def _look(engine: docker.DockerClient) -> str:
    version = engine.version()["Version"]
    for image in (RABBITMQ_IMAGE, MONGO_IMAGE):
        _have(engine, image)
    try:
        if not testcontainers_config.ryuk_disabled:
            _have(engine, testcontainers_config.ryuk_image)
    except DockerException:
        testcontainers_config.ryuk_disabled = True  # it tidies up only after sessions that were killed
    return f"Docker {version}, {'without' if testcontainers_config.ryuk_disabled else 'with'} Ryuk"


def _have(engine: docker.DockerClient, image: str) -> None:
    if not engine.images.list(image):
        engine.images.pull(image)


@contextmanager
def rabbits(directory: Path) -> Iterator[Callable[[], Rabbit]]:
    """Give a factory of RabbitMQ nodes, not started yet; ends them all."""
    with ExitStack() as stack:

        def make() -> Rabbit:
            if chosen().containers:
                return stack.enter_context(ContainerRabbit.made(RABBITMQ_IMAGE, free_port()))
            node = RabbitNode(directory / f"rabbitmq-{uuid.uuid4().hex}", free_port())
            stack.callback(node.stop)
            return node

        yield make


@contextmanager
def mongos(directory: Path) -> Iterator[Callable[[], Mongo]]:
    """Give a factory of MongoDB nodes, not started yet; ends them all."""
    with ExitStack() as stack:

        def make() -> Mongo:
            if chosen().containers:
                return stack.enter_context(ContainerMongo.made(MONGO_IMAGE, free_port()))
            node = MongoNode(directory / f"mongodb-{uuid.uuid4().hex}", free_port())
            stack.callback(node.stop)
            return node

        yield make
