"""Run one history process: store the messages of its shards, publish what was stored, answer queries."""

import os
from contextlib import AsyncExitStack

from history import wiring
from history.mongo.store import MongoMessageStore
from history.settings import HistorySettings
from shared import process
from shared.broker.rabbit import RabbitBroker
from shared.clock import SystemClock
from shared.ids import new_id
from shared.logging import configure_logging


async def main(settings: HistorySettings) -> None:
    """Open what history needs and run it until it has drained."""
    configure_logging(settings.log, service="history")
    clock = SystemClock()
    async with AsyncExitStack() as stack:  # closed in reverse, after everything has drained
        broker = await stack.enter_async_context(RabbitBroker.open(settings.broker))
        store = await stack.enter_async_context(MongoMessageStore.open(settings.mongo))
        service = wiring.build(settings, broker=broker, store=store, clock=clock, new_id=new_id)
        await process.run(service, admin=settings.admin, admin_port=settings.history.admin_port, clock=clock)


if __name__ == "__main__":
    process.main(main, HistorySettings.from_env, os.environ)
