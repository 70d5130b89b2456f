"""ReplicaSets: the controller that keeps as many pods as each wants, and the sets of one owner."""

from __future__ import annotations

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.workloads.conditions import condition, dated
from fluxtrail.simulator.workloads.events import EventRecorder
from fluxtrail.simulator.workloads.objects import (
    PODS,
    REPLICA_SETS,
    Object,
    active,
    create_pod,
    end_pod,
    is_going,
    is_ready,
    owned,
    owner_reference,
    patch_status,
    revision,
    staying,
    template_hash,
    wanted_pods,
)
from fluxtrail.simulator.workloads.troubles import Trouble, Troubles

_REFUSALS = {
    Trouble.QUOTA: "exceeded quota: compute, requested: pods=1, used: pods=10, limited: pods=10",
    Trouble.REFUSED: (
        'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container must set '
        "securityContext.allowPrivilegeEscalation=false)"
    ),
}


class ReplicaSets:
    """Keeps as many pods as each ReplicaSet wants."""

    def __init__(self, store: Store, *, clock: SimulatedClock, troubles: Troubles, events: EventRecorder) -> None:
        self._store = store
        self._clock = clock
        self._troubles = troubles
        self._events = events

    def step(self, namespace: str, name: str) -> None:
        found = self._store.find(REPLICA_SETS, name, namespace)
        if found is None or is_going(found):
            return
        pods = active(owned(self._store, PODS, found))
        wanted = wanted_pods(found)
        refusal = self._create(found, wanted - len(pods))
        # Those that are not ready go first, then the newest.
        pods.sort(key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
        pods.sort(key=is_ready)
        extra = max(len(pods) - wanted, 0)
        for pod in pods[:extra]:
            end_pod(self._store, pod)
        ready = sum(map(is_ready, pods[extra:]))
        failure = condition("ReplicaFailure", "True", "FailedCreate", refusal) if refusal else None
        patch_status(
            self._store,
            REPLICA_SETS,
            found,
            replicas=len(active(owned(self._store, PODS, found))),
            fullyLabeledReplicas=len(pods) - extra,
            readyReplicas=ready or None,
            availableReplicas=ready or None,
            observedGeneration=found["metadata"]["generation"],
            conditions=dated(found, failure, at=self._clock.now()) or None,
        )

    def _create(self, owner: Object, count: int) -> str:
        """Create so many pods; return why that is refused, if it is."""
        if count <= 0:
            return ""
        name = owner["metadata"]["name"]
        why = _REFUSALS.get(self._troubles.of_template(owner) or Trouble.LATE, "")
        if why:
            message = f'pods "{name}-{owner["metadata"]["uid"][:5]}" is forbidden: {why}'
            self._events.tell(owner, "FailedCreate", f"Error creating: {message}", component="replicaset-controller")
            return message
        for _ in range(count):
            create_pod(self._store, owner["spec"]["template"], owner=owner, prefix=f"{name}-")
        return ""


class ReplicaSetFamily:
    """The ReplicaSets of one owner, and how one for each of its templates is made and numbered."""

    def __init__(self, store: Store, owner: Object, *, hash_label: str, annotation: str) -> None:
        self._store = store
        self._owner = owner
        self._hash_label = hash_label
        self._annotation = annotation
        self.hash = template_hash(owner["spec"]["template"])
        self.sets = staying(owned(store, REPLICA_SETS, owner))

    def present(self) -> Object:
        """Return the set of the present template: made if there is none, numbered anew if it is an old one."""
        newest = max((revision(item, self._annotation) for item in self.sets), default=0)
        found = self.find(self.hash)
        if found is None:
            found = self._create(newest + 1)
        elif revision(found, self._annotation) < newest:
            patch = {"metadata": {"annotations": {self._annotation: str(newest + 1)}}}
            found = self._replace(self._patch(found, patch))
        return found

    def find(self, name_hash: str) -> Object | None:
        return next((s for s in self.sets if s["metadata"]["labels"].get(self._hash_label) == name_hash), None)

    def others(self, present: Object) -> list[Object]:
        """Return the other ones, the oldest first."""
        rest = [item for item in self.sets if item["metadata"]["uid"] != present["metadata"]["uid"]]
        return sorted(rest, key=lambda item: revision(item, self._annotation))

    def scale(self, replica_set: Object, replicas: int) -> Object:
        if replica_set["spec"]["replicas"] == replicas:
            return replica_set
        return self._replace(self._patch(replica_set, {"spec": {"replicas": replicas}}))

    def prune(self, present: Object, *, limit: int) -> None:
        """Delete the oldest of those without pods, beyond the history that is kept."""
        empty = [s for s in self.others(present) if not s["spec"]["replicas"] and not ready_count(s)]
        for item in empty[: max(len(empty) - limit, 0)]:
            self._store.delete(REPLICA_SETS, item["metadata"]["name"], item["metadata"]["namespace"])

    def _create(self, number: int) -> Object:
        owner, metadata = self._owner, self._owner["metadata"]
        labels = {self._hash_label: self.hash}
        template = owner["spec"]["template"]
        given = template.get("metadata") or {}
        replica_set = {
            "metadata": {
                "name": f"{metadata['name']}-{self.hash}",
                "namespace": metadata["namespace"],
                "labels": (given.get("labels") or {}) | labels,
                "annotations": {self._annotation: str(number)},
                "ownerReferences": [owner_reference(owner)],
            },
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": owner["spec"]["selector"]["matchLabels"] | labels},
                "template": template | {"metadata": given | {"labels": (given.get("labels") or {}) | labels}},
            },
            "status": {"replicas": 0},
        }
        made = self._store.create(REPLICA_SETS, replica_set, with_status=True)
        self.sets.append(made)
        return made

    def _patch(self, replica_set: Object, patch: Object) -> Object:
        metadata = replica_set["metadata"]
        return self._store.patch(REPLICA_SETS, metadata["name"], metadata["namespace"], patch)

    def _replace(self, changed: Object) -> Object:
        uid = changed["metadata"]["uid"]
        self.sets = [changed if item["metadata"]["uid"] == uid else item for item in self.sets]
        return changed


def ready_count(replica_set: Object) -> int:
    return int((replica_set.get("status") or {}).get("readyReplicas") or 0)
