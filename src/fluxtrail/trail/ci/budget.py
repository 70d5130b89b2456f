"""How many requests may go to CI systems in an hour: a bucket that fills evenly, so a burst starves nobody for long."""

from __future__ import annotations

BURST_SHARE = 0.25
"""Of an hour's requests, at once."""


class RequestBudget:
    def __init__(self, per_hour: float, *, now: float) -> None:
        """Args:
        now: monotonic seconds, as for `take`.
        """
        self._per_second = per_hour / 3600
        self._room = max(per_hour * BURST_SHARE, 1.0)
        self._left = self._room
        self._at = now
        self.asked = 0
        self.refused = 0

    def take(self, now: float, *, requests: int = 1) -> bool:
        """Take these, or none of them."""
        self._left = min(self._room, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < requests:
            self.refused += 1
            return False
        self._left -= requests
        self.asked += requests
        return True
