"""How kstatus sees an object: what `wait` and Helm's own waiting ask.

Source: sigs.k8s.io/cli-utils pkg/kstatus/status/core.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.statuses import is_ready
from fluxtrail.simulator.workloads.conditions import find
from fluxtrail.simulator.workloads.objects import DAEMON_SETS, DEPLOYMENTS, JOBS, STATEFUL_SETS, Object


class Health(StrEnum):
    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    NOT_FOUND = "NotFound"


_REPLICATED = (DEPLOYMENTS, STATEFUL_SETS)
_WITH_READY = ("helmreleases", "ocirepositories")


def health_of(store: Store, place: tuple[str, str, str]) -> Health:
    resource, namespace, name = place
    obj = store.find(resource, name, namespace)
    if obj is None:
        return Health.NOT_FOUND
    if resource in _WITH_READY:
        return Health.CURRENT if is_ready(obj) else Health.IN_PROGRESS
    if resource == JOBS:
        return _of_job(obj)
    status = obj.get("status") or {}
    if resource not in (*_REPLICATED, DAEMON_SETS):
        return Health.CURRENT
    if (status.get("observedGeneration") or 0) < obj["metadata"]["generation"]:
        return Health.IN_PROGRESS
    progressing = find(obj, "Progressing")
    if progressing is not None and progressing["reason"] == "ProgressDeadlineExceeded":
        return Health.FAILED
    return Health.CURRENT if _is_complete(resource, obj, status) else Health.IN_PROGRESS


def _of_job(obj: Object) -> Health:
    if find(obj, "Failed"):
        return Health.FAILED
    # A Job that runs is Current for kstatus already.
    return Health.CURRENT if (obj.get("status") or {}).get("startTime") else Health.IN_PROGRESS


def _is_complete(resource: str, obj: Object, status: Object) -> bool:
    if resource == DAEMON_SETS:
        wanted = status.get("desiredNumberScheduled") or 0
        counts = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady")
    else:
        wanted = obj["spec"].get("replicas", 1)
        counts = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
    return all((status.get(key) or 0) == wanted for key in counts)


def waiting_message(healths: Mapping[tuple[str, str, str], Health], kinds: Mapping[str, str]) -> str:
    """Return what is said of those that are not current: `Deployment/shop/cart status: 'InProgress'`."""
    return ", ".join(
        f"{kinds.get(resource, resource)}/{namespace}/{name} status: '{health.value}'"
        for (resource, namespace, name), health in healths.items()
        if health is not Health.CURRENT
    )
