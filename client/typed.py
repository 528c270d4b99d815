"""Takes the lines that a user types, in their order: messages overlap, a command waits for what was said before it."""

import asyncio
from collections.abc import Awaitable, Callable

from client.conversing import Show

MAX_LINES = 10_000  # typed faster than the server takes them, as from a file
PATIENCE_S = 5.0  # how long a command, and the end, wait for the answers to what was said before


class TypedLines:
    """A bounded queue of lines, and the task that works through it."""

    def __init__(
        self, *, say: Callable[[str], Awaitable[None]], command: Callable[[str], Awaitable[None]], show: Show
    ) -> None:
        self._say = say
        self._command = command
        self._show = show
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(MAX_LINES)

    def take(self, line: str) -> bool:
        """Take a line; False: it is the last."""
        if line == "/quit":
            return False
        try:
            self._lines.put_nowait(line)
        except asyncio.QueueFull:
            self._show(f"Too many lines wait; this one is left out: {line}")
        return True

    async def finish(self) -> None:
        """Let `run` come to its end after the lines that wait."""
        await self._lines.put(None)

    async def run(self) -> None:
        """Work until `finish`, then see the answers come in."""
        async with asyncio.TaskGroup() as tasks:
            said: set[asyncio.Task[None]] = set()
            while (line := await self._lines.get()) is not None:
                if line.startswith("/") and not line.startswith("//"):
                    await _answered(said)
                    await self._command(line)
                else:
                    task = tasks.create_task(self._one(line.removeprefix("/")), name="chat.send")
                    said.add(task)
                    task.add_done_callback(said.discard)
                    await asyncio.sleep(0)  # so that it goes to where the user is now
            await _answered(said)
            for task in said:
                task.cancel()

    async def _one(self, line: str) -> None:
        await self._say(line)


async def _answered(said: set[asyncio.Task[None]]) -> None:
    if said:
        await asyncio.wait(said, timeout=PATIENCE_S)
