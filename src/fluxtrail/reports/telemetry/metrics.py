"""Delivery figures as OTLP metrics: cumulative since the ledger began, so that a restart continues every series. Pure.

A sha is never an attribute of a metric. Exemplars point at traces instead: the newest sample of each series has the ids
of its delivery's trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Exemplar,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ScopeMetrics,
    Sum,
)

from fluxtrail import __version__
from fluxtrail.model.counts import Inflight
from fluxtrail.model.figures import (
    BUCKETS_SECONDS,
    DURATION,
    END_TO_END_TIME,
    ESTIMATED,
    EXPORT_TIME,
    INVERTED,
    LEAD_TIME,
    LEAD_TIME_RUNNING,
    RECONCILE_TIME,
    SCOPE_UNKNOWN,
    CounterSeries,
    Figures,
    HistogramSeries,
    Sample,
)
from fluxtrail.model.records import CommitId
from fluxtrail.model.telling import TrackedCommit
from fluxtrail.reports.telemetry.ids import root_span_id, trace_id
from fluxtrail.reports.telemetry.messages import SCHEMA_URL, SCOPE, attributes, nanoseconds

DROP_IN_SCOPE = "tracker"
"""The instrumentation scope of flux-commit-tracker."""

_NAMES = {
    DURATION.name: "fluxtrail.delivery.duration",
    LEAD_TIME.name: "fluxtrail.lead_time",
    LEAD_TIME_RUNNING.name: "fluxtrail.lead_time_running",
    EXPORT_TIME.name: "flux-commit-tracker.kube-manifests-exporter.export-time",
    RECONCILE_TIME.name: "flux-commit-tracker.flux.reconcile-time",
    END_TO_END_TIME.name: "flux-commit-tracker.e2e.export-time",
    ESTIMATED.name: "fluxtrail.moments.estimated",
    INVERTED.name: "fluxtrail.moments.inverted",
    SCOPE_UNKNOWN.name: "fluxtrail.deliveries.scope_unknown",
}
_UNITS = {ESTIMATED.name: "{moment}", INVERTED.name: "{pair}", SCOPE_UNKNOWN.name: "{delivery}"}
_ATTRIBUTES = {
    "cluster": "k8s.cluster.name",
    "namespace": "k8s.namespace.name",
    "name": "k8s.resource.name",
    "kind": "k8s.resource.kind",
    "stage": "fluxtrail.stage",
    "since": "fluxtrail.stage.since",
    "k8s_cluster_name": "k8s.cluster.name",
    "k8s_namespace_name": "k8s.namespace.name",
    "k8s_resource_name": "k8s.resource.name",
}


class Place(NamedTuple):
    """A target as the drop-in's series know it."""

    cluster: str
    namespace: str
    name: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the metrics say, taken at one instant."""

    histograms: Sequence[HistogramSeries]
    counters: Sequence[CounterSeries]
    inflight: Sequence[Inflight]
    source_kinds: Mapping[Place, str]
    """Which kind of source each target has now: flux-commit-tracker's third attribute."""
    started_at: datetime
    """When the ledger began: what everything is cumulative since."""
    now: datetime

    @classmethod
    def take(
        cls,
        figures: Figures,
        inflight: Sequence[Inflight],
        *,
        source_kinds: Mapping[Place, str],
        started_at: datetime,
        now: datetime,
    ) -> Snapshot:
        return cls(
            histograms=list(figures.histograms()),
            counters=list(figures.counters()),
            inflight=inflight,
            source_kinds=source_kinds,
            started_at=started_at,
            now=now,
        )

    def sampled(self) -> list[CommitId]:
        """Return the commits that exemplars point at."""
        return sorted({CommitId(series.newest.commit_id) for series in self.histograms if series.newest})


def scopes(snapshot: Snapshot, commits: Mapping[CommitId, TrackedCommit]) -> list[ScopeMetrics]:
    """Return all metrics.

    Args:
        commits: those of `snapshot.sampled()` that are still known; the others' samples have no exemplar.
    """
    encoder = _Encoder(snapshot, commits)
    ours = [
        *encoder.histograms(DURATION.name, LEAD_TIME.name, LEAD_TIME_RUNNING.name),
        *encoder.gauges(),
        *encoder.counters(),
    ]
    theirs = list(encoder.exponentials(EXPORT_TIME.name, RECONCILE_TIME.name, END_TO_END_TIME.name))
    found = [ScopeMetrics(scope=InstrumentationScope(name=SCOPE, version=__version__), metrics=ours)]
    if theirs:
        found.append(ScopeMetrics(scope=InstrumentationScope(name=DROP_IN_SCOPE), metrics=theirs))
    for scope in found:
        scope.schema_url = SCHEMA_URL
    return found


