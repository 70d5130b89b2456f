"""The controller of Deployments: rolls them, one pod more than wanted at a time, and says how far it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.workloads.conditions import condition, dated, find
from fluxtrail.simulator.workloads.objects import (
    DEPLOYMENTS,
    REVISION,
    Object,
    is_going,
    patch_status,
    revision,
    wanted_pods,
)
from fluxtrail.simulator.workloads.replicasets import ReplicaSetFamily, ready_count

_SURGE = 1
_REAL_SECONDS = 0.75
"""A deadline is never shorter than so long in real time: a fast clock leaves the machine some time."""

Later = Callable[[float, str, str, str], None]
"""(seconds, resource, namespace, name): step that object again after so much simulated time."""


class Deployments:
    """Never fewer ready pods than before; `Recreate` and `paused` as they say; the progress deadline is kept.

    Args:
        later: nobody waits for what it brings: a deadline that passes.
    """

    def __init__(self, store: Store, *, clock: SimulatedClock, later: Later) -> None:
        self._store = store
        self._clock = clock
        self._later = later

    def step(self, namespace: str, name: str) -> None:
        found = self._store.find(DEPLOYMENTS, name, namespace)
        if found is None or is_going(found):
            return
        family = ReplicaSetFamily(self._store, found, hash_label="pod-template-hash", annotation=REVISION)
        wanted = wanted_pods(found)
        if found["spec"].get("paused"):
            self._tell(found, family, family.find(family.hash), wanted)
            return
        present = family.present()
        self._note_revision(found, revision(present))
        if (found["spec"].get("strategy") or {}).get("type") == "Recreate":
            present = self._recreate(family, present, wanted)
        else:
            present = self._grow(family, present, wanted)
            self._shrink_others(family, present, wanted)
        family.prune(present, limit=found["spec"].get("revisionHistoryLimit", 10))
        self._tell(found, family, present, wanted)

    def _note_revision(self, deployment: Object, number: int) -> None:
        """By the status subresource, as the real one does: the generation stays."""
        metadata = deployment["metadata"]
        if (metadata.get("annotations") or {}).get(REVISION) != str(number):
            patch = {"metadata": {"annotations": {REVISION: str(number)}}}
            self._store.patch(DEPLOYMENTS, metadata["name"], metadata["namespace"], patch, subresource="status")

    def _recreate(self, family: ReplicaSetFamily, present: Object, wanted: int) -> Object:
        for item in family.others(present):
            family.scale(item, 0)
        has_old = any((item.get("status") or {}).get("replicas") for item in family.others(present))
        return present if has_old else family.scale(present, wanted)

    def _grow(self, family: ReplicaSetFamily, present: Object, wanted: int) -> Object:
        has = present["spec"]["replicas"]
        if has >= wanted:
            return family.scale(present, wanted)
        total = sum(item["spec"]["replicas"] for item in family.sets)
        return family.scale(present, has + max(min(wanted - has, wanted + _SURGE - total), 0))

    def _shrink_others(self, family: ReplicaSetFamily, present: Object, wanted: int) -> None:
        """First the pods of old sets that are not ready, then as many as are not needed any more."""
        has = present["spec"]["replicas"]
        total = sum(item["spec"]["replicas"] for item in family.sets)
        allowed = total - wanted - max(has - ready_count(present), 0)
        for item in family.others(present):
            count = min(max(item["spec"]["replicas"] - ready_count(item), 0), max(allowed, 0))
            allowed -= count
            family.scale(item, item["spec"]["replicas"] - count)
        spare = sum(min(ready_count(item), item["spec"]["replicas"]) for item in family.sets) - wanted
        for item in family.others(present):
            count = min(item["spec"]["replicas"], max(spare, 0))
            spare -= count
            family.scale(item, item["spec"]["replicas"] - count)

    def _tell(self, deployment: Object, family: ReplicaSetFamily, present: Object | None, wanted: int) -> None:
        deployment = self._store.get(DEPLOYMENTS, deployment["metadata"]["name"], deployment["metadata"]["namespace"])
        ready, total = sum(map(ready_count, family.sets)), sum(map(_count, family.sets))
        updated = _count(present) if present else 0
        # Old pods are gone from the count as soon as they are told to go.
        is_done = updated >= wanted and present is not None and ready_count(present) >= wanted and total == updated
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": total or None,
            "updatedReplicas": updated or None,
            "readyReplicas": ready or None,
            "availableReplicas": ready or None,
            "unavailableReplicas": max(wanted - ready, total - ready, 0) or None,
        }
        if ready >= wanted:
            available = condition(
                "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
            )
        else:
            why = "Deployment does not have minimum availability."
            available = condition("Available", "False", "MinimumReplicasUnavailable", why)
        progressing = self._progress(deployment, status, present, is_done=is_done)
        failure = find(present, "ReplicaFailure") if present else None
        copied = condition("ReplicaFailure", "True", failure["reason"], failure["message"]) if failure else None
        wanted_conditions = dated(deployment, available, progressing, copied, at=self._clock.now(), is_updated=True)
        patch_status(self._store, DEPLOYMENTS, deployment, **status, conditions=wanted_conditions)

    def _progress(self, deployment: Object, new: Object, present: Object | None, *, is_done: bool) -> Object:
        if present is None or deployment["spec"].get("paused"):
            return condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        name = f'ReplicaSet "{present["metadata"]["name"]}"'
        if is_done:
            return condition("Progressing", "True", "NewReplicaSetAvailable", f"{name} has successfully progressed.")
        fresh = condition("Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.")
        old, status = find(deployment, "Progressing"), deployment.get("status") or {}
        is_same = all(status.get(key) == new[key] for key in ("observedGeneration", "updatedReplicas", "readyReplicas"))
        if old is None or not is_same or old["reason"] == "NewReplicaSetAvailable":
            self._set_deadline(deployment)
            if old is not None:
                old["message"] = ""  # progress: a new lastUpdateTime
            return fresh
        since = datetime.fromisoformat(old["lastUpdateTime"].replace("Z", "+00:00"))
        if (self._clock.now() - since).total_seconds() <= self._deadline_seconds(deployment):
            return {key: old[key] for key in fresh}
        return condition("Progressing", "False", "ProgressDeadlineExceeded", f"{name} has timed out progressing.")

    def _set_deadline(self, deployment: Object) -> None:
        metadata = deployment["metadata"]
        self._later(self._deadline_seconds(deployment) + 1.1, DEPLOYMENTS, metadata["namespace"], metadata["name"])

    def _deadline_seconds(self, deployment: Object) -> float:
        stated = float(deployment["spec"].get("progressDeadlineSeconds", 600))
        return max(stated, _REAL_SECONDS * self._clock.scale)


def _count(replica_set: Object) -> int:
    return int((replica_set.get("status") or {}).get("replicas") or 0)
