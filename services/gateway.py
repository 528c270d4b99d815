"""Run one gateway process: the sockets and the REST API at the edge."""

import os
from contextlib import AsyncExitStack

from gateway import wiring
from gateway.settings import GatewaySettings
from shared import process
from shared.broker.rabbit import RabbitBroker
from shared.clock import SystemClock
from shared.history_http import HttpHistory
from shared.ids import new_id
from shared.logging import configure_logging
from shared.presence_http import HttpPresence


async def main(settings: GatewaySettings) -> None:
    """Open what the gateway needs and run it until it has drained."""
    configure_logging(settings.log, service="gateway")
    clock, token, asks = SystemClock(), settings.admin.internal_token, settings.queries
    async with AsyncExitStack() as stack:  # closed in reverse, after everything has drained
        broker = await stack.enter_async_context(RabbitBroker.open(settings.broker))
        history = await stack.enter_async_context(HttpHistory.open(asks.history_url, token, asks.query_timeout_s))
        presence = await stack.enter_async_context(HttpPresence.open(asks.presence_url, token, asks.query_timeout_s))
        service = wiring.build(settings, broker=broker, history=history, presence=presence, clock=clock, new_id=new_id)
        await process.run(service, admin=settings.admin, admin_port=settings.sockets.admin_port, clock=clock)


if __name__ == "__main__":
    process.main(main, GatewaySettings.from_env, os.environ)
