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
    staying,
    template_hash,
    wanted_pods,
)

REVISION_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"


class StatefulSets:
    """Brings ordinals up from the lowest, and renews them from the highest: each when the others are ready.

    Below a `partition`, and with `OnDelete`, pods keep the template that they have.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def step(self, namespace: str, name: str) -> None:
        found = self._store.find(STATEFUL_SETS, name, namespace)
        if found is None or is_going(found):
            return
        update = f"{name}-{template_hash(found['spec']['template'])}"
        current = (found.get("status") or {}).get("currentRevision") or update
        pods = {_ordinal(pod): pod for pod in owned(self._store, PODS, found)}
        wanted = wanted_pods(found)
        self._act(found, pods, wanted, update)
        there = staying(pods.values())
        fresh = [pod for pod in there if pod["metadata"]["labels"].get(REVISION_LABEL) == update]
        ready = sum(map(is_ready, there))
        if len(fresh) == wanted and ready == wanted and len(there) == wanted:
            current = update
        patch_status(
            self._store,
            STATEFUL_SETS,
            found,
            observedGeneration=found["metadata"]["generation"],
            replicas=len(there),
            readyReplicas=ready,
            availableReplicas=ready,
            updatedReplicas=len(fresh) or None,
            currentReplicas=sum(p["metadata"]["labels"].get(REVISION_LABEL) == current for p in there) or None,
            currentRevision=current,
            updateRevision=update,
        )

    def _act(self, owner: Object, pods: dict[int, Object], wanted: int, update: str) -> None:
        first = _first_renewed(owner)
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
            if first is not None
            and first <= ordinal < wanted
            and pods[ordinal]["metadata"]["labels"].get(REVISION_LABEL) != update
        ]
        for pod in (extra or old)[:1]:
            end_pod(self._store, pod)


def _first_renewed(owner: Object) -> int | None:
    """Return the lowest ordinal that gets a new template; None: none does by itself."""
    strategy = owner["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return None
    return int((strategy.get("rollingUpdate") or {}).get("partition") or 0)


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
        old = [pod for pod in pods if pod["metadata"]["labels"].get(REVISION_LABEL) != update]
        is_manual = (found["spec"].get("updateStrategy") or {}).get("type") == "OnDelete"
        is_waiting = len(by_node) < len(NODES) or any(is_going(pod) or not is_ready(pod) for pod in pods)
        sick = [pod for pod in old if not is_ready(pod) and not is_going(pod)]
        if old and not is_manual and (not is_waiting or (sick and len(by_node) == len(NODES))):
            end_pod(self._store, (sick or old)[0])
        ready = sum(is_ready(pod) for pod in staying(pods))
        updated = sum(pod not in old for pod in staying(pods))
        patch_status(
            self._store,
            DAEMON_SETS,
            found,
            observedGeneration=found["metadata"]["generation"],
            desiredNumberScheduled=len(NODES),
            currentNumberScheduled=len(pods),
            updatedNumberScheduled=updated or None,
            numberReady=ready,
            numberAvailable=ready or None,
            numberUnavailable=len(NODES) - ready or None,
            numberMisscheduled=0,
        )

    def _create(self, owner: Object, node: str, update: str) -> None:
        template = owner["spec"]["template"]
        placed = template | {"spec": template["spec"] | {"nodeName": node}}
        labels = {REVISION_LABEL: update, GENERATION_LABEL: str(owner["metadata"]["generation"])}
        create_pod(self._store, placed, owner=owner, prefix=f"{owner['metadata']['name']}-", labels=labels)
