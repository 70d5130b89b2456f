"""The figures as OTLP: flux-commit-tracker's histograms as it exported them, ours beside them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ScopeMetrics
from tests.reports.worlds import CARRIER, CARRIER_SHA, SHA, at, commit, moment, values

from fluxtrail.model.counts import Inflight
from fluxtrail.model.figures import Figures
from fluxtrail.model.records import CommitId
from fluxtrail.model.views import DeliveryFacts
from fluxtrail.reports.telemetry.ids import trace_id
from fluxtrail.reports.telemetry.messages import nanoseconds
from fluxtrail.reports.telemetry.metrics import Place, Snapshot, scopes
from fluxtrail.reports.telemetry.parts import parts

CREATED = at(0) - timedelta(days=3)
INFLIGHT = Inflight(
    cluster="prod",
    namespace="flux-system",
    name="apps",
    kind="Kustomization",
    commits=2,
    failed=0,
    oldest_since=at(-90),
)
FACTS = DeliveryFacts(
    commit_id=1,
    target_id=7,
    cluster="prod",
    namespace="flux-system",
    name="apps",
    kind="Kustomization",
    is_carrier=False,
    has_carrier=True,
    merged=moment(-1500),
    exported=moment(-600),
    stated_at=at(-1500),
    carrier_committed_at=at(-600),
    fetched=None,
    applied=moment(0),
    healthy=None,
    succeeded=moment(0),
    is_scope_unknown=False,
)
CARRIER_FACTS = msgspec.structs.replace(
    FACTS, commit_id=2, is_carrier=True, has_carrier=False, merged=moment(-600), exported=None, stated_at=None
)


def taken(*facts: DeliveryFacts, **given: Any) -> list[ScopeMetrics]:
    figures = Figures()
    figures.add_all(facts)
    snapshot = Snapshot.take(
        figures,
        [INFLIGHT],
        source_kinds={Place("prod", "flux-system", "apps"): "GitRepository"},
        started_at=CREATED,
        now=at(0),
    )
    assert snapshot.sampled() == sorted({CommitId(item.commit_id) for item in facts})
    return scopes(snapshot, given.get("commits", {CommitId(1): commit(), CommitId(2): CARRIER}))


def metric(found: list[ScopeMetrics], name: str) -> Metric:
    return next(item for scope in found for item in scope.metrics if item.name == name)


def test_the_drop_in_histograms_are_those_of_the_replaced_tool() -> None:
    """Its own numbers: 900 s to the manifests commit, 600 s to the reconciliation, 1500 s in all."""
    found = taken(FACTS, CARRIER_FACTS)
    sums = {}
    for item in next(scope for scope in found if scope.scope.name == "tracker").metrics:
        (point,) = item.exponential_histogram.data_points
        sums[item.name] = (item.unit, point.count, point.sum)
    assert sums == {
        "flux-commit-tracker.kube-manifests-exporter.export-time": ("s", 1, 900.0),
        "flux-commit-tracker.flux.reconcile-time": ("s", 1, 600.0),
        "flux-commit-tracker.e2e.export-time": ("s", 1, 1500.0),
    }


def test_a_drop_in_point_is_exponential_without_minimum_and_maximum() -> None:
    (point,) = metric(taken(FACTS), "flux-commit-tracker.e2e.export-time").exponential_histogram.data_points
    assert (point.scale, point.zero_count, list(point.positive.bucket_counts)) == (20, 0, [1])
    assert not point.HasField("min")
    assert not point.HasField("max")
    assert values(point.attributes) == {
        "k8s.cluster.name": "prod",
        "k8s.namespace.name": "flux-system",
        "k8s.resource.name": "apps",
        "k8s.source.kind": "GitRepository",
    }


def test_everything_is_cumulative_since_the_ledger_began() -> None:
    for scope in taken(FACTS):
        for item in scope.metrics:
            data = getattr(item, str(item.WhichOneof("data")))
            for point in data.data_points:
                assert point.time_unix_nano == nanoseconds(at(0))
                if item.WhichOneof("data") != "gauge":
                    assert point.start_time_unix_nano == nanoseconds(CREATED)
                    assert data.aggregation_temporality == 2


def test_our_histograms_have_the_buckets_of_prometheus() -> None:
    (point, *_) = metric(taken(FACTS), "fluxtrail.lead_time").histogram.data_points
    assert (point.count, point.sum) == (1, 1500.0)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert point.bucket_counts[list(point.explicit_bounds).index(1800)] == 1
    stages = {
        values(item.attributes)["fluxtrail.stage"]: item.sum
        for item in metric(taken(FACTS), "fluxtrail.delivery.duration").histogram.data_points
    }
    assert stages == {"exported": 900.0, "applied": 600.0}


def test_the_lead_time_to_running_is_a_metric_of_its_own() -> None:
    running = taken(msgspec.structs.replace(FACTS, running=moment(25)))
    (point,) = metric(running, "fluxtrail.lead_time_running").histogram.data_points
    assert (point.count, point.sum) == (1, 1525.0)
    assert metric(running, "fluxtrail.lead_time") == metric(taken(FACTS), "fluxtrail.lead_time")
    stages = {
        values(item.attributes)["fluxtrail.stage"]: item.sum
        for item in metric(running, "fluxtrail.delivery.duration").histogram.data_points
    }
    assert stages == {"exported": 900.0, "applied": 600.0, "running": 25.0}


def test_the_gauges_say_what_is_on_its_way() -> None:
    found = taken(FACTS)
    (inflight,) = metric(found, "fluxtrail.commits.inflight").gauge.data_points
    (oldest,) = metric(found, "fluxtrail.commits.oldest_age").gauge.data_points
    assert (inflight.as_double, oldest.as_double) == (2.0, 90.0)
    assert values(oldest.attributes)["k8s.resource.kind"] == "Kustomization"


def test_counters_are_monotonic_sums() -> None:
    estimated = msgspec.structs.replace(FACTS, applied=moment(0, estimated_from=-30))
    found = metric(taken(estimated), "fluxtrail.moments.estimated")
    assert found.sum.is_monotonic
    assert [(point.as_int, values(point.attributes)) for point in found.sum.data_points] == [
        (1, {"fluxtrail.stage": "applied"})
    ]


def test_exemplars_lead_to_the_trace_of_the_newest_sample() -> None:
    (point,) = metric(taken(FACTS), "flux-commit-tracker.e2e.export-time").exponential_histogram.data_points
    (exemplar,) = point.exemplars
    assert (exemplar.as_double, exemplar.trace_id) == (1500.0, trace_id("github.com/acme/shop", SHA))


def test_a_sample_of_a_forgotten_commit_has_no_exemplar() -> None:
    (point,) = metric(taken(FACTS, commits={}), "flux-commit-tracker.e2e.export-time").exponential_histogram.data_points
    assert list(point.exemplars) == []


def test_no_metric_has_a_sha() -> None:
    text = str(taken(FACTS, CARRIER_FACTS))
    assert SHA not in text
    assert CARRIER_SHA not in text


def test_a_fleet_is_sent_in_parts_that_a_receiver_takes() -> None:
    fleet = [
        msgspec.structs.replace(FACTS, commit_id=number, target_id=number, name=f"app-{number}")
        for number in range(1, 8)
    ]
    whole = taken(*fleet)
    split = list(parts(whole, points=5))
    sizes = [len(_named(part)) for part in split]
    assert max(sizes) <= 5
    assert sum(sizes) == len(_named(whole))
    assert [point for part in split for point in _named(part)] == _named(whole)
    for part in split:
        for scope in part:
            for item in scope.metrics:
                assert item.unit == metric(whole, item.name).unit
                assert _temporality(item) == _temporality(metric(whole, item.name))


def _named(found: list[ScopeMetrics]) -> list[tuple[str, Any]]:
    return [(item.name, point) for scope in found for item in scope.metrics for point in _points(item)]


def _points(item: Metric) -> Any:
    return getattr(item, str(item.WhichOneof("data"))).data_points


def _temporality(item: Metric) -> Any:
    return getattr(getattr(item, str(item.WhichOneof("data"))), "aggregation_temporality", 0)
