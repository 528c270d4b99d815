"""Prepare the database and the broker for the services: indexes, exchanges, queues. Idempotent; waits for both."""

import os
from contextlib import AsyncExitStack

import structlog
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from history.mongo.store import MongoMessageStore
from presence.mongo.store import MongoPresenceStore
from shared import process
from shared.broker.rabbit import RabbitBroker
from shared.broker.topology import Topology
from shared.errors import StoreUnavailable
from shared.logging import configure_logging
from shared.settings import InitSettings

log = structlog.get_logger()
until_up = retry(  # a replica set takes some seconds to elect its first primary
    retry=retry_if_exception_type(StoreUnavailable), wait=wait_fixed(1), stop=stop_after_delay(60), reraise=True
)


async def main(settings: InitSettings) -> None:
    """Create what is missing, and say what is there."""
    configure_logging(settings.log, service="init")
    async with AsyncExitStack() as stack:
        messages = await stack.enter_async_context(MongoMessageStore.open(settings.mongo))
        await until_up(messages.create_indexes)()
        presence = await stack.enter_async_context(MongoPresenceStore.open(settings.mongo))
        await until_up(presence.create_indexes)()
        log.info("indexes_created", database=settings.mongo.mongo_database)
        broker = await stack.enter_async_context(RabbitBroker.open(settings.broker))
        topology = Topology(shards=settings.broker.shards)
        await broker.declare(topology)
        log.info("topology_declared", exchanges=len(topology.exchanges), queues=len(topology.queues))


if __name__ == "__main__":
    process.main(main, InitSettings.from_env, os.environ)
