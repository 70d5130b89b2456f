"""Turns counters, counts and self-metrics into prometheus_client's families. Everything is read when it is scraped.

Histograms, of which there are most lines by far, are written in `exposition.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from fluxtrail.model.counts import Counts
from fluxtrail.model.figures import COUNTERS, CounterSeries, Figures
from fluxtrail.web.measures import Kind, Measure

_TARGET = ("cluster", "namespace", "name", "kind")


class Snapshot(Collector):
    """What `/metrics` says besides histograms, taken at one instant in the event loop and rendered elsewhere."""

    def __init__(
        self,
        *,
        figures: Figures,
        counts: Counts | None,
        measures: Iterable[Measure],
        created_at: datetime,
        now: datetime,
    ) -> None:
        """Args:
        counts: None where another process tells them.
        """
        self._counters = list(figures.counters())
        self._counts = counts
        self._measures = list(measures)
        self._created = created_at.timestamp()
        self._now = now

    def collect(self) -> Iterator[Metric]:
        yield from _counters(self._counters, self._created)
        if self._counts is not None:
            yield from _counted(self._counts, self._created, self._now)
        for measure in self._measures:
            yield _measured(measure)


def _counters(series: Sequence[CounterSeries], created: float) -> Iterator[Metric]:
    families = {f.name: CounterMetricFamily(f.name, f.help, labels=f.labels) for f in COUNTERS}
    for one in series:
        families[one.family.name].add_metric(one.labels, one.value, created=created)
    return iter(families.values())


def _counted(counts: Counts, created: float, now: datetime) -> Iterator[Metric]:
    """The gauges over what is on its way, and how attribution stands."""
    inflight = GaugeMetricFamily("fluxtrail_commits_inflight", "Commits that are pending on a target.", labels=_TARGET)
    oldest = GaugeMetricFamily(
        "fluxtrail_commits_oldest_age_seconds",
        "Age of the oldest commit pending on a target; what is suspended or awaits a tag does not count.",
        labels=_TARGET,
    )
    for row in counts.inflight:
        labels = (row.cluster, row.namespace, row.name, row.kind)
        inflight.add_metric(labels, row.commits)
        age = (now - row.oldest_since).total_seconds() if row.oldest_since else 0.0
        oldest.add_metric(labels, max(age, 0.0))
    yield inflight
    yield oldest
    yield GaugeMetricFamily(
        "fluxtrail_attribution_pending", "Syncs whose commits are still to be found out.", counts.attribution_pending
    )
    yield CounterMetricFamily(
        "fluxtrail_attribution_gaps",
        "Syncs whose commits will stay unknown.",
        counts.attribution_gaps,
        created=created,
    )
    yield from _running(counts)


def _running(counts: Counts) -> Iterator[Metric]:
    """What does not run as it was applied, and what is known of the images that run."""
    stuck = GaugeMetricFamily(
        "fluxtrail_workloads_not_running",
        "Workloads of a target that do not run what was applied, by cause; `progressing` where nothing is wrong yet.",
        labels=(*_TARGET, "cause"),
    )
    for row in counts.not_running:
        stuck.add_metric((row.cluster, row.namespace, row.name, row.kind, row.cause), row.workloads)
    images = GaugeMetricFamily(
        "fluxtrail_images",
        "Image digests that run on a cluster, by what is known of them.",
        labels=("cluster", "state"),
    )
    for image in counts.images:
        images.add_metric((image.cluster, image.state), image.images)
    yield stuck
    yield images


def _measured(measure: Measure) -> Metric:
    if measure.kind is Kind.INFO:
        info = InfoMetricFamily(measure.name, measure.help, labels=[])
        for labels, _ in measure.values:
            info.add_metric([], dict(zip(measure.labels, labels, strict=True)))
        return info
    if measure.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(measure.name, measure.help, labels=measure.labels)
        for labels, spread in measure.spreads:
            buckets = [(_bound(bound), count) for bound, count in spread.buckets]
            histogram.add_metric(labels, buckets, sum_value=spread.total)
        return histogram
    kind = CounterMetricFamily if measure.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(measure.name, measure.help, labels=measure.labels)
    for labels, value in measure.values:
        family.add_metric(labels, value)
    return family


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else repr(bound)
