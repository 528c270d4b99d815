"""When to connect again, decided from how the connection ended. Pure."""

from dataclasses import dataclass

FIRST_S = 0.2
LONGEST_S = 10.0
UNAUTHENTICATED = 3500
TOKEN_EXPIRED = 3501
_SHUT_OUT = range(3500, 3600)  # the protocol's table: the code tells whether to reconnect


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended: the close code, None where the transport was lost, and the server's wish."""

    code: int | None
    reason: str = ""
    retry_after_ms: int | None = None


def shuts_out(ending: Ending, *, new_token: bool) -> bool:
    """Tell whether the server wants no more of this client. An expired token does not, where a new one can be had."""
    if ending.code == TOKEN_EXPIRED and new_token:
        return False
    return ending.code in _SHUT_OUT


def delay_s(attempt: int, ending: Ending, *, jitter: float) -> float:
    """Give the wait before attempt 1, 2, 3 …; `jitter` is random in 0 … 1, so that clients come back spread out."""
    if attempt == 1 and ending.retry_after_ms is not None:
        return ending.retry_after_ms / 1000
    return exponential_s(attempt, first_s=FIRST_S, longest_s=LONGEST_S, jitter=jitter)


def exponential_s(attempt: int, *, first_s: float, longest_s: float, jitter: float) -> float:
    """Double the wait with each attempt up to the longest; between a half and the whole of it is waited."""
    longest = min(longest_s, first_s * 2.0 ** min(attempt - 1, 30))
    return longest * (0.5 + jitter / 2)
