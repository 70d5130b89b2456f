"""How values are spread, counted in buckets: what a Prometheus histogram is made of."""

import bisect
from collections.abc import Sequence
from typing import NamedTuple

SHORT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds, inclusive, for what takes milliseconds and should never take a minute."""


class Spread(NamedTuple):
    """A distribution as it stood at one moment."""

    buckets: tuple[tuple[float, int], ...]
    """Upper bound, and how many values were no larger; the last one's bound is infinite, and it holds them all."""
    total: float
    """The sum of all values."""


class Distribution:
    """Values since the start of the process. Not shared between threads."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float] = SHORT_SECONDS) -> None:
        """Args:
        bounds: upper bounds, inclusive, ascending, without the infinite one.
        """
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count a value; one below zero, which only a clock set back makes, counts as zero."""
        value = max(value, 0.0)
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._total += value

    def spread(self) -> Spread:
        buckets, reached = list[tuple[float, int]](), 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            reached += count
            buckets.append((bound, reached))
        return Spread(tuple(buckets), self._total)
