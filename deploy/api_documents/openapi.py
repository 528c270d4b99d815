"""The OpenAPI documents of the REST APIs, asked of the apps: built as the services build them, and not run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

from fastapi import FastAPI

import delivery.wiring
import gateway.wiring
import history.wiring
import presence.wiring
from delivery.settings import DeliverySettings
from gateway.settings import GatewaySettings
from history.mongo.store import MongoMessageStore
from history.settings import HistorySettings
from presence.mongo.store import MongoPresenceStore
from presence.settings import PresenceSettings
from shared.admin import build_admin_app
from shared.broker.memory import MemoryBroker
from shared.clock import SystemClock
from shared.history_http import HttpHistory
from shared.ids import new_id
from shared.json_schemas import Schema
from shared.presence_http import HttpPresence
from shared.service import Service
from shared.settings import DEVELOPMENT_SECRET, AdminSettings

_ENVIRON = {
    "WARREN_MODE": "development",
    "WARREN_JWT_SECRET": DEVELOPMENT_SECRET,
    "WARREN_ADMIN_TOKEN": DEVELOPMENT_SECRET,
    "WARREN_INTERNAL_TOKEN": DEVELOPMENT_SECRET,
    "WARREN_GATEWAY_DEV_TOKENS": "true",
}


async def render() -> dict[str, Schema]:
    """Give the documents, by the name of the API."""
    async with _services() as services:
        public = services[0].public
        assert public is not None
        documents = {"gateway": cast("FastAPI", public.app).openapi()}
        admin = AdminSettings.from_env(_ENVIRON)
        for service in services:
            documents[f"{service.name}-admin"] = build_admin_app(service, admin, asyncio.Event()).openapi()
    return documents


@asynccontextmanager
async def _services() -> AsyncIterator[list[Service]]:
    """Build the gateway and the others. Nothing that is opened here connects before it is used, and it is not."""
    clock = SystemClock()
    of_gateway, of_delivery = GatewaySettings.from_env(_ENVIRON), DeliverySettings.from_env(_ENVIRON)
    of_history, of_presence = HistorySettings.from_env(_ENVIRON), PresenceSettings.from_env(_ENVIRON)
    token, asks = of_gateway.admin.internal_token, of_gateway.queries
    server = MemoryBroker(clock)
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(HttpHistory.open(asks.history_url, token, asks.query_timeout_s))
        people = await stack.enter_async_context(HttpPresence.open(asks.presence_url, token, asks.query_timeout_s))
        messages = await stack.enter_async_context(MongoMessageStore.open(of_history.mongo))
        users = await stack.enter_async_context(MongoPresenceStore.open(of_presence.mongo))
        broker = server.connect()
        yield [
            gateway.wiring.build(of_gateway, broker=broker, history=log, presence=people, clock=clock, new_id=new_id),
            history.wiring.build(of_history, broker=broker, store=messages, clock=clock, new_id=new_id),
            delivery.wiring.build(of_delivery, broker=broker, history=log, clock=clock, new_id=new_id),
            presence.wiring.build(of_presence, broker=broker, store=users, clock=clock, new_id=new_id),
        ]
