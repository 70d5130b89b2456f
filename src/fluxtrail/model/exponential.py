"""Base-2 exponential histograms, folded so that the order of the values does not matter.

Bucket i at scale s holds the values in (base^i, base^(i+1)] with base = 2^(2^-s). A value's index is computed once, at
the finest scale, and shifted right from there: the scale that is left is the finest one at which everything from the
smallest to the largest value fits, whatever came first. So a fold that is rebuilt is the same fold.

Source: opentelemetry-specification, metrics/data-model.md, "ExponentialHistogram".
"""

import math
from collections.abc import Iterator

import msgspec

MAX_SCALE = 20
"""What flux-commit-tracker's view asked for, with the size."""
MAX_SIZE = 160
"""Buckets kept of one series: a relative error of half a percent over the range from seconds to a day."""


def finest_index(microseconds: int) -> int:
    """Return the index of a positive duration at MAX_SCALE, in seconds.

    Powers of two of a second end their bucket exactly; elsewhere a double's logarithm decides, to about 1e-10 of a
    bucket's width.
    """
    mantissa, exponent = math.frexp(microseconds / 1_000_000)
    if mantissa == 0.5:
        return ((exponent - 1) << MAX_SCALE) - 1
    within = math.ceil((math.log2(mantissa) + 1.0) * (1 << MAX_SCALE)) - 1
    within = min(max(within, 0), (1 << MAX_SCALE) - 1)
    return ((exponent - 1) << MAX_SCALE) + within


class Exponential(msgspec.Struct, array_like=True):
    """One series. Durations are never negative, so there are no negative buckets."""

    scale: int = MAX_SCALE
    zeros: int = 0
    counts: dict[int, int] = {}
    """By index at `scale`; only those that hold something, at most MAX_SIZE."""

    def observe(self, microseconds: int) -> None:
        if microseconds <= 0:
            self.zeros += 1
            return
        index = finest_index(microseconds) >> (MAX_SCALE - self.scale)
        if index not in self.counts:
            index >>= self._make_room(index)
        self.counts[index] = self.counts.get(index, 0) + 1

    def _make_room(self, index: int) -> int:
        """Merge neighbours until `index` fits too; returns by how many scales."""
        if not self.counts:
            return 0
        low, high = min(index, *self.counts), max(index, *self.counts)
        steps = 0
        while (high >> steps) - (low >> steps) >= MAX_SIZE:
            steps += 1
        if steps:
            merged: dict[int, int] = {}
            for known, count in self.counts.items():
                merged[known >> steps] = merged.get(known >> steps, 0) + count
            self.counts, self.scale = merged, self.scale - steps
        return steps

    def buckets(self) -> tuple[int, tuple[int, ...]]:
        """Return the lowest index and the counts from there on, without gaps."""
        if not self.counts:
            return 0, ()
        low, high = min(self.counts), max(self.counts)
        return low, tuple(self.counts.get(index, 0) for index in range(low, high + 1))

    def ordered(self) -> "Exponential":
        """Return the same, with its counts in the order of their indexes: equal ones then have equal bytes."""
        return Exponential(self.scale, self.zeros, dict(self._items()))

    def _items(self) -> Iterator[tuple[int, int]]:
        return iter(sorted(self.counts.items()))
