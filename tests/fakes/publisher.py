"""A publisher whose confirms a test gives, or withholds."""

import asyncio
from collections.abc import Sequence

from shared.broker.topology import Route
from shared.envelope import Body, Envelope
from shared.errors import QueueFull, WarrenError


class FakePublisher:
    """A `Publisher` that keeps what is posted; each post has a future of its own."""

    def __init__(self) -> None:
        self.posted: list[tuple[Route, Envelope]] = []
        self.confirms = True
        self.full = False
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def bodies(self) -> list[Body]:
        return [envelope.body for _, envelope in self.posted]

    def post(self, route: Route, envelope: Envelope) -> "asyncio.Future[None]":
        if self.full:
            raise QueueFull("The fake publisher was told to be full.")
        self.posted.append((route, envelope))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.confirms:
            future.set_result(None)
        else:
            self._waiting.append(future)
        return future

    async def publish(self, route: Route, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            await self.post(route, envelope)

    def confirm(self) -> None:
        for future in self._waiting:
            future.set_result(None)
        self._waiting.clear()

    def fail(self, error: WarrenError) -> None:
        for future in self._waiting:
            future.set_exception(error)
            future.exception()
        self._waiting.clear()
