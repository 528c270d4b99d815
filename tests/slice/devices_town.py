"""Apps of devices at two gateways, with all four services behind them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
import pytest

from tests.clients.devices import Json, Message, MessageService
from tests.fakes.clock import settle
from tests.slice.sockets import FakeSocket
from tests.slice.warren import Warren, running

T = TypeVar("T")
ACKS_S = 0.3


class Devices:
    """Apps of devices, which name themselves and have no token."""

    def __init__(self, warren: Warren, http: dict[str, httpx.AsyncClient]) -> None:
        self.warren = warren
        self._http = http

    def app(
        self, device_id: str, *, via: str = "gw-1", query: str = "", name: str = "Flutter Device"
    ) -> MessageService:
        def dial(path: str) -> FakeSocket:
            return self.warren.dial(query, via=via, path=path)

        return MessageService(self._http[via], dial, device_id=device_id, device_name=name)

    async def connect(self, device_id: str, *, via: str = "gw-1", query: str = "") -> MessageService:
        app = self.app(device_id, via=via, query=query)
        app.connect()
        await self.rest()
        app.pump()
        return app

    async def call(self, app: MessageService, method: str, path: str, body: Json | None = None) -> httpx.Response:
        return await self._http["gw-1"].request(method, path, json=body, headers={"X-Device-ID": app.device_id})

    async def rest(self, *apps: MessageService) -> None:
        """Let everything happen that is under way, and the apps take it."""
        await settle()
        await self.warren.passes(ACKS_S)
        await settle()
        for app in apps:
            app.pump()

    async def done(self, call: Coroutine[Any, Any, T]) -> T:
        """Make a call that is answered once its acknowledgement counts."""
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(call)
            await self.rest()
        return asked.result()


@asynccontextmanager
async def town(**settings: str) -> AsyncIterator[Devices]:
    async with running(**{"open_devices": "true", "wires": "devices", **settings}) as warren:
        warren.start_gateway("gw-2")
        await settle()
        clients = {
            via: httpx.AsyncClient(transport=httpx.ASGITransport(warren.app(via)), base_url=f"http://{via}")
            for via in ("gw-1", "gw-2")
        }
        yield Devices(warren, clients)
        for client in clients.values():
            await client.aclose()


@pytest.fixture
async def devices() -> AsyncIterator[Devices]:
    async with town() as made:
        yield made


async def made_group(warren: Warren, *members: str) -> str:
    """Have alice make a group."""
    headers = {"Authorization": f"Bearer {warren.token('alice')}"}
    wish = {"kind": "group", "name": "Team", "member_ids": list(members)}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(warren.app()), base_url="http://gw-1") as http:
        return str((await http.post("/v1/conversations", json=wish, headers=headers)).json()["id"])


def contents(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]
