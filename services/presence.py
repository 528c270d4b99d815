"""Run one presence process: keep who is online on which devices, and tell who asks."""

import os
from contextlib import AsyncExitStack

from presence import wiring
from presence.mongo.store import MongoPresenceStore
from presence.settings import PresenceSettings
from shared import process
from shared.broker.rabbit import RabbitBroker
from shared.clock import SystemClock
from shared.ids import new_id
from shared.logging import configure_logging


async def main(settings: PresenceSettings) -> None:
    """Open what presence needs and run it until it has drained."""
    configure_logging(settings.log, service="presence")
    clock = SystemClock()
    async with AsyncExitStack() as stack:  # closed in reverse, after everything has drained
        broker = await stack.enter_async_context(RabbitBroker.open(settings.broker))
        store = await stack.enter_async_context(MongoPresenceStore.open(settings.mongo))
        service = wiring.build(settings, broker=broker, store=store, clock=clock, new_id=new_id)
        await process.run(service, admin=settings.admin, admin_port=settings.presence.admin_port, clock=clock)


if __name__ == "__main__":
    process.main(main, PresenceSettings.from_env, os.environ)
