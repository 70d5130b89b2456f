"""Limits over a sliding window of simulated time, and how near anybody came to them."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta


class Window:
    """Counts what was spent within the last `seconds`: never more than `limit`, at whichever moment one looks.

    Forges do not say where their windows begin, so none that anybody could begin is overrun by whoever keeps this one.
    """

    def __init__(self, limit: float, *, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self.peak = 0.0
        """The most that ever was within a window."""
        self._spent: deque[tuple[datetime, float]] = deque()
        self._total = 0.0

    def used(self, now: datetime) -> float:
        while self._spent and self._spent[0][0] <= now - timedelta(seconds=self.seconds):
            self._total -= self._spent.popleft()[1]
        return self._total if self._spent else 0.0

    def spend(self, now: datetime, cost: float = 1.0) -> bool:
        """Take `cost`; False when that is more than there was: it counts all the same."""
        self._total = self.used(now) + cost
        self._spent.append((now, cost))
        self.peak = max(self.peak, self._total)
        return self._total <= self.limit

    def wait_seconds(self, now: datetime) -> float:
        """Return how long until the oldest is forgotten."""
        self.used(now)
        if not self._spent:
            return 0.0
        return (self._spent[0][0] + timedelta(seconds=self.seconds) - now).total_seconds()


class Hourly:
    """A primary limit: a number an hour, from the first request of the hour on."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._begins_at: datetime | None = None

    def remaining(self, now: datetime) -> int:
        if self._begins_at is None or now >= self.resets_at(now):
            self._begins_at, self.used = now, 0
        return max(self.limit - self.used, 0)

    def spend(self, now: datetime) -> None:
        self.remaining(now)
        self.used += 1

    def resets_at(self, now: datetime) -> datetime:
        return (self._begins_at or now) + timedelta(hours=1)
