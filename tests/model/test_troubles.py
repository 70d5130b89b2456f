"""Why pods and their containers are not ready, in the words of the node and of the scheduler."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from fluxtrail.model.kept import MAX_COUNT, MAX_WORD
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.projecting import project_pod
from fluxtrail.model.wire_workloads import WirePod
from fluxtrail.model.workloads import ContainerRun, ContainerTrouble, Pod, PodTrouble

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def pod(status: Any, **meta: Any) -> Pod:
    document = {"metadata": {"name": "x"} | meta, "spec": {"containers": [{"name": "c"}]}, "status": status}
    return project_pod(msgspec.json.decode(msgspec.json.encode(document), type=WirePod))


def run(**status: Any) -> ContainerRun:
    (found,) = pod({"containerStatuses": [{"name": "c"} | status]}).containers
    return found


BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting"}}
KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137, "message": "last words"}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, None),
        ({"state": None}, None),
        ({"state": {}}, None),
        ({"state": {"running": None, "waiting": None, "terminated": None}}, None),
        ({"ready": True, "state": {"running": {}}, "lastState": KILLED}, None),
        ({"ready": True, "state": BACK_OFF}, None),
        ({"state": {"running": {}}}, ContainerTrouble(is_running=True)),
        ({"state": {"running": {}}, "started": True}, ContainerTrouble(is_running=True, has_started=True)),
        ({"state": {"waiting": {}}}, ContainerTrouble()),
        ({"state": {"waiting": {"reason": "PodInitializing"}}}, ContainerTrouble(waiting="PodInitializing")),
        (
            {"state": BACK_OFF, "lastState": KILLED},
            ContainerTrouble(
                waiting="CrashLoopBackOff", ended="OOMKilled", exit_code=137, message="back-off 5m0s restarting"
            ),
        ),
        ({"state": KILLED}, ContainerTrouble(ended="OOMKilled", exit_code=137, message="last words")),
        (
            {"state": {"terminated": {"exitCode": 1}}, "lastState": KILLED},
            ContainerTrouble(exit_code=1),
        ),
        (
            {"state": {"running": {}}, "lastState": KILLED},
            ContainerTrouble(ended="OOMKilled", exit_code=137, message="last words", is_running=True),
        ),
        (
            {"state": {"waiting": {"reason": "ErrImagePull", "message": "pull https://u:p@r.dev/v2?x=1 failed"}}},
            ContainerTrouble(waiting="ErrImagePull", message="pull https://r.dev/v2 failed"),
        ),
    ],
)
def test_why_a_container_is_not_ready(status: Any, expected: ContainerTrouble | None) -> None:
    assert run(**status).trouble == expected


def test_the_same_trouble_of_many_is_kept_once() -> None:
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    assert run(state=waiting).trouble is run(state=waiting).trouble


@pytest.mark.parametrize(("written", "kept"), [(None, 0), (0, 0), (3, 3), (-1, 0), (2**40, MAX_COUNT)], ids=str)
def test_how_often_a_container_was_restarted(written: int | None, kept: int) -> None:
    assert run(restartCount=written).restarts == kept


def test_what_a_trouble_keeps_is_bounded() -> None:
    word = "w" * 9000
    found = run(state={"waiting": {"reason": word, "message": word}, "terminated": {"reason": word, "exitCode": 2**62}})
    trouble = found.trouble
    assert trouble is not None
    assert (len(trouble.waiting), len(trouble.ended), len(trouble.message.encode())) == (MAX_WORD, MAX_WORD, 1024)
    assert trouble.exit_code == MAX_COUNT
    own = pod({"reason": word, "message": word}).trouble
    assert own is not None
    assert (len(own.reason), len(own.message.encode())) == (MAX_WORD, 1024)


def condition(kind: str, status: str, reason: str | None = None, message: str | None = None) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


SCHEDULED = condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available")
DISRUPTED = condition("DisruptionTarget", "True", "DeletionByTaintManager", "taint manager: deleting")
NOT_READY = condition("Ready", "False", "ContainersNotReady", "containers with unready status: [c]")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, None),
        ({"conditions": None}, None),
        ({"conditions": [None, {}, NOT_READY]}, None),
        ({"conditions": [condition("Ready", "False")]}, None),
        ({"conditions": [condition("Ready", "False", "PodCompleted")]}, None),
        ({"conditions": [condition("PodScheduled", "True", "x"), condition("DisruptionTarget", "False", "y")]}, None),
        ({"conditions": [condition("PodScheduled", "False")]}, None),
        ({"conditions": [SCHEDULED]}, PodTrouble("Unschedulable", "0/3 nodes are available")),
        ({"conditions": [SCHEDULED, DISRUPTED]}, PodTrouble("DeletionByTaintManager", "taint manager: deleting")),
        (
            {"reason": "Evicted", "message": "low on memory", "conditions": [DISRUPTED]},
            PodTrouble("Evicted", "low on memory"),
        ),
        ({"reason": "NodeLost", "message": None}, PodTrouble("NodeLost", "")),
        (
            {"conditions": [condition("Ready", "False", "ReadinessGatesNotReady", "gate")]},
            PodTrouble("ReadinessGatesNotReady", "gate"),
        ),
        ({"conditions": [condition("Ready", "True"), DISRUPTED]}, None),
    ],
)
def test_why_a_pod_is_not_where_it_should_be(status: Any, expected: PodTrouble | None) -> None:
    assert pod(status).trouble == expected


@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        ({"status": "True", "lastTransitionTime": "2026-03-01T12:00:00Z"}, (True, NOON)),
        ({"status": "True", "lastTransitionTime": "soon"}, (True, None)),
        ({"status": "True", "lastTransitionTime": None}, (True, None)),
        ({"status": "False", "lastTransitionTime": "2026-03-01T12:00:00Z"}, (False, None)),
    ],
)
def test_since_when_a_pod_is_ready(ready: dict[str, Any], expected: tuple[bool, datetime | None]) -> None:
    found = pod({"conditions": [{"type": "Ready"} | ready]})
    assert (found.is_ready, found.ready_at) == expected


def test_only_a_pod_without_owners_was_applied_itself() -> None:
    """Its template's labels are on all pods of a workload; who applied that is the workload's matter."""
    labels = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    key = ObjectKey("kustomize.toolkit.fluxcd.io", "Kustomization", "flux-system", "apps")
    assert pod(None, labels=labels).applied_by == key
    assert pod(None, labels=labels, ownerReferences=[{"kind": "ReplicaSet", "uid": "u"}]).applied_by is None
