"""What every test may use: a real RabbitMQ and MongoDB, private to this test session, on free ports."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pymongo import MongoClient

from tests.nodes import Mongo, Rabbit, chosen, mongos, rabbits

# The same examples each time: a run says something of the change that it tests, and of nothing else.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

REAL_FIXTURES = frozenset(
    {"rabbit_node", "amqp_url", "mongo_node", "mongo_url", "mongo_database", "amqp_vhost", "new_rabbit", "new_mongo"}
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a real broker or database."""
    for item in items:
        if REAL_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)


def pytest_report_collectionfinish(items: list[pytest.Item]) -> str | None:
    """Say which RabbitMQ and MongoDB the tests are about to run on, where they need any."""
    return f"nodes: {chosen().why}" if any(item.get_closest_marker("real") for item in items) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it at the end, too: sessions with workers collect out of sight."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    if any("real" in getattr(report, "keywords", ()) for report in reports):
        terminalreporter.write_line(f"nodes: {chosen().why}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what is skipped in continuous integration: there, everything that a test needs is there."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, with CI set: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def node_dir() -> Iterator[Path]:
    """Give the directory of this session's nodes, removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="warren-test-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def rabbit_node(node_dir: Path) -> Iterator[Rabbit]:
    """Give the session's own RabbitMQ. A test that stops it starts it again."""
    with rabbits(node_dir) as make:
        node = make()
        node.start()
        yield node


@pytest.fixture(scope="session")
def mongo_node(node_dir: Path) -> Iterator[Mongo]:
    """Give the session's own MongoDB. A test that stops it starts it again."""
    with mongos(node_dir) as make:
        node = make()
        node.start()
        yield node


@pytest.fixture(scope="session")
def amqp_url(request: pytest.FixtureRequest) -> str:
    """Give the address of a RabbitMQ: WARREN_TEST_AMQP_URL's, else the session's own."""
    given = os.environ.get("WARREN_TEST_AMQP_URL")
    if given:
        return given
    node: Rabbit = request.getfixturevalue("rabbit_node")
    return node.url


@pytest.fixture
def amqp_vhost(rabbit_node: Rabbit) -> str:
    """Give the address of a new, empty virtual host of the session's own RabbitMQ."""
    return rabbit_node.add_vhost(f"test-{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def mongo_url(request: pytest.FixtureRequest) -> str:
    """Give the address of a MongoDB replica set: WARREN_TEST_MONGO_URL's, else the session's own."""
    given = os.environ.get("WARREN_TEST_MONGO_URL")
    if given:
        return given
    node: Mongo = request.getfixturevalue("mongo_node")
    return node.url


@pytest.fixture
def mongo_database(mongo_url: str) -> Iterator[str]:
    """Give the name of a database that is this test's alone, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    with client:
        client.drop_database(name)


@pytest.fixture
def new_rabbit(node_dir: Path) -> Iterator[Callable[[], Rabbit]]:
    """Give a factory of RabbitMQ nodes, not started yet, for tests that do to them what others must not feel."""
    with rabbits(node_dir) as make:
        yield make


@pytest.fixture
def new_mongo(node_dir: Path) -> Iterator[Callable[[], Mongo]]:
    """Give a factory of MongoDB nodes, not started yet."""
    with mongos(node_dir) as make:
        yield make
