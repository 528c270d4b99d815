"""Takes the lines that a user types, in their order: messages overlap, a command waits for what was said before it."""

import asyncio
from collections.abc import Awaitable, Callable

from client.conversing import Show

MAX_LINES = 10_000  # typed faster than the server takes them, as from a file
PATIENCE_S = 5.0  # how long a command, and the end, wait for the answers to what was said before


class TypedLines:
    """A bounded queue of lines, and the task that works through it.

    What was typed behind a move that failed, before that could be seen, was meant for elsewhere and is left out.
    """

    def __init__(
        self, *, say: Callable[[str], Awaitable[None]], command: Callable[[str], Awaitable[bool]], show: Show
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
            astray = 0  # lines behind a move that failed
            while (line := await self._lines.get()) is not None:
                if astray:
                    astray -= 1
                    self._show(f"Left out, for you are not where you wanted to go: {line}")
                elif line.startswith("/") and not line.startswith("//"):
                    await _answered(said)
                    astray = 0 if await self._command(line) else self._lines.qsize()
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
