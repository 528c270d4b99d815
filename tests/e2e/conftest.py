"""A running Warren for the tests that need one."""

from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack, running
from tests.nodes import Mongo, chosen


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave the Compose stack out where there is nothing to run it on; what is said of the nodes says so."""
    return True if collection_path.name == "test_compose.py" and not chosen().containers else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the services' logs with a failure."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and stack is not None:
        report.sections.append(("logs of the services", stack.tails()))
    return report


@pytest.fixture
async def stack(amqp_vhost: str, mongo_node: Mongo, mongo_database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """Run Warren with two gateways, on a virtual host and a database of its own."""
    environ = {
        "WARREN_AMQP_URL": amqp_vhost,
        "WARREN_MONGO_URL": mongo_node.url,
        "WARREN_MONGO_DATABASE": mongo_database,
    }
    async with running(environ, tmp_path, gateways=2) as stack:
        yield stack
