from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from fluxtrail.simulator.compare import compare, compare_counts

Json = dict[str, Any]

TARGET = "Kustomization/flux-system/apps"
TRUE: Json = {
    "sha": "a" * 40,
    "subject": "Do it",
    "is_export": False,
    "is_carrier": False,
    "is_exported": True,
    "is_dropped": False,
    "deliveries": [
        {
            "cluster": "staging",
            "target": TARGET,
            "verdict": "deployed",
            "via": "b" * 40,
            "revisions": ["b" * 40, "d" * 40],
            "undone_by": None,
            "succeeded_at": "2026-03-01T12:00:20.500000Z",
            "stages": {"merged": "2026-03-01T12:00:05.250000Z", "applied": "2026-03-01T12:00:20.500000Z"},
        }
    ],
}
MERGED = {"at": "2026-03-01T12:00:05Z", "evidence": "pull_request_merged", "precision": "exact"}
APPLIED = {"at": "2026-03-01T12:00:20Z", "evidence": "ready_condition", "precision": "exact"}


def said(**changes: Any) -> list[Json]:
    delivery = {
        "cluster": "staging",
        "target": TARGET,
        "verdict": "deployed",
        "via": "b" * 40,
        "undone_by": None,
        "stages": {"merged": MERGED, "applied": APPLIED},
    }
    return [{"sha": "a" * 40, "repository": "acme/shop", "deliveries": [delivery | changes]}]


def applied(**changes: Any) -> list[Json]:
    return said(stages={"merged": MERGED, "applied": APPLIED | changes})


def test_what_is_as_it_was_makes_no_difference() -> None:
    assert compare([TRUE], said()) == []


@pytest.mark.parametrize(
    ("commits", "difference"),
    [
        ([], "unknown to Fluxtrail"),
        ([{"sha": "a" * 40, "deliveries": []}], "no delivery, true is deployed"),
        (said(cluster="other"), "no delivery"),
        (said(verdict="failed"), "verdict failed, true is deployed"),
        (said(via=None), "via None, true is bbb"),
        (said(undone_by="c" * 40), "undone_by ccc"),
        (said(stages={"merged": MERGED}), "no applied, true is"),
        (said(stages={"merged": MERGED, "applied": APPLIED, "healthy": APPLIED}), "in truth it has no such stage"),
        (applied(at="2026-03-01T12:00:18Z"), "applied .* exact"),
        (applied(at="2026-03-01T12:00:18Z", precision="observed"), "applied .* observed"),
        (applied(at="2026-03-01T12:00:30Z", precision="estimated"), "applied .* estimated"),
        (
            applied(at="2026-03-01T12:00:40Z", precision="observed", not_before="2026-03-01T12:00:30Z"),
            "applied .* observed",
        ),
        (
            applied(
                at="2026-03-01T12:01:00Z",
                precision="estimated",
                not_before="2026-03-01T12:00:50Z",
                not_after="2026-03-01T12:01:00Z",
            ),
            "applied .* estimated",
        ),
    ],
)
def test_every_difference_is_told(commits: list[Json], difference: str) -> None:
    lines = compare([TRUE], commits)
    assert any(re.search(difference, line) for line in lines), lines


@pytest.mark.parametrize(
    "moment",
    [
        {"at": "2026-03-01T12:00:21Z", "precision": "observed"},
        {"at": "2026-03-01T12:00:02Z", "precision": "estimated"},
        {"at": "2026-03-01T12:00:40Z", "precision": "observed", "not_before": "2026-03-01T12:00:10Z"},
        {
            "at": "2026-03-01T12:09:00Z",
            "precision": "estimated",
            "not_before": "2026-03-01T12:00:00Z",
            "not_after": "2026-03-01T12:09:00Z",
        },
    ],
)
def test_a_moment_that_keeps_its_promise_is_no_difference(moment: Json) -> None:
    assert compare([TRUE], applied(**moment)) == []


def test_moments_of_the_unaffected_are_not_compared() -> None:
    true = copy.deepcopy(TRUE)
    true["deliveries"][0] |= {"verdict": "unaffected", "via": None, "stages": {"merged": "2026-03-01T12:00:05Z"}}
    assert compare([true], said(verdict="unaffected", via=None, stages={})) == []


def test_what_cannot_be_known_may_be_absent_but_not_wrong() -> None:
    fetched = {"at": "2026-03-01T12:00:10Z", "evidence": "artifact_last_update_time", "precision": "exact"}
    true = copy.deepcopy(TRUE)
    true["deliveries"][0]["stages"]["fetched"] = "2026-03-01T12:00:10.5Z"
    assert compare([true], said(), was_away=True) == []
    assert compare([true], said()) != []
    late = {"merged": MERGED, "applied": APPLIED, "fetched": fetched | {"at": "2026-03-01T12:00:50Z"}}
    assert compare([true], said(stages=late), was_away=True) != []


