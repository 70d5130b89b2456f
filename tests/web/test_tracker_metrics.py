"""deployment-tracker's metrics: exact names, types, labels and buckets, in both forms."""

from __future__ import annotations

import re
import shutil

import anyio
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.web.conftest import Ask

from fluxtrail.remotes.github.artifact_calls import ClientCounters
from fluxtrail.web.tracker_metrics import BUCKETS_SECONDS, NAMES, TrackerCounters

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
TYPES = {
    "deptracker_events_processed_ok": "counter",
    "deptracker_events_processed_failed": "counter",
    "deptracker_events_processed_timer": "histogram",
    "deptracker_post_deployment_record_timer": "histogram",
    "deptracker_post_record_ok": "counter",
    "deptracker_post_record_unknown_artifact": "counter",
    "deptracker_post_record_rate_limited": "counter",
    "deptracker_post_record_soft_fail": "counter",
    "deptracker_post_record_hard_fail": "counter",
    "deptracker_post_record_client_error": "counter",
    "deptracker_post_record_unknown_artifact_cache_hit": "counter",
}
"""As the tool has them."""
LE = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
"""As Go writes them."""

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def tracked() -> TrackerCounters:
    counters = TrackerCounters(post_record_unknown_artifact_cache_hit=6)
    posts = ClientCounters(post_record_ok=7, post_record_unknown_artifact=2, post_record_rate_limited=1)
    posts.post_record_soft_fail, posts.post_record_hard_fail, posts.post_record_client_error = 3, 4, 5
    counters.take_posts(posts)
    counters.note_event("CREATED", is_ok=True, seconds=0.005)
    counters.note_event("CREATED", is_ok=True, seconds=2.0)
    counters.note_event("DELETED", is_ok=False, seconds=99.0)
    counters.post_seconds.observe(0.3)
    return counters


def key(metric: str, /, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return metric, frozenset(labels.items())


def read_text(body: bytes) -> Values:
    """The samples under the names that are written; prometheus_client's parser gives counters a `_total`."""
    text = body.decode()
    assert list(parse_text(text))
    return {
        (match[1], frozenset(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))): float(match[3])
        for line in text.splitlines()
        if not line.startswith("#") and (match := re.fullmatch(r"(\w+)(\{.*\})? (\S+)", line))
    }


def check_values(found: Values, le: list[str]) -> None:
    assert found[key("deptracker_events_processed_ok", event_type="CREATED")] == 2
    assert found[key("deptracker_events_processed_ok", event_type="DELETED")] == 0
    assert found[key("deptracker_events_processed_failed", event_type="DELETED")] == 1
    numbers = {"ok": 7, "unknown_artifact": 2, "rate_limited": 1, "soft_fail": 3, "hard_fail": 4, "client_error": 5}
    for name, value in (numbers | {"unknown_artifact_cache_hit": 6}).items():
        assert found[key(f"deptracker_post_record_{name}")] == value
    ok = [found[key("deptracker_events_processed_timer_bucket", status="ok", le=bound)] for bound in le]
    assert ok == [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]
    failed = [found[key("deptracker_events_processed_timer_bucket", status="failed", le=bound)] for bound in le]
    assert failed == [0] * 11 + [1]
    assert found[key("deptracker_events_processed_timer_sum", status="ok")] == 2.005
    assert found[key("deptracker_post_deployment_record_timer_count")] == 1
    assert found[key("deptracker_post_deployment_record_timer_sum")] == 0.3


@pytest.mark.parametrize("listener", ["metrics", "tracker"])
async def test_names_types_labels_and_buckets_are_the_tools(ask: Ask, listener: str) -> None:
    answer = await ask(listener, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    told = dict(re.findall(r"^# TYPE (deptracker_\w+) (\w+)$", answer.body.decode(), re.MULTILINE))
    assert told == TYPES
    check_values(read_text(answer.body), LE)
    assert b"deptracker" in answer.body
    assert not re.search(rb"deptracker_\w+_(total|created|seconds)\b", answer.body)


async def test_samples_have_the_same_names_in_openmetrics(ask: Ask) -> None:
    answer = await ask("metrics", "/metrics", headers=OPENMETRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    text = answer.body.decode()
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    families = {f.name: f for f in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
    assert {name: families[name].type for name in TYPES} == {
        name: "unknown" if kind == "counter" else kind for name, kind in TYPES.items()
    }
    samples = {(s.name, frozenset(s.labels.items())): s.value for f in families.values() for s in f.samples}
    check_values(samples, [*(repr(bound) for bound in BUCKETS_SECONDS), "+Inf"])


async def test_the_port_of_the_tool_has_its_metrics_and_the_process_alone(ask: Ask) -> None:
    body = (await ask("tracker", "/metrics", headers=OPENMETRICS)).body.decode()
    names = set(re.findall(r"^# TYPE (\w+) ", body, re.MULTILINE))
    assert {name for name in names if not name.startswith("process_")} == set(TYPES)
    assert "process_resident_memory_bytes" in names
    assert "# EOF" not in body
    assert (await ask("tracker", "/")).status == 404


def test_every_family_is_in_the_table_of_this_test() -> None:
    assert set(NAMES) == set(TYPES)


async def test_records_are_a_gauge_by_cluster_status_and_standing(ask: Ask) -> None:
    found = read_text((await ask("metrics", "/metrics")).body)
    name = "fluxtrail_deployment_records"
    assert found[key(name, cluster="prod-us", status="deployed", told="unknown")] == 1
    assert found[key(name, cluster="staging", status="decommissioned", told="told")] == 1


@pytest.mark.requires("prometheus")
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.process
async def test_promtool_reads_the_port_of_the_tool(ask: Ask) -> None:
    body = (await ask("tracker", "/metrics")).body
    done = await anyio.run_process(["promtool", "check", "metrics"], input=body, check=False)
    # It parses, and then objects to the names: counters should end in "_total". They are the tool's.
    complaints = [line for line in done.stderr.decode().splitlines() if line]
    assert complaints
    assert all(line.endswith('counter metrics should have "_total" suffix') for line in complaints)