class _Encoder:
    def __init__(self, snapshot: Snapshot, commits: Mapping[CommitId, TrackedCommit]) -> None:
        self._snapshot = snapshot
        self._commits = commits
        self._start, self._now = nanoseconds(snapshot.started_at), nanoseconds(snapshot.now)

    def histograms(self, *families: str) -> Iterator[Metric]:
        for name in families:
            points = [self._histogram_point(series) for series in self._of(name)]
            if points:
                data = Histogram(data_points=points, aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE)
                yield Metric(name=_NAMES[name], description=_HELP[name], unit="s", histogram=data)

    def exponentials(self, *families: str) -> Iterator[Metric]:
        for name in families:
            points = [self._exponential_point(series) for series in self._of(name)]
            if points:
                data = ExponentialHistogram(
                    data_points=points, aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE
                )
                yield Metric(name=_NAMES[name], description=_HELP[name], unit="s", exponential_histogram=data)

    def counters(self) -> Iterator[Metric]:
        for name, unit in _UNITS.items():
            points = [
                NumberDataPoint(
                    attributes=_labels(series.family.labels, series.labels),
                    start_time_unix_nano=self._start,
                    time_unix_nano=self._now,
                    as_int=series.value,
                )
                for series in self._snapshot.counters
                if series.family.name == name
            ]
            if points:
                data = Sum(
                    data_points=points,
                    aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE,
                    is_monotonic=True,
                )
                yield Metric(name=_NAMES[name], description=_HELP[name], unit=unit, sum=data)

    def gauges(self) -> Iterator[Metric]:
        rows = self._snapshot.inflight
        inflight = [self._gauge_point(row, float(row.commits)) for row in rows]
        oldest = [self._gauge_point(row, self._age(row)) for row in rows]
        if rows:
            yield Metric(
                name="fluxtrail.commits.inflight",
                description="Commits that are pending on a target.",
                unit="{commit}",
                gauge=Gauge(data_points=inflight),
            )
            yield Metric(
                name="fluxtrail.commits.oldest_age",
                description="Age of the oldest commit pending on a target that nobody holds back.",
                unit="s",
                gauge=Gauge(data_points=oldest),
            )

    def _of(self, name: str) -> Iterable[HistogramSeries]:
        return (series for series in self._snapshot.histograms if series.family.name == name)

    def _age(self, row: Inflight) -> float:
        since = row.oldest_since
        return max((self._snapshot.now - since).total_seconds(), 0.0) if since else 0.0

    def _gauge_point(self, row: Inflight, value: float) -> NumberDataPoint:
        labels = _labels(("cluster", "namespace", "name", "kind"), (row.cluster, row.namespace, row.name, row.kind))
        return NumberDataPoint(attributes=labels, time_unix_nano=self._now, as_double=value)

    def _histogram_point(self, series: HistogramSeries) -> HistogramDataPoint:
        below = (0, *series.cumulative[:-1])
        return HistogramDataPoint(
            attributes=_labels(series.family.labels, series.labels),
            start_time_unix_nano=self._start,
            time_unix_nano=self._now,
            count=series.cumulative[-1],
            sum=series.sum_seconds,
            explicit_bounds=BUCKETS_SECONDS,
            bucket_counts=[count - before for count, before in zip(series.cumulative, below, strict=True)],
            exemplars=self._exemplars(series.newest),
        )

    def _exponential_point(self, series: HistogramSeries) -> ExponentialHistogramDataPoint:
        assert series.exponential is not None
        offset, counts = series.exponential.buckets()
        kind = self._snapshot.source_kinds.get(Place(*series.labels))
        return ExponentialHistogramDataPoint(
            attributes=[*_labels(series.family.labels, series.labels), *attributes({"k8s.source.kind": kind})],
            start_time_unix_nano=self._start,
            time_unix_nano=self._now,
            count=sum(counts) + series.exponential.zeros,
            sum=series.sum_seconds,
            scale=series.exponential.scale,
            zero_count=series.exponential.zeros,
            positive=ExponentialHistogramDataPoint.Buckets(offset=offset, bucket_counts=counts),
            exemplars=self._exemplars(series.newest),
        )

    def _exemplars(self, sample: Sample | None) -> list[Exemplar]:
        commit = self._commits.get(CommitId(sample.commit_id)) if sample else None
        if sample is None or commit is None:
            return []
        trace = trace_id(commit.repository, commit.sha)
        return [
            Exemplar(
                time_unix_nano=nanoseconds(sample.at),
                as_double=sample.seconds,
                trace_id=trace,
                span_id=root_span_id(trace),
            )
        ]


_HELP = {
    family.name: family.help
    for family in (
        DURATION,
        LEAD_TIME,
        LEAD_TIME_RUNNING,
        EXPORT_TIME,
        RECONCILE_TIME,
        END_TO_END_TIME,
        ESTIMATED,
        INVERTED,
        SCOPE_UNKNOWN,
    )
}


def _labels(names: Sequence[str], values: Sequence[str]) -> list[KeyValue]:
    return attributes({_ATTRIBUTES[name]: value for name, value in zip(names, values, strict=True)})
