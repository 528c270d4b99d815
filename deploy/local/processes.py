"""Child processes that end with us, and ports for them."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOK_EVERY_S = 0.05
START_DEADLINE_S = 60.0  # a cold disk on a loaded machine; the usual start takes 2 to 5 s
STOP_DEADLINE_S = 20.0


class LocalError(Exception):
    """Something on this machine is missing or in the way; the text tells the user what to do."""


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, what: str, *, advice: str = "") -> None:
    """Check that one can listen on a port of 127.0.0.1. Raises: LocalError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port whose last owner has just gone is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LocalError(f"Port {port}, which {what} wants, is taken by another program. {advice}") from error


def tied(command: Sequence[str]) -> list[str]:
    """Give a command that the kernel ends when the thread that starts it is gone, however that ended, where it can."""
    return ["setpriv", "--pdeathsig", "TERM", "--", *command] if shutil.which("setpriv") else [*command]


def spawn(command: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path | None = None) -> "Process":
    """Start a process with its output appended to a file.

    It has a session of its own, so that Ctrl-C reaches us alone and we stop it in order.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            tied(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    return Process(child, log)


class Process:
    """A child process that leads its own process group."""

    def __init__(self, child: "subprocess.Popen[bytes]", log: Path) -> None:
        self._child = child
        self.log = log

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended: None while it runs, negative for a signal."""
        return self._child.poll()

    def wait(self) -> int:
        """Wait for its end; give the exit code."""
        return self._child.wait(START_DEADLINE_S)

    def stop(self, *, grace_s: float = STOP_DEADLINE_S) -> int:
        """Ask it to end, wait, kill it after the grace; give the exit code. Stopping it twice is harmless."""
        if self.running:
            self._child.terminate()
        try:
            return self._child.wait(grace_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it at once, with whatever it has started in its group."""
        if self.running:
            os.killpg(self._child.pid, signal.SIGKILL)
        return self._child.wait()

    def tail(self, lines: int = 30) -> str:
        """Give the end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], bool], *, what: str, deadline_s: float = START_DEADLINE_S) -> None:
        """Wait for a sign of life. Raises: LocalError (it ended, or the deadline passed), with the end of its log."""
        deadline = time.monotonic() + deadline_s
        while not ready():
            if not self.running:
                raise LocalError(f"{what} ended with code {self.exit_code} while starting. {self.log}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise LocalError(f"{what} is not ready after {deadline_s:.0f} s. {self.log}:\n{self.tail()}")
            time.sleep(LOOK_EVERY_S)
