"""How far workloads are, who applied them and when: what the API says, and what it means where it says nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from fluxtrail.model import projecting as p
from fluxtrail.model import touching
from fluxtrail.model.kept import MAX_COUNT, MAX_GENERATION, MAX_WORD
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.wire_workloads import WireCronJob, WireCustom, WireOwned, WireTemplated
from fluxtrail.model.workloads import Progress, StatusCondition, Workload

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)
HELM = "helm.toolkit.fluxcd.io"
KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
COUNTS = {"replicas": 4, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 1, "observedGeneration": 7}
PROJECTS: dict[str, Any] = {
    "Deployment": p.project_deployment,
    "StatefulSet": p.project_stateful_set,
    "DaemonSet": p.project_daemon_set,
    "ReplicaSet": p.project_replica_set,
    "Job": p.project_job,
}


def workload(kind: str, spec: Any = None, status: Any = None, **meta: Any) -> Workload:
    document = {"metadata": {"name": "x"} | meta, "spec": spec, "status": status}
    found: Workload = PROJECTS[kind](msgspec.json.decode(msgspec.json.encode(document), type=WireTemplated))
    return found


def progress(kind: str, spec: Any = None, status: Any = None) -> Progress:
    found = workload(kind, spec, status).progress
    assert found is not None
    return found


# -- counts ---------------------------------------------------------------------------------------------------------


def test_a_deployment_says_how_far_it_is() -> None:
    condition = {
        "type": "Progressing",
        "status": "True",
        "reason": "ReplicaSetUpdated",
        "message": "ReplicaSet is progressing; see https://me:secret@example.dev/x",
        "lastUpdateTime": "2026-03-01T12:05:00Z",
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    }
    status = COUNTS | {"conditions": [None, {"type": "Unheard"}, condition, {"type": "Available", "status": None}]}
    assert progress("Deployment", {"replicas": 5, "minReadySeconds": 9, "paused": True}, status) == Progress(
        observed_generation=7,
        wanted=5,
        total=4,
        updated=3,
        ready=2,
        available=1,
        max_unavailable=1,
        strategy="RollingUpdate",
        is_paused=True,
        min_ready_seconds=9,
        conditions=(
            StatusCondition(
                "Progressing",
                "True",
                "ReplicaSetUpdated",
                "ReplicaSet is progressing; see https://example.dev/x",
                LATER,
            ),
            StatusCondition("Available", "", "", "", None),
        ),
    )


def test_a_stateful_set_says_how_far_it_is() -> None:
    spec = {"replicas": 5, "updateStrategy": {"rollingUpdate": {"partition": 2}}}
    status = COUNTS | {"currentRevision": "db-1", "updateRevision": "db-2"}
    item = workload("StatefulSet", spec, status)
    assert item.update_revision == "db-2"
    assert item.progress == Progress(
        observed_generation=7,
        wanted=5,
        total=4,
        updated=3,
        ready=2,
        available=1,
        partition=2,
        strategy="RollingUpdate",
        current_revision="db-1",
    )


def test_a_daemon_set_says_how_far_it_is() -> None:
    status = {
        "desiredNumberScheduled": 5,
        "currentNumberScheduled": 4,
        "updatedNumberScheduled": 3,
        "numberReady": 2,
        "numberAvailable": 1,
        "observedGeneration": 7,
    }
    assert progress("DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, status) == Progress(
        observed_generation=7, wanted=5, total=4, updated=3, ready=2, available=1, strategy="OnDelete"
    )


def test_a_job_says_how_far_it_is() -> None:
    spec = {"completions": 5, "suspend": True, "ttlSecondsAfterFinished": 0}
    status = {
        "active": 1,
        "succeeded": 2,
        "failed": 3,
        "ready": 4,
        "completionTime": "2026-03-01T12:00:00Z",
        "conditions": [{"type": "FailureTarget", "status": "True", "lastTransitionTime": "2026-03-01T12:00:00Z"}],
    }
    assert progress("Job", spec, status) == Progress(
        wanted=5,
        total=1,
        updated=2,
        ready=4,
        failed=3,
        is_suspended=True,
        is_expiring=True,
        completed_at=NOON,
        conditions=(StatusCondition("FailureTarget", "True", "", "", NOON),),
    )
    assert (progress("Job").wanted, progress("Job", {"completions": 0}).wanted) == (1, 0)


@pytest.mark.parametrize("suspend", [True, False, None])
def test_of_a_cron_job_nothing_is_to_run_at_once(suspend: bool | None) -> None:
    document = {"metadata": {"name": "x"}, "spec": {"suspend": suspend}}
    item = p.project_cron_job(msgspec.json.decode(msgspec.json.encode(document), type=WireCronJob))
    assert item.progress == Progress(wanted=0, is_suspended=bool(suspend))


def test_a_controlled_replica_set_says_what_hinders_it() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d1", "controller": True}
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    item = workload("ReplicaSet", {"replicas": 5}, COUNTS | {"conditions": [refused]}, ownerReferences=[owner])
    assert item.containers is None
    assert item.progress == Progress(
        observed_generation=7,
        wanted=5,
        total=4,
        ready=2,
        available=1,
        conditions=(StatusCondition("ReplicaFailure", "True", "FailedCreate", "exceeded quota", None),),
    )


def test_old_replica_sets_are_kept_as_one() -> None:
    old = [workload("ReplicaSet", {"replicas": 0}, {"replicas": 0, "observedGeneration": 3}) for _ in range(2)]
    assert old[0].progress is old[1].progress


@pytest.mark.parametrize("kind", PROJECTS)
@pytest.mark.parametrize(("spec", "status"), [(None, None), ({}, {}), ({"replicas": None}, {"conditions": None})])
def test_what_says_nothing_has_done_nothing(kind: str, spec: Any, status: Any) -> None:
    found = progress(kind, spec, status)
    assert (found.observed_generation, found.total, found.updated, found.ready, found.available) == (0, 0, 0, 0, 0)
    assert (found.conditions, found.completed_at, found.failed, found.partition) == ((), None, 0, 0)
    assert found.wanted == (0 if kind == "DaemonSet" else 1)


@pytest.mark.parametrize(("number", "kept"), [(-1, 0), (2**40, MAX_COUNT), (2**62, MAX_COUNT), (0, 0)])
def test_counts_are_bounded(number: int, kept: int) -> None:
    spec = {"replicas": number, "minReadySeconds": number, "strategy": {"rollingUpdate": {"maxUnavailable": number}}}
    found = progress("Deployment", spec, dict.fromkeys(COUNTS, number))
    assert (found.wanted, found.total, found.updated, found.ready, found.available) == (kept,) * 5
    assert (found.min_ready_seconds, found.observed_generation) == (kept, max(number, 0))
    assert found.max_unavailable <= found.wanted
    assert workload("Deployment", generation=2**64 - 1).generation == MAX_GENERATION


def test_texts_are_bounded() -> None:
    word = "w" * 5000
    told = [{"type": "Ready", "status": word, "reason": word, "message": word}] * 99
    found = progress("StatefulSet", {"updateStrategy": {"type": word}}, {"conditions": told, "currentRevision": word})
    assert len(found.conditions) < 99
    first = found.conditions[0]
    assert (len(first.status), len(first.reason), len(first.message.encode())) == (MAX_WORD, MAX_WORD, 1024)
    assert (len(found.strategy), len(found.current_revision)) == (MAX_WORD, MAX_WORD)


# -- how many may be missing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "wanted", "rolling", "expected"),
    [
        ("Deployment", 10, None, 2),
        ("Deployment", 3, None, 0),
        ("Deployment", 1, None, 0),
        ("Deployment", 0, None, 0),
        ("Deployment", 10, {"maxUnavailable": "39%"}, 3),
        ("Deployment", 10, {"maxUnavailable": 0}, 0),
        ("Deployment", 10, {"maxUnavailable": 0, "maxSurge": 0}, 1),
        ("Deployment", 3, {"maxUnavailable": "25%", "maxSurge": 0}, 1),
        ("Deployment", 3, {"maxUnavailable": "25%", "maxSurge": "0%"}, 1),
        ("Deployment", 0, {"maxUnavailable": 0, "maxSurge": 0}, 0),
        ("Deployment", 2, {"maxUnavailable": 7}, 2),
        ("Deployment", 2, {"maxUnavailable": "700%"}, 2),
        ("Deployment", 10, {"maxUnavailable": "many"}, 0),
        ("Deployment", 10, {"maxUnavailable": "25%%"}, 0),
        ("Deployment", 10, {"maxUnavailable": "-25%"}, 0),
        ("Deployment", 10, {"maxUnavailable": "٣%"}, 0),
        ("Deployment", 10, {"maxUnavailable": "9" * 9000 + "%"}, 0),
        ("DaemonSet", 10, None, 1),
        ("DaemonSet", 10, {"maxUnavailable": "11%"}, 2),
        ("DaemonSet", 10, {"maxUnavailable": 0, "maxSurge": 1}, 0),
        ("DaemonSet", 10, {"maxUnavailable": 0}, 1),
        ("DaemonSet", 0, None, 0),
        ("StatefulSet", 10, None, 0),
        ("StatefulSet", 10, {"maxUnavailable": 3}, 3),
        ("StatefulSet", 10, {"maxUnavailable": "39%"}, 3),
        ("StatefulSet", 10, {"maxUnavailable": "1%"}, 1),
    ],
)
def test_how_many_may_be_missing(kind: str, wanted: int, rolling: Any, expected: int) -> None:
    field = "strategy" if kind == "Deployment" else "updateStrategy"
    spec = {"replicas": wanted, field: {"rollingUpdate": rolling}}
    assert progress(kind, spec, {"desiredNumberScheduled": wanted}).max_unavailable == expected


@pytest.mark.parametrize(
    ("kind", "strategy"), [("Deployment", "Recreate"), ("DaemonSet", "OnDelete"), ("StatefulSet", "OnDelete")]
)
def test_who_does_not_roll_has_no_rule_for_it(kind: str, strategy: str) -> None:
    field = "strategy" if kind == "Deployment" else "updateStrategy"
    rolling = {"maxUnavailable": 3, "partition": 2}
    found = progress(kind, {"replicas": 9, field: {"type": strategy, "rollingUpdate": rolling}})
    assert (found.strategy, found.max_unavailable, found.partition) == (strategy, 0, 0)


# -- who applied it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, None),
        ({}, None),
        ({f"{HELM}/name": "web"}, None),
        ({f"{HELM}/name": "", f"{HELM}/namespace": "shop"}, None),
        ({f"{HELM}/name": None, f"{HELM}/namespace": None}, None),
        ({f"{HELM}/name": "web", f"{HELM}/namespace": "shop"}, ObjectKey(HELM, "HelmRelease", "shop", "web")),
        (
            {f"{KUSTOMIZE}/name": "web", f"{KUSTOMIZE}/namespace": "f"},
            ObjectKey(KUSTOMIZE, "Kustomization", "f", "web"),
        ),
        (
            {
                f"{HELM}/name": "web",
                f"{HELM}/namespace": "shop",
                f"{KUSTOMIZE}/name": "apps",
                f"{KUSTOMIZE}/namespace": "f",
            },
            ObjectKey(HELM, "HelmRelease", "shop", "web"),
        ),
    ],
)
def test_who_applied_a_workload_is_in_its_labels(labels: Any, expected: ObjectKey | None) -> None:
    assert workload("Deployment", labels=labels).applied_by == expected
    document = msgspec.json.encode({"metadata": {"name": "x", "labels": labels}})
    owned = p.project_owner(msgspec.json.decode(document, type=WireOwned), group="g", kind="K")
    assert (owned.applied_by, owned.progress) == (expected, None)


@pytest.mark.parametrize(
    ("managers", "expected"),
    [
        (None, None),
        ([None, {}, {"manager": None, "time": None}], None),
        ([{"manager": "kubectl-edit", "time": "2026-03-01T12:05:00Z"}], None),
        ([{"manager": "kustomize-controller", "time": "2026-03-01T12:00:00Z"}], NOON),
        ([{"manager": "helm-controller", "time": "soon"}], None),
        (
            [
                {"manager": "helm-controller", "time": "2026-03-01T12:05:00Z", "fieldsV1": {"f:spec": {}}},
                {"manager": "flux", "time": "2026-03-01T12:00:00Z", "subresource": ""},
                {"manager": "kube-controller-manager", "time": "2026-03-01T12:09:00Z", "subresource": "status"},
                {"manager": "helm-controller", "time": "2026-03-01T12:09:00Z", "subresource": "status"},
            ],
            LATER,
        ),
    ],
)
def test_when_flux_last_wrote_a_workload(managers: Any, expected: datetime | None) -> None:
    assert workload("Deployment", managedFields=managers).touched_at == expected


def test_managers_are_bounded() -> None:
    many = [{"manager": "x", "time": "t"}] * touching.MAX_MANAGERS
    flux = {"manager": "flux", "time": "2026-03-01T12:00:00Z"}
    assert workload("Deployment", managedFields=[*many, flux]).touched_at is None


# -- any kind ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (3, 3),
        ("12", 12),
        ("7f9", 0),
        ("", 0),
        (None, 0),
        (-1, 0),
        ("9" * 9000, 0),
        (2**63, MAX_GENERATION),
        (1.5, 0),
        ([], 0),
    ],
)
def test_what_the_controller_of_any_kind_has_seen(observed: Any, expected: int) -> None:
    document = {
        "metadata": {"name": "x", "generation": 12},
        "status": {"observedGeneration": observed, "conditions": [{"type": "Stalled", "status": "True"}]},
    }
    wire = msgspec.json.decode(msgspec.json.encode(document), type=WireCustom)
    item = p.project_custom(wire, group="g.dev", kind="K")
    assert (item.key, item.generation) == (ObjectKey("g.dev", "K", "", "x"), 12)
    assert item.progress == Progress(
        observed_generation=expected, wanted=0, conditions=(StatusCondition("Stalled", "True", "", "", None),)
    )


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (None, 0),
        ("fine", 0),
        ([], 0),
        ({"conditions": {"Ready": "True"}}, 0),
        ({"conditions": ["Ready", None, 7, {"type": 7}, {"type": "Ready", "message": ["x"]}]}, 0),
        ({"conditions": [{"type": "Ready", "status": True}, {"type": "Ready", "status": "True"}]}, 1),
    ],
    ids=str,
)
def test_a_status_of_any_shape_stops_nothing(status: Any, told: int) -> None:
    document = msgspec.json.encode({"metadata": {"name": "x"}, "status": status})
    item = p.project_custom(msgspec.json.decode(document, type=WireCustom), group="g.dev", kind="K")
    assert item.progress is not None
    assert len(item.progress.conditions) == told
