"""Exponential buckets: the same as OpenTelemetry's own aggregation makes, in whatever order the values come."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from fluxtrail.model.exponential import MAX_SIZE, Exponential, finest_index
from fluxtrail.model.figures import Figures
from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.views import DeliveryFacts

DURATIONS = st.lists(st.integers(min_value=0, max_value=40 * 86_400 * 1_000_000), min_size=1, max_size=60)


def folded(values: list[int]) -> Exponential:
    histogram = Exponential()
    for value in values:
        histogram.observe(value)
    return histogram


def reference(values: list[int]) -> ExponentialHistogramDataPoint:
    reader = InMemoryMetricReader()
    aggregation = ExponentialBucketHistogramAggregation(max_size=160, max_scale=20)
    provider = MeterProvider([reader], views=[View(instrument_name="*", aggregation=aggregation)])
    histogram = provider.get_meter("reference").create_histogram("h")
    for value in values:
        histogram.record(value / 1_000_000)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    point = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0]
    assert isinstance(point, ExponentialHistogramDataPoint)
    return point


@pytest.mark.parametrize(
    "values",
    [
        [900_000_000],
        [900_000_000, 600_000_000, 1_500_000_000],
        [1_000_000, 2_000_000, 4_000_000, 86_400_000_000],
        [0, 1, 1_000_000],
        [random.Random(7).randrange(1, 86_400_000_000) for _ in range(500)],
    ],
    ids=["one", "drop-in", "powers of two", "zero and a microsecond", "many"],
)
def test_buckets_are_those_of_the_sdk(values: list[int]) -> None:
    mine, theirs = folded(values), reference(values)
    offset, counts = mine.buckets()
    assert (mine.scale, mine.zeros, offset) == (theirs.scale, theirs.zero_count, theirs.positive.offset)
    assert list(counts) == _without_trailing_zeros(list(theirs.positive.bucket_counts))


def _without_trailing_zeros(counts: list[int]) -> list[int]:
    """The SDK hands out its whole array; a receiver makes no difference."""
    while counts and counts[-1] == 0:
        counts.pop()
    return counts


@given(DURATIONS, st.randoms(use_true_random=False))
def test_the_order_of_the_values_changes_nothing(values: list[int], dice: random.Random) -> None:
    shuffled = list(values)
    dice.shuffle(shuffled)
    assert msgspec.msgpack.encode(folded(values).ordered()) == msgspec.msgpack.encode(folded(shuffled).ordered())


@given(DURATIONS)
def test_nothing_is_lost_and_the_size_is_bounded(values: list[int]) -> None:
    histogram = folded(values)
    _, counts = histogram.buckets()
    assert sum(counts) + histogram.zeros == len(values)
    assert len(counts) <= MAX_SIZE


@given(st.integers(min_value=1, max_value=40 * 86_400 * 1_000_000), st.integers(min_value=0, max_value=8))
def test_a_value_lies_within_its_bucket(value: int, scale: int) -> None:
    index = finest_index(value) >> (20 - scale)
    base = 2.0 ** (2.0**-scale)
    assert base**index * (1 - 1e-9) <= value / 1_000_000 <= base ** (index + 1) * (1 + 1e-9)


def test_figures_of_the_first_version_are_continued() -> None:
    """What stands for pruned deliveries was written without exponential buckets once."""
    name = "flux_commit_tracker_flux_reconcile_time_seconds"
    old = msgspec.msgpack.encode(
        {
            "version": 1,
            "bounds": [1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400],
            "histograms": [(name, ("prod", "flux-system", "apps"), ([0] * 15 + [1], 90_000_000_000))],
            "counters": [],
            "counted": {},
        }
    )
    figures = Figures.load(old)
    committed, succeeded = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
    figures.add(_carrier(committed, succeeded))
    (series,) = figures.histograms()
    assert series.cumulative[-1] == 2
    assert series.exponential is not None
    assert series.exponential.buckets()[1] == (1,)
    assert series.newest is not None
    assert series.newest.seconds == 600.0


def _carrier(committed: datetime, succeeded: datetime) -> DeliveryFacts:
    return DeliveryFacts(
        commit_id=1,
        target_id=1,
        cluster="prod",
        namespace="flux-system",
        name="apps",
        kind="Kustomization",
        is_carrier=True,
        has_carrier=False,
        merged=None,
        exported=None,
        stated_at=None,
        carrier_committed_at=committed,
        fetched=None,
        applied=None,
        healthy=None,
        succeeded=exact(succeeded, Evidence.READY_CONDITION),
        is_scope_unknown=False,
    )
