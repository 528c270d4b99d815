"""The chat without a terminal: lines in, lines out, for pipes."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable
from typing import TextIO

from client.conversing import Chat
from client.events import ConnectionChanged
from client.transcript import Line

# What others wrote is text: it neither commands a terminal, nor looks like a line of its own.
_SHOWN = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}") | {ord("\n"): "\n  "}


class Plain:
    """Prints each line when it comes and again when it has come further."""

    def __init__(self, source: TextIO = sys.stdin, target: TextIO = sys.stdout) -> None:
        self._source = source
        self._target = target

    def show(self, what: Line | str | ConnectionChanged | None) -> None:
        """Print what can be printed."""
        match what:
            case Line(sender=""):
                self._print(f"* {what.text}")
            case Line():
                number = f"[{what.seq}] " if what.seq is not None else ""
                tick = f" {what.tick.value}" if what.tick is not None else ""
                self._print(f"{number}{what.sender}: {what.body}{tick}")
            case str():
                self._print(f"* {what}")
            case ConnectionChanged():
                self._print(f"* {what.state.value}")
            case None:
                pass

    async def run(self, chat: Chat, on_line: Callable[[str], bool]) -> None:
        """Read lines until their end, or until `on_line` has had enough."""
        async for line in _lines(self._source):
            if line and not on_line(line):
                return

    def _print(self, text: str) -> None:
        print(text.translate(_SHOWN), file=self._target, flush=True)


async def _lines(source: TextIO) -> AsyncIterator[str]:
    mode = os.fstat(source.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):  # epoll refuses files, and some devices
        while line := await asyncio.to_thread(source.readline):
            yield line.rstrip("\n")
        return
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    try:
        async for raw in reader:
            yield raw.decode(errors="replace").rstrip("\n")
    finally:
        transport.close()
