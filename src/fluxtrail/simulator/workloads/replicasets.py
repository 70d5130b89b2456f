"""What makes pods by ReplicaSets: the ReplicaSet controller itself, and that of Deployments."""

from __future__ import annotations

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.workloads.objects import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    REVISION,
    Object,
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

_SURGE = 1


class ReplicaSets:
    """Keeps as many pods as each ReplicaSet wants."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def step(self, namespace: str, name: str) -> None:
        found = self._store.find(REPLICA_SETS, name, namespace)
        if found is None or is_going(found):
            return
        pods = staying(owned(self._store, PODS, found))
        wanted = wanted_pods(found)
        for _ in range(wanted - len(pods)):
            create_pod(self._store, found["spec"]["template"], owner=found, prefix=f"{name}-")
        # Those that are not ready go first, then the newest.
        pods.sort(key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
        pods.sort(key=is_ready)
        for pod in pods[: max(len(pods) - wanted, 0)]:
            end_pod(self._store, pod)
        ready = sum(map(is_ready, pods[max(len(pods) - wanted, 0) :]))
        patch_status(
            self._store,
            REPLICA_SETS,
            found,
            replicas=wanted,
            readyReplicas=ready,
            availableReplicas=ready,
            observedGeneration=found["metadata"]["generation"],
        )


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


class Deployments:
    """Rolls Deployments: one pod more than wanted at a time, and never fewer ready ones than before."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def step(self, namespace: str, name: str) -> None:
        found = self._store.find(DEPLOYMENTS, name, namespace)
        if found is None or is_going(found):
            return
        family = ReplicaSetFamily(self._store, found, hash_label="pod-template-hash", annotation=REVISION)
        present = family.present()
        self._note_revision(found, revision(present))
        wanted = wanted_pods(found)
        present = self._grow(family, present, wanted)
        self._shrink_others(family, present, wanted)
        family.prune(present, limit=found["spec"].get("revisionHistoryLimit", 10))
        self._tell(found, family, present, wanted)

    def _note_revision(self, deployment: Object, number: int) -> None:
        metadata = deployment["metadata"]
        if (metadata.get("annotations") or {}).get(REVISION) != str(number):
            patch = {"metadata": {"annotations": {REVISION: str(number)}}}
            self._store.patch(DEPLOYMENTS, metadata["name"], metadata["namespace"], patch)

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

    def _tell(self, deployment: Object, family: ReplicaSetFamily, present: Object, wanted: int) -> None:
        ready = sum(map(ready_count, family.sets))
        is_done = ready_count(present) >= wanted and all(not s["spec"]["replicas"] for s in family.others(present))
        reason = "NewReplicaSetAvailable" if is_done else "ReplicaSetUpdated"
        patch_status(
            self._store,
            DEPLOYMENTS,
            deployment,
            observedGeneration=self._store.get(DEPLOYMENTS, *_place(deployment))["metadata"]["generation"],
            replicas=sum(item["spec"]["replicas"] for item in family.sets),
            updatedReplicas=present["spec"]["replicas"],
            readyReplicas=ready,
            availableReplicas=ready,
            conditions=[
                {"type": "Available", "status": "True" if ready >= wanted else "False"},
                {"type": "Progressing", "status": "True", "reason": reason},
            ],
        )


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["name"], obj["metadata"]["namespace"]
