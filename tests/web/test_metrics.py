from __future__ import annotations

import gzip
import shutil
from datetime import timedelta

import anyio
import msgspec
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.web.conftest import Ask
from tests.web.worlds import ON_ITS_WAY, World, at

from fluxtrail.clusters.subjects import WatchStats
from fluxtrail.model.distribution import Spread
from fluxtrail.model.figures import Figures
from fluxtrail.model.moment import Evidence, bracket, exact
from fluxtrail.model.views import DeliveryFacts
from fluxtrail.web.measures import Kind, Measure, MetricSource, counter, gauge, watch_measures

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
HOSTILE = 'quote " slash \\ line\nend'


def facts(**known: object) -> DeliveryFacts:
    base = DeliveryFacts(
        commit_id=1,
        target_id=1,
        cluster="prod-eu",
        namespace="flux-system",
        name=HOSTILE,
        kind="Kustomization",
        is_carrier=False,
        has_carrier=True,
        merged=exact(at(0), Evidence.PULL_REQUEST),
        exported=exact(at(60), Evidence.BRANCH_MOVED),
        stated_at=at(-30),
        carrier_committed_at=at(58),
        fetched=exact(at(75), Evidence.ARTIFACT),
        applied=exact(at(130), Evidence.HEALTH_CHECKS_STARTED),
        healthy=bracket(at(135), at(150)),
        succeeded=exact(at(150), Evidence.READY_CONDITION),
        is_scope_unknown=False,
    )
    return msgspec.structs.replace(base, **known)


class Watchers:
    def measures(self) -> list[Measure]:
        stats = WatchStats(lists=2, events=40, last_byte_at=at(100))
        return [
            *watch_measures([("prod-eu", "Kustomization", stats), ("prod-us", "Kustomization", WatchStats())]),
            gauge("fluxtrail_ledger_size_bytes", "Size of the ledger.", 4096),
            counter("fluxtrail_ledger_commits", "Transactions.", 12),
            Measure(
                name="fluxtrail_ledger_wait_seconds",
                help="Waits.",
                kind=Kind.HISTOGRAM,
                labels=("transaction",),
                spreads=[(("unit",), Spread(((0.5, 2), (float("inf"), 3)), 7.25))],
            ),
        ]


@pytest.fixture
def sources() -> list[MetricSource]:
    return [Watchers()]


@pytest.fixture
def figures() -> Figures:
    figures = Figures()
    figures.add(facts())
    figures.add(facts(commit_id=2, is_carrier=True, stated_at=None, is_scope_unknown=True, fetched=None))
    return figures


