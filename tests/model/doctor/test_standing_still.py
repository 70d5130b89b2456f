from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.model.doctor.wards import (
    NOW,
    READY,
    Object,
    ago,
    condition,
    findings_of,
    kustomization,
    patient_of,
    release,
    source,
)

from fluxtrail.model.doctor.drifting import Corrections
from fluxtrail.model.doctor.findings import Code
from fluxtrail.model.doctor.policy import V2BETA1, Abilities, Policy
from fluxtrail.model.doctor.ward import Locked


def suspended(at: str, manager: str = "flux") -> Object:
    owners = [
        {
            "manager": "kustomize-controller",
            "operation": "Apply",
            "time": ago(days=90),
            "fieldsV1": {"f:spec": {"f:path": {}}},
        },
        {"manager": manager, "operation": "Update", "time": at, "fieldsV1": {"f:spec": {"f:suspend": {}}}},
    ]
    return kustomization("apps", READY, spec={"suspend": True}, metadata={"managedFields": owners})


def test_what_has_been_suspended_too_long_is_said_with_by_whom_and_since_when() -> None:
    (found,) = findings_of(suspended(ago(days=3)))
    assert found.code is Code.SUSPENDED
    assert found.cause == "It has been suspended for 3d, by flux."
    assert found.since == NOW - timedelta(days=3)
    assert found.commands == ("fluxtrail gitops resume ks apps -n apps", "flux resume kustomization apps -n apps")


def test_what_was_suspended_an_hour_ago_is_somebodys_work() -> None:
    assert findings_of(suspended(ago(hours=1))) == ()
    assert findings_of(suspended(ago(hours=1)), policy=Policy(suspended_after=timedelta(minutes=30)))


def test_a_suspension_that_is_declared_is_to_be_resumed_where_it_is_declared() -> None:
    obj = suspended(ago(days=3), "kustomize-controller")
    obj["metadata"]["labels"] = {
        "kustomize.toolkit.fluxcd.io/name": "fleet",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
    }
    (found,) = findings_of(obj)
    assert found.advice == ("Kustomization/flux-system/fleet states it: resume it there.",)


def test_a_suspension_that_nobody_recorded_is_at_least_as_old_as_the_last_write() -> None:
    obj = kustomization("apps", READY, spec={"suspend": True}, metadata={"managedFields": []})
    (found,) = findings_of(obj)
    assert found.cause.endswith("nobody knows by whom.")


def test_a_suspended_object_has_no_other_finding() -> None:
    gone_up = [condition("Ready", "False", "UpgradeFailed"), condition("Stalled", "True", "RetriesExceeded")]
    assert (
        findings_of(
            release(
                "api",
                *gone_up,
                spec={"suspend": True},
                metadata={"managedFields": [], "creationTimestamp": ago(hours=1)},
            )
        )
        == ()
    )


def test_an_old_artifact_alone_is_not_stale() -> None:
    old = {"artifact": {"revision": "main@sha1:1", "lastUpdateTime": ago(days=400)}}
    assert findings_of(source("GitRepository", "fleet", READY, status=old)) == ()


def test_a_fetch_that_fails_says_how_old_is_what_was_fetched_last() -> None:
    (found,) = findings_of(
        source("GitRepository", "fleet", condition("FetchFailed", "True", "GitOperationFailed", "timeout"))
    )
    assert [(each.field, each.value) for each in found.evidence][-1] == ("status.artifact.lastUpdateTime", "2d ago")
    assert found.severity == "critical"


def test_helms_own_secret_tells_of_a_lock_that_the_object_does_not_show() -> None:
    lock = Locked("pending-upgrade", "4", NOW - timedelta(hours=2), "apps/sh.helm.release.v1.api.v4")
    (found,) = findings_of(release("api", READY), locks={("apps", "api"): lock})
    assert found.code is Code.LOCKED
    assert found.evidence[0].field == "Secret apps/sh.helm.release.v1.api.v4, label status"
    young = Locked("pending-upgrade", "4", NOW - timedelta(minutes=10), "apps/sh.helm.release.v1.api.v4")
    assert findings_of(release("api", READY), locks={("apps", "api"): young}) == ()


@pytest.mark.parametrize(
    ("abilities", "version", "commands"),
    [
        (
            Abilities(),
            "v2",
            ["fluxtrail gitops reconcile hr api -n apps --reset", "flux reconcile helmrelease api -n apps --reset"],
        ),
        (
            Abilities(has_reset=False),
            "v2beta2",
            ["fluxtrail gitops reconcile hr api -n apps --force", "flux reconcile helmrelease api -n apps --force"],
        ),
        (
            V2BETA1,
            "v2beta1",
            [
                "fluxtrail gitops suspend hr api -n apps && fluxtrail gitops resume hr api -n apps",
                "flux suspend helmrelease api -n apps && flux resume helmrelease api -n apps",
            ],
        ),
    ],
    ids=["reset", "force", "suspend-resume"],
)
def test_the_command_is_the_mildest_that_the_installed_flux_knows(
    abilities: Abilities, version: str, commands: list[str]
) -> None:
    exhausted = release("api", condition("Ready", "False", "UpgradeFailed", "upgrade retries exhausted"))
    (found,) = findings_of(exhausted, abilities=abilities, version=version)
    assert list(found.commands) == commands


