"""How fast GitHub is asked: a token bucket and a rate limit's end, both shared by all who ask."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from fluxtrail.model.errors import RateLimitedError

REQUESTS_PER_SECOND = 3.0
BURST = 20
LONGEST_BACKOFF_SECONDS = 5.0
JITTER_SECONDS = 0.05


class Clock(Protocol):
    def now(self) -> datetime:
        """Return the wall time, aware UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None: ...


def backoff_seconds(attempt: int, jitter: float) -> float:
    """Return the wait before the attempt with this number; the first one, 0, waits for nothing.

    Args:
        jitter: 0 to 1, exclusive.
    """
    if attempt <= 0:
        return 0.0
    return min(0.1 * 2.0 ** min(attempt, 16) + jitter * JITTER_SECONDS, LONGEST_BACKOFF_SECONDS)


class TokenBucket:
    """`per_second` on average, `burst` at once. Who takes a token knows at once how long to wait for it."""

    def __init__(self, clock: Clock, *, per_second: float = REQUESTS_PER_SECOND, burst: int = BURST) -> None:
        self._clock, self._per_second, self._burst = clock, per_second, burst
        self._tokens = float(burst)
        self._filled_at = clock.monotonic()

    def take(self) -> float:
        """Take a token and return the seconds until it is there."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second) - 1
        self._filled_at = now
        return max(0.0, -self._tokens / self._per_second)

    def give_back(self) -> None:
        """Return a token that was not used."""
        self._tokens = min(float(self._burst), self._tokens + 1)


class Pacer:
    """Lets requests pass one by one. Safe for concurrent callers; a cancelled one takes nothing from the others.

    Args:
        longest_wait_seconds: nobody is held longer for a rate limit: RateLimitedError is raised at once instead.
    """

    def __init__(self, clock: Clock, bucket: TokenBucket, *, longest_wait_seconds: float) -> None:
        self._clock, self._bucket = clock, bucket
        self._longest_wait_seconds = longest_wait_seconds
        self._until_wall = 0.0
        self._until_monotonic = float("-inf")

    def hold(self, seconds: float) -> None:
        """Nobody passes for so long; an earlier, longer hold stays."""
        self._until_wall = max(self._until_wall, self._clock.now().timestamp() + seconds)
        self._until_monotonic = max(self._until_monotonic, self._clock.monotonic() + seconds)

    def remaining_seconds(self) -> float:
        """Return how long nobody passes; 0 for not at all.

        By whichever clock has come further: the wall's may be set back, a simulation's runs faster.
        """
        wall = self._until_wall - self._clock.now().timestamp()
        return max(0.0, min(wall, self._until_monotonic - self._clock.monotonic()))

    def check(self) -> None:
        """Raise RateLimitedError, with the seconds, where the hold is longer than anybody waits for."""
        remaining = self.remaining_seconds()
        if remaining > self._longest_wait_seconds:
            raise RateLimitedError(
                f"GitHub's rate limit is used up for another {remaining:.0f} s", retry_after_seconds=remaining
            )

    async def admit(self) -> None:
        """Return when a request may be sent.

        Raises:
            RateLimitedError: see `check`.
        """
        await self._await_hold()
        wait = self._bucket.take()
        try:
            if wait > 0:
                await self._clock.sleep(wait)
            await self._await_hold()  # another caller's answer may have come meanwhile
        except BaseException:
            self._bucket.give_back()
            raise

    async def _await_hold(self) -> None:
        while (remaining := self.remaining_seconds()) > 0:
            self.check()
            await self._clock.sleep(remaining)
