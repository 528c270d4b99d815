"""Clients of the service wire at two gateways, with all four services behind them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.fakes.clock import settle
from tests.slice.service_client import Client, token_of
from tests.slice.warren import Warren, running

Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="service,flutter") as warren:
        warren.start_gateway("gw-2")
        await settle()
        yield warren


@pytest.fixture
def connect(warren: Warren) -> Connect:
    async def connect(user: str, *, agent: bool = False, **where: Any) -> Client:
        token = token_of(warren, user, role="agent") if agent else token_of(warren, user)
        client = Client(warren, user, token=token, **where)
        await client.open()
        assert (await client.register())["success"]
        return client

    return connect
