"""Run one delivery process: hand the events of its shards to the gateways that hold their recipients."""

import os
from contextlib import AsyncExitStack

from delivery import wiring
from delivery.settings import DeliverySettings
from shared import process
from shared.broker.rabbit import RabbitBroker
from shared.clock import SystemClock
from shared.history_http import HttpHistory
from shared.ids import new_id
from shared.logging import configure_logging


async def main(settings: DeliverySettings) -> None:
    """Open what delivery needs and run it until it has drained."""
    configure_logging(settings.log, service="delivery")
    clock, token, asks = SystemClock(), settings.admin.internal_token, settings.history
    async with AsyncExitStack() as stack:  # closed in reverse, after everything has drained
        broker = await stack.enter_async_context(RabbitBroker.open(settings.broker))
        history = await stack.enter_async_context(HttpHistory.open(asks.history_url, token, asks.history_timeout_s))
        service = wiring.build(settings, broker=broker, history=history, clock=clock, new_id=new_id)
        await process.run(service, admin=settings.admin, admin_port=settings.delivery.admin_port, clock=clock)


if __name__ == "__main__":
    process.main(main, DeliverySettings.from_env, os.environ)
