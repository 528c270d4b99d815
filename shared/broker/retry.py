"""What a failed item deserves next, how an outage is waited out, and how retries and dead letters are labelled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from shared.broker.topology import RetryLadder
from shared.errors import FailureKind, WarrenError

FIRST_ERROR_HEADER = "warren-first-error"  # on retried messages as well as on dead letters
LAST_ERROR_HEADER = "warren-last-error"
DEAD_ID_HEADER = "warren-dead-id"
REASON_HEADER = "warren-reason"  # a FailureKind: transient (the ladder is exhausted) or malformed
ATTEMPTS_HEADER = "warren-attempts"
ORIGIN_HEADER = "warren-origin"  # the name of the queue it came from
DIED_AT_HEADER = "warren-died-at"

MAX_ERROR_CHARS = 500  # AMQP headers share one frame


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing can succeed now: wait, and call the handler again."""


@dataclass(frozen=True, slots=True)
class Tell:
    """It can never succeed: tell whoever asked."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Come back after a delay."""

    delay_s: int


@dataclass(frozen=True, slots=True)
class Park:
    """Move it to the dead letters."""

    reason: FailureKind


@dataclass(frozen=True, slots=True)
class Drop:
    """Count it and forget it: its queue has no ladder, because its messages are worth nothing later."""


Plan: TypeAlias = Hold | Tell | Retry | Park | Drop


def plan_retry(attempt: int, error: WarrenError, ladder: RetryLadder | None) -> Plan:
    """Decide what becomes of an item whose `attempt`-th attempt failed."""
    match error.kind:
        case FailureKind.OUTAGE:
            return Hold()
        case FailureKind.PERMANENT:
            return Tell()
        case FailureKind.MALFORMED:
            return Park(FailureKind.MALFORMED) if ladder else Drop()
        case FailureKind.TRANSIENT:
            if ladder is None:
                return Drop()
            if attempt > len(ladder.delays_s):
                return Park(FailureKind.TRANSIENT)
            return Retry(ladder.delays_s[attempt - 1])
        case _:
            assert_never(error.kind)


def describe(error: WarrenError) -> str:
    """Write an error as an envelope and the headers carry it."""
    return f"{type(error).__name__}: {error.message}"[:MAX_ERROR_CHARS]


class Backoff:
    """Growing waits: `first_s`, twice as long each time, at most `last_s`; each one times `spread()`."""

    __slots__ = ("_first_s", "_last_s", "_next_s", "_spread")

    def __init__(self, first_s: float = 0.1, last_s: float = 5.0, *, spread: Callable[[], float] = lambda: 1.0) -> None:
        self._first_s = first_s
        self._last_s = last_s
        self._spread = spread
        self._next_s = first_s

    def next(self) -> float:
        """Give the seconds to wait now."""
        wait_s = self._next_s * self._spread()
        self._next_s = min(self._next_s * 2, self._last_s)
        return wait_s

    def reset(self) -> None:
        """Start again with the first wait."""
        self._next_s = self._first_s
