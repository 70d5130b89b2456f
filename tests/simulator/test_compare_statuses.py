"""The oracle of statuses: what is right for a commit in an environment, and where a forge holds something else."""

from __future__ import annotations

from typing import Any

import pytest

from fluxtrail.simulator.compare_statuses import differences_of_statuses, repeated_statuses, right_statuses

SHA = "a" * 40
APPS = "Kustomization/flux-system/apps"
ENVIRONMENTS = [{"name": "staging", "clusters": ["staging"]}, {"name": "production", "clusters": ["prod-*"]}]


def delivery(cluster: str, verdict: str, target: str = APPS) -> dict[str, Any]:
    return {"cluster": cluster, "target": target, "verdict": verdict}


def commit(*deliveries: dict[str, Any]) -> dict[str, Any]:
    return {"repository": "acme/shop", "sha": SHA, "deliveries": list(deliveries)}


def status(state: str, environment: str = "production", **more: Any) -> dict[str, Any]:
    base = {"system": "github", "repository": "acme/shop", "sha": SHA, "context": f"fluxtrail/{environment}"}
    return base | {"state": state, "description": "d", "repeats": 0} | more


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        (("deployed", "deployed"), {"success"}),
        (("deployed", "unaffected"), {"success"}),
        (("deployed", "pending"), {"pending", "running"}),
        (("failed", "pending"), {"failure"}),
        (("failed", "rolled_back"), {"failure"}),
        (("rolled_back", "deployed"), {"error"}),
        (("rolled_back", "pending"), {"pending", "running"}),
        (("abandoned", "deployed"), {"success"}),
        (("lost", "lost"), {"error"}),
        (("unaffected", "unaffected"), {"neutral"}),
    ],
)
def test_right_status_follows_from_all_targets(verdicts: tuple[str, str], wanted: set[str]) -> None:
    truth = [commit(delivery("prod-eu", verdicts[0]), delivery("prod-us", verdicts[1]))]
    assert right_statuses(truth, ENVIRONMENTS) == {("acme/shop", SHA, "production"): frozenset(wanted)}


def test_environment_is_the_first_that_fits_or_the_cluster() -> None:
    environments = [{"name": "edge", "targets": ["*/edge"]}, *ENVIRONMENTS]
    truth = [
        commit(
            delivery("prod-eu", "deployed", "Kustomization/flux-system/edge"),
            delivery("prod-eu", "failed"),
            delivery("lab", "pending"),
        )
    ]
    assert {name for _, _, name in right_statuses(truth, environments)} == {"edge", "production", "lab"}


TRUTH = [commit(delivery("prod-eu", "deployed"), delivery("prod-us", "deployed"), delivery("staging", "failed"))]


def test_what_is_right_makes_no_line() -> None:
    told = [status("success"), status("failure", "Staging")]
    assert differences_of_statuses(TRUTH, told, ENVIRONMENTS) == []


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ([status("pending"), status("failure", "staging")], "in production: pending (d), true is success"),
        ([status("success")], "in staging: nothing is told, true is failure"),
        ([status("success"), status("error", "staging")], "in staging: error (d), true is failure"),
        ([status("success"), status("what", "staging")], "in staging: what (d), true is failure"),
    ],
)
def test_what_is_wrong_makes_one(told: list[dict[str, Any]], wanted: str) -> None:
    [line] = differences_of_statuses(TRUTH, told, ENVIRONMENTS)
    assert line == f"acme/shop {SHA[:9]} {wanted}"


def test_what_nobody_pushed_is_told_of_too() -> None:
    told = [status("success"), status("failure", "staging"), status("success", "lab")]
    [line] = differences_of_statuses(TRUTH, told, ENVIRONMENTS)
    assert "fluxtrail/lab is success" in line


def test_neutral_need_not_be_told() -> None:
    truth = [commit(delivery("staging", "unaffected"))]
    assert differences_of_statuses(truth, [], ENVIRONMENTS) == []
    assert differences_of_statuses(truth, [status("success", "staging")], ENVIRONMENTS) == []
    assert len(differences_of_statuses(truth, [status("pending", "staging")], ENVIRONMENTS)) == 1


def test_other_systems_and_repositories_are_left_out() -> None:
    told = [status("SUCCESSFUL", system="bitbucket"), status("FAILED", "staging", system="bitbucket")]
    assert differences_of_statuses(TRUTH, told, ENVIRONMENTS, system="bitbucket") == []
    assert differences_of_statuses(TRUTH, [], ENVIRONMENTS, repositories=("acme/manifests",)) == []


def test_repetitions_are_told_of() -> None:
    assert repeated_statuses([status("success")]) == []
    [line] = repeated_statuses([status("success", repeats=2)])
    assert "fluxtrail/production was told 2 times" in line
