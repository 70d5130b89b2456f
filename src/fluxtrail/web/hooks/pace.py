"""How fast those may post who show no secret."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """A bucket of tokens for all of them together: no peer's address can be believed behind a proxy.

    Args:
        per_minute: how many in a minute; as many may come at once after a quiet minute. 0 lets none in.
        monotonic: seconds.
    """

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._most = float(per_minute)
        self._left = float(per_minute)
        self._monotonic = monotonic
        self._filled_at = monotonic()

    def take(self) -> float | None:
        """Take one. Returns None when there was one, else in how many seconds there will be."""
        now = self._monotonic()
        self._left = min(self._left + (now - self._filled_at) * self._per_second, self._most)
        self._filled_at = now
        if self._left >= 1:
            self._left -= 1
            return None
        return (1 - self._left) / self._per_second if self._per_second else 60.0
