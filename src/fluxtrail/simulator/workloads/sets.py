"""What makes pods without ReplicaSets: StatefulSets, one ordinal after the other, and DaemonSets, one pod a node."""

from __future__ import annotations

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.workloads.kubelet import NODES
from fluxtrail.simulator.workloads.objects import (
    DAEMON_SETS,
    PODS,
    STATEFUL_SETS,
    Object,
    create_pod,
    end_pod,
    is_going,
    is_ready,
    owned,
    patch_status,
    template_hash,
    wanted_pods,
)

REVISION_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"


class StatefulSets:
    """Brings ordinals up from the lowest, and renews them from the highest: each when the others are ready."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def step(self, namespace: str, name: str) -> None:
        found = self._store.find(STATEFUL_SETS, name, namespace)
        if found is None or is_going(found):
            return
        update = f"{name}-{template_hash(found['spec']['template'])}"
        pods = {_ordinal(pod): pod for pod in owned(self._store, PODS, found)}
        wanted = wanted_pods(found)
        self._act(found, pods, wanted, update)
        fresh = [pod for pod in pods.values() if pod["metadata"]["labels"].get(REVISION_LABEL) == update]
        ready = sum(is_ready(pod) for pod in pods.values() if not is_going(pod))
        before = (found.get("status") or {}).get("currentRevision") or update
        is_done = len(fresh) == wanted and ready == wanted
        patch_status(
            self._store,
            STATEFUL_SETS,
            found,
            observedGeneration=found["metadata"]["generation"],
            replicas=len(pods),
            readyReplicas=ready,
            updatedReplicas=len(fresh),
            currentRevision=update if is_done else before,
            updateRevision=update,
        )

    def _act(self, owner: Object, pods: dict[int, Object], wanted: int, update: str) -> None:
        for ordinal in range(wanted):
            pod = pods.get(ordinal)
            if pod is None:
                name = f"{owner['metadata']['name']}-{ordinal}"
                labels = {REVISION_LABEL: update, "statefulset.kubernetes.io/pod-name": name}
                create_pod(self._store, owner["spec"]["template"], owner=owner, name=name, labels=labels)
                return
            if is_going(pod) or not is_ready(pod):
                return
        extra = [pods[ordinal] for ordinal in sorted(pods, reverse=True) if ordinal >= wanted]
        old = [
            pods[ordinal]
            for ordinal in sorted(pods, reverse=True)
            if ordinal < wanted and pods[ordinal]["metadata"]["labels"].get(REVISION_LABEL) != update
        ]
        for pod in (extra or old)[:1]:
            end_pod(self._store, pod)


def _ordinal(pod: Object) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])


class DaemonSets:
    """One pod on each node; renewed node by node."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def step(self, namespace: str, name: str) -> None:
        found = self._store.find(DAEMON_SETS, name, namespace)
        if found is None or is_going(found):
            return
        update = template_hash(found["spec"]["template"])
        pods = owned(self._store, PODS, found)
        by_node = {pod["spec"].get("nodeName"): pod for pod in pods}
        for node in NODES:
            if node not in by_node:
                self._create(found, node, update)
        are_ready = len(by_node) == len(NODES) and all(is_ready(pod) and not is_going(pod) for pod in pods)
        old = [pod for pod in pods if pod["metadata"]["labels"].get(REVISION_LABEL) != update]
        if are_ready and old:
            end_pod(self._store, old[0])
        patch_status(
            self._store,
            DAEMON_SETS,
            found,
            observedGeneration=found["metadata"]["generation"],
            desiredNumberScheduled=len(NODES),
            currentNumberScheduled=len(pods),
            updatedNumberScheduled=len(pods) - len(old),
            numberReady=sum(map(is_ready, pods)),
        )

    def _create(self, owner: Object, node: str, update: str) -> None:
        template = owner["spec"]["template"]
        placed = template | {"spec": template["spec"] | {"nodeName": node}}
        labels = {REVISION_LABEL: update, GENERATION_LABEL: str(owner["metadata"]["generation"])}
        create_pod(self._store, placed, owner=owner, prefix=f"{owner['metadata']['name']}-", labels=labels)