@pytest.mark.parametrize("has_it", [True, False])
def test_retry_on_failure_is_advised_only_where_flux_has_it(has_it: bool) -> None:
    stalled = [condition("Ready", "False", "UpgradeFailed"), condition("Stalled", "True", "RetriesExceeded")]
    (found,) = findings_of(release("api", *stalled), abilities=Abilities(has_retry_on_failure=has_it))
    assert ("RetryOnFailure" in " ".join(found.advice)) is has_it
    spec = {"upgrade": {"strategy": {"name": "RetryOnFailure"}}}
    status = {"lastAttemptedReleaseAction": "upgrade"}
    (found,) = findings_of(
        release("api", *stalled, spec=spec, status=status), abilities=Abilities(has_retry_on_failure=has_it)
    )
    assert "RetryOnFailure" not in " ".join(found.advice)


def past(version: int, minutes: int, status: str = "deployed") -> Object:
    return {
        "version": version,
        "status": status,
        "chartVersion": "1.2.0",
        "configDigest": "sha256:c",
        "lastDeployed": ago(minutes=minutes),
    }


def test_releases_of_the_same_chart_and_values_one_after_the_other_are_a_loop() -> None:
    looping = {"history": [past(9, 3), past(8, 13, "superseded")]}
    (found,) = findings_of(release("api", READY, status=looping))
    assert found.code is Code.DRIFT_LOOP
    once = {"history": [past(9, 3), past(8, 3000, "superseded")]}
    assert findings_of(release("api", READY, status=once)) == ()
    forced = {"history": [past(9, 3), past(8, 13, "superseded")], "lastHandledForceAt": "x"}
    assert findings_of(release("api", READY, status=forced)) == ()


def test_a_loop_that_one_look_does_not_show_is_seen_by_several() -> None:
    corrections, obj = Corrections(), release("api", READY)
    for version in range(4, 8):
        obj = release("api", READY, status={"history": [past(version, 0)]})
        corrections.note([patient_of(obj)], NOW - timedelta(minutes=30 - version))
    (found,) = findings_of(obj, corrections=corrections)
    assert found.code is Code.DRIFT_LOOP
    assert found.evidence[0].value == "3 within 1h"


def test_releases_of_new_charts_are_no_loop() -> None:
    corrections, obj = Corrections(), release("api", READY)
    for version in range(4, 9):
        obj = release("api", READY, status={"history": [past(version, 0) | {"chartVersion": f"1.{version}.0"}]})
        corrections.note([patient_of(obj)], NOW - timedelta(minutes=30 - version))
    assert findings_of(obj, corrections=corrections) == ()


def test_drift_that_is_found_again_and_again_is_a_loop() -> None:
    corrections, obj = Corrections(), release("api", READY)
    for minute in (40, 30, 20, 10):
        obj = release("api", READY, condition("Drifted", "True", "DriftDetected", "x", since=ago(minutes=minute)))
        corrections.note([patient_of(obj)], NOW - timedelta(minutes=minute))
    (found,) = findings_of(obj, corrections=corrections)
    assert found.code is Code.DRIFT_LOOP


def snapshot(digest: str, minutes: int, total: int = 4) -> Object:
    return {
        "digest": digest,
        "lastReconciledStatus": "ReconciliationSucceeded",
        "firstReconciled": ago(hours=5),
        "lastReconciled": ago(minutes=minutes),
        "totalReconciliations": total,
        "metadata": {"revision": "main@sha1:1"},
    }


def test_one_revision_that_is_built_to_manifests_that_take_turns_is_a_loop() -> None:
    taking_turns = {"history": [snapshot("sha256:a", 2), snapshot("sha256:b", 12)]}
    (found,) = findings_of(kustomization("apps", READY, status=taking_turns))
    assert found.code is Code.DRIFT_LOOP
    changed_once = {"history": [snapshot("sha256:a", 2, 1), snapshot("sha256:b", 12)]}
    assert findings_of(kustomization("apps", READY, status=changed_once)) == ()


def test_a_clock_that_is_behind_finds_nothing_old() -> None:
    ahead = condition("Ready", "False", "UpgradeFailed", since="2026-11-22T13:00:00Z")
    assert findings_of(release("api", ahead)) == ()


def test_commands_name_the_context_that_was_asked() -> None:
    (found,) = findings_of(suspended(ago(days=3)), context="prod eu")
    assert found.commands[0] == "fluxtrail gitops resume ks apps -n apps --context 'prod eu'"


@pytest.mark.parametrize("now", [NOW, NOW + timedelta(days=365)])
def test_findings_come_the_gravest_first(now: datetime) -> None:
    found = findings_of(
        suspended(ago(days=3)),
        release("api", condition("Ready", "False", "ValuesError", "x")),
        release("db", condition("Stalled", "True", "RetriesExceeded", "x")),
        now=now,
    )
    assert [each.severity for each in found] == ["critical", "warning", "info"]
