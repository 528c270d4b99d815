"""A session's voice without a session."""

from collections.abc import Coroutine

from gateway.outbox import Outbox
from gateway.voice import Voice
from tests.fakes.clock import FakeClock


def voice_over(outbox: Outbox) -> Voice:
    """Give the voice of a session that never runs: what takes questions is never said."""

    def spawn(work: Coroutine[None, None, None], _: str) -> None:
        work.close()

    return Voice(outbox, max_waiting=100, spawn=spawn, clock=FakeClock())
