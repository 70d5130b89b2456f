"""How long to wait before trying again."""

from __future__ import annotations

from random import Random


class Backoff:
    """Doubling waits with jitter, from `base_seconds` up to `cap_seconds`.

    The jitter takes away up to half of each wait, so that many watchers cut off together do not come back together.
    """

    def __init__(self, random: Random, *, base_seconds: float = 1.0, cap_seconds: float = 30.0) -> None:
        self._random = random
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self.attempts = 0

    def next_seconds(self, *, is_first_free: bool = False) -> float:
        """Return the next wait, longer than the last. With `is_first_free` the first one is no wait at all."""
        self.attempts += 1
        if is_first_free and self.attempts == 1:
            return 0.0
        # The exponent is bounded: 2**1000 would overflow a float long before anybody noticed the outage.
        upper = min(self._cap_seconds, self._base_seconds * 2 ** min(self.attempts - 1, 16))
        return self._random.uniform(upper / 2, upper)

    def reset(self) -> None:
        self.attempts = 0
