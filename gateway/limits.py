"""How much one user may ask for: a token bucket each."""

from shared.clock import Clock
from shared.errors import RateLimited
from shared.ids import UserId


class RateLimiter:
    """Lets `rate_per_s` commands of a user pass, and `burst` at once; None: everything."""

    def __init__(self, rate_per_s: float | None, burst: int, *, clock: Clock) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._clock = clock
        self._full_at: dict[UserId, float] = {}  # when a user's bucket will be full again; absent: it is

    def spend(self, user_id: UserId) -> None:
        """Take one token. Raises: RateLimited, with the time until the next one."""
        if self._rate_per_s is None:
            return
        now = self._clock.monotonic()
        full_at = max(self._full_at.get(user_id, now), now) + 1 / self._rate_per_s
        over_s = full_at - now - self._burst / self._rate_per_s
        if over_s > 0:
            raise RateLimited("Too many requests.", retry_after_ms=max(1, round(over_s * 1000)))
        self._full_at[user_id] = full_at

    def sweep(self) -> None:
        """Forget the users whose buckets are full."""
        now = self._clock.monotonic()
        for user_id in [user_id for user_id, full_at in self._full_at.items() if full_at <= now]:
            del self._full_at[user_id]