async def values(ask: Ask) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = (await ask("metrics", "/metrics")).body.decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def key(metric: str, /, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return metric, frozenset(labels.items())


async def test_figures_are_served_with_escaped_labels(ask: Ask) -> None:
    found = await values(ask)
    target = {"cluster": "prod-eu", "namespace": "flux-system", "name": HOSTILE, "kind": "Kustomization"}
    duration = "fluxtrail_delivery_duration_seconds"
    assert found[key(f"{duration}_sum", **target, stage="fetched")] == 15.0
    assert found[key(f"{duration}_bucket", **target, stage="fetched", le="15.0")] == 1
    assert found[key(f"{duration}_bucket", **target, stage="fetched", le="5.0")] == 0
    assert found[key("fluxtrail_lead_time_seconds_count", **target)] == 1
    assert found[key("fluxtrail_moments_estimated_total", stage="healthy")] == 2
    assert found[key("fluxtrail_deliveries_scope_unknown_total", cluster="prod-eu")] == 1
    assert found[key(f"{duration}_created", **target, stage="fetched")] == at(-86400).timestamp()


async def test_the_old_tools_histograms_have_its_names(ask: Ask) -> None:
    found = await values(ask)
    target = {"k8s_cluster_name": "prod-eu", "k8s_namespace_name": "flux-system", "k8s_resource_name": HOSTILE}
    prefix = "flux_commit_tracker"
    assert found[key(f"{prefix}_e2e_export_time_seconds_sum", **target)] == 180.0
    assert found[key(f"{prefix}_kube_manifests_exporter_export_time_seconds_sum", **target)] == 88.0
    assert found[key(f"{prefix}_flux_reconcile_time_seconds_sum", **target)] == 92.0


async def test_gauges_tell_what_is_on_its_way(ask: Ask) -> None:
    found = await values(ask)
    us = {"cluster": "prod-us", "namespace": "flux-system", "name": "apps", "kind": "Kustomization"}
    staging = {"cluster": "staging", "namespace": "flux-system", "name": "apps", "kind": "Kustomization"}
    assert found[key("fluxtrail_commits_inflight", **us)] == 1
    assert found[key("fluxtrail_commits_oldest_age_seconds", **us)] == 0
    assert found[key("fluxtrail_commits_oldest_age_seconds", **staging)] == 1800
    assert found[key("fluxtrail_attribution_pending")] == 2
    assert found[key("fluxtrail_attribution_gaps_total")] == 1


async def test_self_metrics_of_other_parts_are_served(ask: Ask) -> None:
    found = await values(ask)
    eu = {"cluster": "prod-eu", "kind": "Kustomization"}
    assert found[key("fluxtrail_watch_events_total", **eu)] == 40
    assert found[key("fluxtrail_watch_last_byte_timestamp_seconds", **eu)] == at(100).timestamp()
    assert key("fluxtrail_watch_last_byte_timestamp_seconds", cluster="prod-us", kind="Kustomization") not in found
    assert found[key("fluxtrail_ledger_size_bytes")] == 4096
    assert found[key("fluxtrail_ledger_commits_total")] == 12
    (build,) = [labels for name, labels in found if name == "fluxtrail_build_info"]
    assert {"version", "python"} == {name for name, _ in build}
    assert found[key("process_resident_memory_bytes")] > 0


async def test_openmetrics_where_it_is_accepted(ask: Ask) -> None:
    answer = await ask("metrics", "/metrics", headers=OPENMETRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    text = answer.body.decode()
    assert text.endswith("# EOF\n")
    families = {family.name: family for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
    assert families["fluxtrail_lead_time_seconds"].type == "histogram"


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain;version=nonsense", "application/json", "\xff;;,,"])
async def test_text_for_everybody_else(ask: Ask, accept: str) -> None:
    answer = await ask("metrics", "/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_gzip_where_it_is_accepted(ask: Ask) -> None:
    answer = await ask("metrics", "/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert b"fluxtrail_lead_time_seconds" in gzip.decompress(answer.body)
    plain = await ask("metrics", "/metrics", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


async def test_no_sha_is_ever_a_label(ask: Ask) -> None:
    body = (await ask("metrics", "/metrics")).body.decode()
    assert ON_ITS_WAY[:7] not in body
    assert "sha" not in {name for family in parse_text(body) for s in family.samples for name in s.labels}


async def test_an_idle_server_has_its_families_without_samples(ask: Ask, figures: Figures) -> None:
    figures.__init__()  # type: ignore[misc]
    body = (await ask("metrics", "/metrics")).body.decode()
    assert "# TYPE fluxtrail_delivery_duration_seconds histogram" in body
    assert "fluxtrail_delivery_duration_seconds_count" not in body


async def test_a_ledger_that_cannot_be_read_fails_the_scrape(ask: Ask, world: World) -> None:
    world.fails = True
    answer = await ask("metrics", "/metrics")
    assert answer.status == 503
    assert b"locked" in answer.body


async def test_age_never_is_negative(ask: Ask, world: World) -> None:
    world.now = at(0) - timedelta(seconds=5)
    staging = {"cluster": "staging", "namespace": "flux-system", "name": "apps", "kind": "Kustomization"}
    assert (await values(ask))[key("fluxtrail_commits_oldest_age_seconds", **staging)] == 0


async def test_other_paths_are_not_found(ask: Ask) -> None:
    assert (await ask("metrics", "/")).status == 404
    assert (await ask("metrics", "/metrics", "POST")).status == 404


@pytest.mark.requires("prometheus")
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.process
async def test_promtool_has_no_complaint(ask: Ask) -> None:
    body = (await ask("metrics", "/metrics")).body
    done = await anyio.run_process(["promtool", "check", "metrics"], input=body, check=False)
    # deployment-tracker's counters have no "_total": those names are kept.
    complaints = [line for line in done.stderr.decode().splitlines() if not line.startswith("deptracker_")]
    assert not complaints
    assert b"error while linting" not in done.stderr


async def test_a_part_may_hand_over_a_histogram(ask: Ask) -> None:
    name, found = "fluxtrail_ledger_wait_seconds", await values(ask)
    told = {one: found[key(f"{name}_bucket", transaction="unit", le=one)] for one in ("0.5", "+Inf")}
    assert told == {"0.5": 2, "+Inf": 3}
    assert found[key(f"{name}_count", transaction="unit")] == 3
    assert found[key(f"{name}_sum", transaction="unit")] == 7.25
    text = (await ask("metrics", "/metrics", headers=OPENMETRICS)).body.decode()
    parsed: list[Metric] = list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
    (family,) = [one for one in parsed if one.name == name]
    assert family.type == "histogram"
