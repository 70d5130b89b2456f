"""Every query of Flux's two dashboards, official and ours: a real Prometheus answers what the cluster holds."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from tests.prometheus.checks import (
    RECONCILERS,
    SOURCES,
    Check,
    averaged,
    counted,
    ended,
    is_between,
    listed,
    quantile,
    requested,
    served,
)
from tests.prometheus.live import COUNTERS, NAMESPACES, Moment, Story, play, queries
from tests.prometheus.objects import KINDS, STATIC, TEAMS, labels_of, rows

pytestmark = [pytest.mark.requires("prometheus"), pytest.mark.timeout(120)]
MOMENTS = Story._fields[:3]
GIB = 2.0**30
STATS: dict[str, Check] = {
    "Cluster Reconcilers": counted(*RECONCILERS),
    "Failing Reconcilers": counted(*RECONCILERS, ready="False"),
    "Kubernetes Manifests Sources": counted(*SOURCES),
    "Failing Sources": counted(*SOURCES, ready="False"),
    "Reconciler ops avg. duration": averaged(RECONCILERS, "kind"),
    "Source ops avg. duration": averaged(SOURCES, "kind"),
    "Cluster reconciliation readiness": listed(*RECONCILERS),
    "Source acquisition readiness": listed(*SOURCES),
    "Suspended Objects": listed(suspended="true"),
    "Cluster reconciliation duration": averaged(RECONCILERS, "kind", "name"),
    "Source acquisition duration": averaged(SOURCES, "kind", "name"),
}
BUSY: dict[str, Check] = {
    "Reconciler ops avg. duration": averaged(RECONCILERS, "kind", only_busy=True),
    "Source ops avg. duration": averaged(SOURCES, "kind", only_busy=True),
    "Cluster reconciliation duration": averaged(RECONCILERS, "kind", "name", only_busy=True),
    "Source acquisition duration": averaged(SOURCES, "kind", "name", only_busy=True),
}
"""Ours leave out what there is no number of; the official ones plot it as nothing."""
CONTROLLERS = {
    "Cluster Reconciliations": "kustomization",
    "Git Repos": "gitrepository",
    "OCI Repos": "ocirepository",
    "Helm Repos": "helmrepository",
    "Buckets": "bucket",
    "Helm Releases": "helmrelease",
    "Helm Charts": "helmchart",
}


def of_programs(*, seconds: float, increase_seconds: float) -> dict[str, Check]:
    """The panels of the control plane, with ranges of so many seconds."""
    share = 60 / increase_seconds
    return {
        "Controllers/A": is_between(3, 3),
        "Max Work Queue": is_between(0, 0),
        "Memory/A": is_between(0.01 * GIB, 12 * GIB),
        "API Requests/A": requested(seconds),
        "Kubernetes API Requests/A": requested(seconds),
        "Kubernetes API Requests/B": requested(seconds, only_failed=True),
        "CPU Usage/A": is_between(0, 8, series=3),
        "Memory Usage/A": is_between(0.01 * GIB, 4 * GIB, series=3),
        "Cluster Reconciliation Duration": is_between(0, 0),
        **{
            f"Helm Release Duration/{letter}": quantile(part)
            for letter, part in zip("ABC", (0.5, 0.9, 0.99), strict=True)
        },
        **{
            f"{title} ops/min/{letter}": ended(controller, has_failed=letter == "B", share=share)
            for title, controller in CONTROLLERS.items()
            for letter in "AB"
        },
    }


CHECKS: dict[str, tuple[Check, list[str]]] = {
    **{f"official all/{title}": (check, NAMESPACES) for title, check in STATS.items()},
    **{f"official one/{title}": (check, [TEAMS[0]]) for title, check in STATS.items()},
    **{f"flux-cluster/{title}": (check, NAMESPACES) for title, check in STATS.items()},
    **{f"flux-cluster/{title}": (check, NAMESPACES) for title, check in BUSY.items()},
    **{f"official/{title}": (check, []) for title, check in of_programs(seconds=60, increase_seconds=60).items()},
    **{
        f"flux-control-plane/{title}": (check, [])
        for title, check in of_programs(seconds=300, increase_seconds=300).items()
    },
    "deliveries/Failing now": (listed(*RECONCILERS, ready="False"), NAMESPACES),
    "deliveries/In flight/A": (served("fluxtrail_commits_inflight"), []),
    "deliveries/Commits not found out/B": (served("fluxtrail_attribution_pending", total=max), []),
    "fluxtrail/Clusters": (is_between(1, 1), []),
    "fluxtrail/Syncs to attribute": (served("fluxtrail_attribution_pending", total=max), []),
    "fluxtrail/Reports waiting": (served("fluxtrail_reports_waiting"), []),
}
"""By the panel's name, with its query's letter where it has several, or where names repeat."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus (Debian: prometheus) is not installed")
    with pytest.MonkeyPatch.context() as environment:
        for name in [*os.environ]:
            if name.startswith("FLUXTRAIL_") and not name.startswith("FLUXTRAIL_TEST_"):
                environment.delenv(name)
        yield asyncio.run(play(tmp_path_factory.mktemp("prometheus")))


