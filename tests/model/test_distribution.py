from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.distribution import SHORT_SECONDS, Distribution


def test_bounds_are_inclusive_and_counts_add_up() -> None:
    found = Distribution((0.1, 1.0))
    for value in (0.1, 0.2, 1.0, 7.0, -3.0):
        found.add(value)
    assert found.spread().buckets == ((0.1, 2), (1.0, 4), (float("inf"), 5))
    assert found.spread().total == 8.3


def test_a_spread_stays_as_it_was() -> None:
    found = Distribution()
    before = found.spread()
    found.add(1)
    assert before.buckets[-1] == (float("inf"), 0)


@given(st.lists(st.floats(0, 1e6)))
def test_every_bucket_holds_what_is_no_larger(values: list[float]) -> None:
    found = Distribution()
    for value in values:
        found.add(value)
    spread = found.spread()
    assert dict(spread.buckets) == {
        bound: sum(value <= bound for value in values) for bound in (*SHORT_SECONDS, float("inf"))
    }
    assert all(one[1] <= other[1] for one, other in pairwise(spread.buckets))
