"""A whole Warren of its own on free ports: private RabbitMQ and MongoDB, and real service processes."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from deploy.local.mongodb import MongoNode
from deploy.local.processes import free_port
from deploy.local.rabbitmq import RabbitNode
from tests.e2e.stack import running


@contextlib.asynccontextmanager
async def run_stack(gateways: int) -> AsyncIterator[list[str]]:
    """Start everything, give the gateways' addresses (host:port), stop everything; show what was logged.

    Raises: LocalError.
    """
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warren-bench-")))
        rabbit, mongo = RabbitNode(directory / "rabbitmq", free_port()), MongoNode(directory / "mongodb", free_port())
        for node in (rabbit, mongo):
            stack.callback(node.stop)
            node.launch()
        for node in (rabbit, mongo):
            node.wait_ready()
        environ = {"WARREN_AMQP_URL": rabbit.url, "WARREN_MONGO_URL": mongo.url, "WARREN_LOG_LEVEL": "WARNING"}
        warren = await stack.enter_async_context(running(environ, directory, gateways=gateways))
        yield [f"127.0.0.1:{gateway.port}" for gateway in warren.gateways]
        print(warren.tails())
