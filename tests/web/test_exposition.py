"""Histograms are written as prometheus_client would write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from fluxtrail.model.figures import BUCKETS_SECONDS, HISTOGRAMS, Counted, Figures
from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.views import DeliveryFacts
from fluxtrail.web.exposition import render_histograms

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CREATED = NOON.timestamp() + 0.25
BOUNDS = (*(f"{bound}.0" for bound in BUCKETS_SECONDS), "+Inf")


class Slow(Collector):
    """The same by the library."""

    def __init__(self, series: list[Counted]) -> None:
        self._series = series

    def collect(self) -> list[Metric]:
        families = {f.name: HistogramMetricFamily(f.name, f.help, labels=f.labels) for f in HISTOGRAMS}
        for one in sorted(self._series, key=lambda one: (one.family.name, one.labels)):
            family, total = families[one.family.name], 0
            buckets = []
            for bound, count in zip(BOUNDS, one.counts, strict=True):
                total += count
                buckets.append((bound, float(total)))
            family.add_metric(one.labels, buckets, one.sum_microseconds / 1_000_000)
            labels = dict(zip(one.family.labels, one.labels, strict=True))
            family.samples.append(Sample(f"{family.name}_created", labels, CREATED))
        return list(families.values())


def expected(series: list[Counted], *, is_openmetrics: bool) -> bytes:
    registry = CollectorRegistry()
    registry.register(Slow(series))
    if is_openmetrics:
        found: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return found.removesuffix(b"# EOF\n")
    return generate_latest(registry)


COUNTS = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**40)), min_size=len(BOUNDS), max_size=len(BOUNDS)).map(
    tuple
)


@st.composite
def counted(draw: st.DrawFn) -> Counted:
    family = draw(st.sampled_from(HISTOGRAMS))
    value = st.one_of(st.sampled_from(["", "a", 'quote " slash \\ line\nend']), st.text(max_size=5))
    labels = tuple(draw(value) for _ in family.labels)
    return Counted(family, labels, draw(COUNTS), draw(st.integers(0, 2**60)))


@pytest.mark.parametrize("is_openmetrics", [False, True], ids=["text", "openmetrics"])
@given(series=st.lists(counted(), max_size=6, unique_by=lambda one: (one.family.name, one.labels)))
def test_histograms_are_written_as_the_library_does(series: list[Counted], is_openmetrics: bool) -> None:
    written = render_histograms(series, CREATED, is_openmetrics=is_openmetrics)
    assert b"".join(written) == expected(series, is_openmetrics=is_openmetrics)


def test_what_is_counted_is_what_histograms_say() -> None:
    figures = Figures()
    for number in range(1, 4):
        figures.add(_facts(number))
    told = {(one.family.name, one.labels): (one.counts, one.sum_microseconds) for one in figures.counted()}
    for series in figures.histograms():
        counts, microseconds = told.pop((series.family.name, series.labels))
        assert (tuple(sum(counts[: end + 1]) for end in range(len(counts)))) == series.cumulative
        assert microseconds / 1_000_000 == series.sum_seconds
    assert not told


def _facts(number: int) -> DeliveryFacts:
    def at(seconds: float) -> datetime:
        return NOON + timedelta(seconds=seconds * number)

    return DeliveryFacts(
        commit_id=number,
        target_id=1,
        cluster="c",
        namespace="n",
        name="apps",
        kind="Kustomization",
        is_carrier=False,
        has_carrier=True,
        merged=exact(at(0), Evidence.BRANCH_MOVED),
        exported=exact(at(10), Evidence.BRANCH_MOVED),
        stated_at=at(0),
        carrier_committed_at=at(9),
        fetched=exact(at(20.5), Evidence.ARTIFACT),
        applied=exact(at(30), Evidence.READY_CONDITION),
        healthy=exact(at(40), Evidence.READY_CONDITION),
        succeeded=exact(at(40), Evidence.READY_CONDITION),
        is_scope_unknown=False,
        running=exact(at(50), Evidence.PODS_READY),
    )


def test_snapshot_does_not_change_with_the_figures() -> None:
    figures = Figures()
    figures.add(_facts(1))
    before = figures.counted()
    kept = [(one.labels, one.counts, one.sum_microseconds) for one in before]
    figures.add(_facts(2))
    assert [(one.labels, one.counts, one.sum_microseconds) for one in before] == kept


def test_many_series_come_in_small_pieces() -> None:
    family = HISTOGRAMS[0]
    counts = (1,) * len(BOUNDS)
    series = [Counted(family, ("c", "n", f"app-{number}", "k", "applied"), counts, 5) for number in range(2_000)]
    pieces = list(render_histograms(series, CREATED, is_openmetrics=False))
    assert max(map(len, pieces)) < 2 * 2**20
    assert b"".join(pieces) == expected(series, is_openmetrics=False)