@pytest.mark.parametrize("moment", MOMENTS[:2])
def test_the_cluster_holds_every_kind_in_every_state(story: Story, moment: str) -> None:
    """Or the tests below would show little."""
    objects = getattr(story, moment).objects
    for definition in KINDS:
        found = rows(objects, definition.kind)
        assert any("suspended" in row for row in found), definition.kind
        if definition.kind not in STATIC:
            assert {row.get("ready") for row in found} >= {"True", "False"}, definition.kind
            assert definition.kind == "HelmRepository" or any("ready" not in row for row in found), definition.kind


@pytest.mark.parametrize("moment", MOMENTS)
def test_each_object_is_one_series_with_its_labels(story: Story, moment: str) -> None:
    listed()(getattr(story, moment), getattr(story, moment).answers["raw/gotk_resource_info"], NAMESPACES)


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_panel_shows_what_there_is(story: Story, moment: str) -> None:
    found: Moment = getattr(story, moment)
    wrong = {}
    for name, answer in found.answers.items():
        title = name if name in CHECKS else name.rpartition("/")[0]
        if title not in CHECKS:
            assert name.startswith(("raw/", "deliveries/", "fluxtrail/")), f"nothing is known of {name}"
            continue
        check, namespaces = CHECKS[title]
        try:
            check(found, answer, namespaces)
        except (AssertionError, ValueError) as exc:
            wrong[name] = f"{exc}: {queries()[name]}"
    assert wrong == {}


def test_every_check_is_of_a_panel(story: Story) -> None:
    names = {*story.before.answers} | {name.rpartition("/")[0] for name in story.before.answers}
    assert CHECKS.keys() <= names


@pytest.mark.parametrize("name", COUNTERS)
def test_the_counters_are_those_of_the_programs(story: Story, name: str) -> None:
    for moment in (story.before, story.after, story.gone):
        found = {_key(labels): value for labels, value in moment.answers[f"raw/{name}"]}
        assert found == {_key(labels): pytest.approx(value) for labels, value in moment.programs[name]}


def test_something_was_reconciled_meanwhile(story: Story) -> None:
    grown = {
        labels["controller"]: value
        for labels, value in story.after.increases["controller_runtime_reconcile_total"]
        if labels["result"] == "requeue_after"
    }
    assert min(grown[controller] for controller in ("kustomization", "gitrepository", "helmrelease")) > 0
    assert grown["bucket"] == 0


def test_namespaces_to_choose_from_are_those_of_the_objects(story: Story) -> None:
    assert story.before.namespaces == sorted(NAMESPACES)


def test_what_was_deleted_is_gone_at_the_next_scrape(story: Story) -> None:
    def named(moment: Moment) -> set[tuple[str, str, str]]:
        answer = moment.answers["raw/gotk_resource_info"]
        return {(row["customresource_kind"], row["exported_namespace"], row["name"]) for row, _ in answer}

    assert named(story.after) - named(story.gone) == {
        ("Kustomization", TEAMS[0], "good"),
        ("GitRepository", TEAMS[0], "failing"),
        ("HelmRelease", TEAMS[0], "held"),
        ("Alert", TEAMS[0], "held"),
    }
    assert not named(story.gone) - named(story.after)


def test_a_failure_of_the_script_is_seen(story: Story) -> None:
    failing = [labels_of(obj)["name"] for obj in story.after.objects if labels_of(obj).get("ready") == "False"]
    assert "infra" in failing
    assert "infra" in {row["name"] for row, _ in story.after.answers["deliveries/Failing now/A"]}
    assert "infra" not in {row["name"] for row, _ in story.before.answers["deliveries/Failing now/A"]}


def _key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """A counter's own labels and its pod. A scrape gives it the pod's namespace, and renames its own."""
    kept = {key: text for key, text in labels.items() if key not in ("instance", "job", "cluster", "namespace")}
    if "kind" in kept:
        kept["namespace"] = kept.pop("exported_namespace", labels["namespace"])
    return tuple(sorted(kept.items()))


def test_promtool_has_no_complaint_about_the_text(story: Story) -> None:
    assert complaints(story.text) == ""


def test_promtool_has_no_complaint_about_openmetrics(story: Story) -> None:
    families = {family.name: family for family in parse_openmetrics(story.openmetrics)}  # type: ignore[no-untyped-call]
    assert families["gotk_resource"].type == "info"
    assert complaints(as_text(story.openmetrics)) == ""


def test_both_formats_hold_the_same_series(story: Story) -> None:
    def lines(text: str) -> set[str]:
        return {line for line in text.splitlines() if line.startswith("gotk_resource_info{")}

    assert lines(story.text) == lines(story.openmetrics)
    assert len(lines(story.text)) == len(story.gone.objects)


def as_text(openmetrics: str) -> str:
    """Return OpenMetrics as the older text, which is all that promtool reads: other types, other names of families."""
    suffixes = {"info": "_info", "counter": "_total"}
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", openmetrics, re.MULTILINE))
    written = []
    for line in openmetrics.splitlines():
        head = re.match(r"# (HELP|TYPE) (\S+) (.*)$", line)
        if head is not None:
            word, name, rest = head.groups()
            if word == "TYPE":
                rest = {"info": "gauge", "stateset": "gauge", "unknown": "untyped"}.get(rest, rest)
            written.append(f"# {word} {name}{suffixes.get(types[name], '')} {rest}")
        elif not line.startswith("#") and "_created" not in line:
            written.append(line)
    return "\n".join(written) + "\n"


def complaints(text: str) -> str:
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
