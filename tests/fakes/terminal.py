"""A terminal made of two pipes, and the answers that a chat expects without a test's doing."""

import asyncio
import os
from typing import Any

from tests.fakes.native_server import FakeConnection


class Pipe:
    """What one end writes, the other reads as it comes."""

    def __init__(self) -> None:
        read_end, write_end = os.pipe()
        self.source = os.fdopen(read_end)
        self.target = os.fdopen(write_end, "w")
        self._reader = asyncio.StreamReader()

    async def open(self) -> None:
        """Make it ready for `read`."""
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), self.source)

    def write(self, line: str) -> None:
        print(line, file=self.target, flush=True)

    async def read(self) -> str:
        return (await self._reader.readline()).decode().rstrip("\n")


async def heard(connection: FakeConnection, *kinds: str) -> dict[str, Any]:
    """Take the next frame of these kinds; subscriptions before it are answered, acknowledgements come when they may."""
    while True:
        frame = await connection.receive("subscribe", "ack", *kinds)
        if frame["type"] in kinds:
            return frame
        if frame["type"] == "subscribe":
            await connection.reply(frame, presence=[])
