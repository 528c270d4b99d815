"""How much one user, or address, may ask for: a token bucket each."""

from shared.clock import Clock
from shared.errors import RateLimited


class RateLimiter:
    """Lets `rate_per_s` requests of one client pass, and `burst` at once; None: everything."""

    def __init__(self, rate_per_s: float | None, burst: int, *, clock: Clock) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._clock = clock
        self._full_at: dict[str, float] = {}  # when a client's bucket will be full again; absent: it is

    def spend(self, client: str) -> None:
        """Take one token. Raises: RateLimited, with the time until the next one."""
        if self._rate_per_s is None:
            return
        now = self._clock.monotonic()
        full_at = max(self._full_at.get(client, now), now) + 1 / self._rate_per_s
        over_s = full_at - now - self._burst / self._rate_per_s
        if over_s > 0:
            raise RateLimited("Too many requests.", retry_after_ms=max(1, round(over_s * 1000)))
        self._full_at[client] = full_at

    def give_back(self, client: str) -> None:
        """Put the token back that was spent on what turned out to be free."""
        if self._rate_per_s is not None and client in self._full_at:
            self._full_at[client] -= 1 / self._rate_per_s

    def sweep(self) -> None:
        """Forget the clients whose buckets are full."""
        now = self._clock.monotonic()
        for client in [client for client, full_at in self._full_at.items() if full_at <= now]:
            del self._full_at[client]