def test_what_ran_may_be_unknown_after_an_absence_where_that_is_said() -> None:
    true = copy.deepcopy(TRUE)
    true["deliveries"][0]["stages"]["running"] = "2026-03-01T12:00:30.5Z"
    assert compare([true], said(running="unknown"), was_away=True) == []
    assert compare([true], said(running="unknown")) != []
    assert compare([true], said(running="absent"), was_away=True) != []
    early = {"merged": MERGED, "applied": APPLIED, "running": APPLIED}
    assert compare([true], said(running="unknown", stages=early), was_away=True) != []
    no_fetch = copy.deepcopy(true)
    no_fetch["deliveries"][0]["stages"]["healthy"] = "2026-03-01T12:00:30.5Z"
    assert compare([no_fetch], said(running="unknown"), was_away=True) != []


BRACKETED = APPLIED | {
    "precision": "estimated",
    "not_before": "2026-03-01T12:00:10Z",
    "not_after": "2026-03-01T12:00:30Z",
}


@pytest.mark.parametrize("via", ["d" * 40, None], ids=["a later one", "unknown"])
def test_after_an_absence_the_carrier_may_be_unknown_where_the_moment_says_so(via: str | None) -> None:
    stages = {"merged": MERGED, "applied": BRACKETED}
    assert compare([TRUE], said(via=via, stages=stages), was_away=True) == []
    assert compare([TRUE], said(via=via, stages=stages)) != []
    assert compare([TRUE], said(via=via), was_away=True) != []
    assert compare([TRUE], said(via="e" * 40, stages=stages), was_away=True) != []


@pytest.mark.parametrize("is_dropped", [True, False])
def test_who_was_never_concerned_need_not_be_named_for_a_dropped_commit(is_dropped: bool) -> None:
    true = copy.deepcopy(TRUE) | {"is_dropped": is_dropped}
    true["deliveries"][0]["verdict"] = "unaffected"
    assert bool(compare([true], [{"sha": "a" * 40, "deliveries": []}])) is not is_dropped


def test_histogram_counts_are_those_of_what_succeeded() -> None:
    family = "flux_commit_tracker_e2e_export_time_seconds"
    exact = {
        (family, "staging", "apps"): 1,
        ("flux_commit_tracker_kube_manifests_exporter_export_time_seconds", "staging", "apps"): 1,
    }
    assert compare_counts([TRUE], exact) == []
    assert compare_counts([TRUE], exact | {(family, "staging", "apps"): 2}) == [
        f"{family} of apps on staging: 2, true is 1"
    ]
    assert len(compare_counts([TRUE], {})) == 2
    assert compare_counts([TRUE], exact | {(family, "staging", "other"): 1}) != []


@pytest.mark.parametrize("kind", ["is_export", "is_carrier"])
def test_histograms_have_the_reconciliation_of_exports_and_of_image_automation(kind: str) -> None:
    true = TRUE | {"is_exported": False, kind: True}
    assert compare_counts([true], {("flux_commit_tracker_flux_reconcile_time_seconds", "staging", "apps"): 1}) == []


RELEASE: Json = TRUE["deliveries"][0] | {
    "target": "HelmRelease/platform/catalogue",
    "via": None,
    "revisions": ["c" * 40],
    "charts": {"c" * 40: "2026-03-01T12:00:18.250000Z"},
}


@pytest.mark.parametrize(
    ("via", "fetched", "is_true"),
    [(None, None, True), ("c" * 40, 18, True), (None, 18, True), ("d" * 40, None, False), (None, 30, False)],
    ids=["silent", "its chart", "its chart's fetch", "another chart", "another fetch"],
)
def test_release_may_say_which_chart_brought_a_commit(via: str | None, fetched: int | None, is_true: bool) -> None:
    moment = {"at": f"2026-03-01T12:00:{fetched}Z", "evidence": "artifact_last_update_time", "precision": "exact"}
    stages = {"merged": MERGED, "applied": APPLIED} | ({"fetched": moment} if fetched else {})
    told = said(target=RELEASE["target"], via=via, stages=stages)
    assert (compare([TRUE | {"deliveries": [RELEASE]}], told) == []) is is_true


BUILT: Json = TRUE | {"build_state": "succeeded"}


def test_a_build_is_compared_where_ci_is_simulated() -> None:
    told = [commit | {"build_state": "succeeded"} for commit in said()]
    assert compare([BUILT], told) == []
    [line] = compare([BUILT], [commit | {"build_state": "failed"} for commit in said()])
    assert line.endswith("build failed, true is succeeded")
    assert compare([TRUE], [commit | {"build_state": None} for commit in said()]) == []


def test_when_it_was_built_is_compared_as_any_stage() -> None:
    true = copy.deepcopy(BUILT)
    true["deliveries"][0]["stages"]["built"] = "2026-03-01T12:00:10.400000Z"
    moment = {"at": "2026-03-01T12:00:10Z", "evidence": "ci_run", "precision": "exact"}
    for at, count in (("2026-03-01T12:00:10Z", 0), ("2026-03-01T12:00:13Z", 1)):
        told = said(stages={"merged": MERGED, "built": moment | {"at": at}, "applied": APPLIED})
        assert len(compare([true], [told[0] | {"build_state": "succeeded"}])) == count
    [line] = compare([true], [said()[0] | {"build_state": "succeeded"}])
    assert "no built, true is" in line
