"""A real client that is connected to a fake server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from client.events import E, MessageReceived
from client.options import Options
from client.warren import WarrenClient
from tests.fakes.native_server import FakeConnection, FakeServer

DEADLINE_S = 5.0


def client(server: FakeServer) -> WarrenClient:
    """Make a client that is quick to acknowledge."""
    return WarrenClient(server.url, token="t", options=Options(ack_every_s=0.01, connect_timeout_s=5.0))


class Pair:
    """A connected client and the server's end of its connection."""

    def __init__(self, alice: WarrenClient, connection: FakeConnection, server: FakeServer) -> None:
        self.alice = alice
        self.connection = connection
        self.server = server

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        async with FakeServer.open() as server, asyncio.TaskGroup() as tasks:
            welcoming = tasks.create_task(server.welcome())
            async with client(server) as alice:
                connection, _ = await welcoming
                yield cls(alice, connection, server)

    async def reconnect(self) -> None:
        """Drop the connection and welcome the next, whose sync brings nothing."""
        self.connection.drop()
        self.connection, _ = await self.server.welcome()


async def texts(alice: WarrenClient, count: int) -> list[int]:
    """Take the seqs of the next messages."""
    async with asyncio.timeout(DEADLINE_S):
        return [(await alice.next(MessageReceived)).message.seq for _ in range(count)]


async def event(alice: WarrenClient, kind: type[E]) -> E:
    """Take the next event of a kind."""
    async with asyncio.timeout(DEADLINE_S):
        return await alice.next(kind)
