"""Keep programs running: start them again when they crash, relay what they print, stop them in order.

Honcho and its kin stop everything when one process ends; supervisor restarts, but does not say whose line is whose.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from deploy.local.processes import tied

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
STEADY_S = 30.0  # whoever ran this long has not crashed at start
STOP_DEADLINE_S = 20.0  # longer than any service drains
_MAX_LINE_BYTES = 1024 * 1024


@dataclass(eq=False)
class Program:
    """One command that should run until it is stopped; `say` takes the lines that it prints."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    say: Callable[[str], None]
    pid: int | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def keep(self) -> None:
        """Run the command, again and again, until `stop`."""
        wait_s = FIRST_WAIT_S
        while not self._stop.is_set():
            started = time.monotonic()
            code = await self._run_once()
            if self._stop.is_set():
                return
            wait_s = FIRST_WAIT_S if time.monotonic() - started > STEADY_S else wait_s
            self.say(f"ended with code {code}; starts again in {wait_s:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def stop(self) -> None:
        """Ask the command to end, and kill it if it takes too long; `keep` returns then."""
        self._stop.set()

    async def _run_once(self) -> int:
        child = await asyncio.create_subprocess_exec(
            *tied(self.command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(self.env),
            start_new_session=True,  # Ctrl-C is for us
            limit=_MAX_LINE_BYTES,
        )
        self.pid = child.pid
        try:
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(self._end_when_asked(child), name=f"{self.name}.end")
                await self._relay(child)
                code = await child.wait()
                ending.cancel()
        finally:
            self.pid = None
            if child.returncode is None:  # we are cancelled
                child.kill()
        return code

    async def _relay(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None, "it is a pipe"
        async for line in child.stdout:
            self.say(line.decode(errors="replace").rstrip())

    async def _end_when_asked(self, child: asyncio.subprocess.Process) -> None:
        await self._stop.wait()
        child.terminate()
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await child.wait()
        except TimeoutError:
            self.say(f"has not stopped within {STOP_DEADLINE_S:g} s; killed")
            child.kill()


async def keep_all(programs: Sequence[Program], *, until: asyncio.Event) -> None:
    """Keep programs running; then stop them one after another, the last one first."""
    async with asyncio.TaskGroup() as group:
        kept = [(program, group.create_task(program.keep(), name=program.name)) for program in programs]
        await until.wait()
        for program, task in reversed(kept):
            program.stop()
            await task
