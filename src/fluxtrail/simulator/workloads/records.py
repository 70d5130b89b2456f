"""What is true of one cluster's deployment names: which digest each ends with, and whether it still runs.

Kept from what nodes report and what the API server holds, by rules of its own. Nothing here is shared with what
it is compared with.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.truth import Truth
from fluxtrail.simulator.workloads.objects import (
    PODS,
    REPLICA_SETS,
    RESOURCE_OF_KIND,
    REVISION,
    ROLLOUT_REVISION,
    Object,
    find_controller,
    is_going,
)

MIRROR = "kubernetes.io/config.mirror"

Json = dict[str, Any]


@dataclass(slots=True)
class _Run:
    pod: str
    uid: str
    digest: str
    number: int
    """Counts the starts of the whole cluster."""


@dataclass(slots=True)
class _Name:
    """One deployment name."""

    resource: str
    namespace: str
    workload: str
    container: str
    runs: dict[str, _Run] = field(default_factory=dict)
    """By the pod's uid: the last start in each."""
    digest: str = ""
    status: str = ""


class RecordsTruth:
    """The deployment names of one cluster. `refresh` is called after every turn of its controllers."""

    def __init__(self, cluster: str, *, store: Store, truth: Truth) -> None:
        self._cluster = cluster
        self._store = store
        self._truth = truth
        self._names: dict[str, _Name] = {}
        self._starts = 0

    def ran(self, pod: Object, container: str, digest: str) -> None:
        """A node made a container of this image in a pod."""
        resource, workload = self._workload(pod)
        metadata = pod["metadata"]
        name = f"{metadata['namespace']}/{workload}/{container}"
        known = self._names.setdefault(name, _Name(resource, metadata["namespace"], workload, container))
        self._starts += 1
        known.runs[metadata["uid"]] = _Run(metadata["name"], metadata["uid"], digest, self._starts)
        self._judge(name, known)

    def refresh(self, changed: Collection[tuple[str, str, str]]) -> None:
        """Judge anew what the changed objects, as (resource, namespace, name), have to do with."""
        for name, known in self._names.items():
            is_touched = (known.resource, known.namespace, known.workload) in changed
            if is_touched or any((PODS, known.namespace, run.pod) in changed for run in known.runs.values()):
                self._judge(name, known)

    def listed(self) -> list[Json]:
        """Return `{cluster, deployment_name, digest, status}` of every name that ever was, in order."""
        for name, known in self._names.items():
            self._judge(name, known)
        return [
            {"cluster": self._cluster, "deployment_name": name, "digest": known.digest, "status": known.status}
            for name, known in sorted(self._names.items())
        ]

    def _judge(self, name: str, known: _Name) -> None:
        best = self._best_run(known)
        is_wanted = self._is_wanted(known)
        digest = best.digest if best is not None and is_wanted else known.digest or (best.digest if best else "")
        status = "deployed" if is_wanted else "decommissioned"
        if (digest, status) != (known.digest, known.status):
            known.digest, known.status = digest, status
            self._truth.note("record", cluster=self._cluster, deployment_name=name, digest=digest, status=status)

    def _best_run(self, known: _Name) -> _Run | None:
        """Return the run that speaks for the name: of a pod that goes on, of the newest revision, the last start."""
        ranked = []
        for run in list(known.runs.values()):
            pod = self._store.find(PODS, run.pod, known.namespace)
            if pod is None or pod["metadata"]["uid"] != run.uid:
                del known.runs[run.uid]
            elif not is_going(pod):
                is_over = pod["status"].get("phase") in ("Succeeded", "Failed")
                ranked.append((not is_over, self._revision(pod), run.number, run))
        return max(ranked, key=lambda item: item[:3])[3] if ranked else None

    def _revision(self, pod: Object) -> int:
        owner = find_controller(pod)
        if owner is None or owner["kind"] != "ReplicaSet":
            return 0
        found = self._store.find(REPLICA_SETS, owner["name"], pod["metadata"]["namespace"])
        annotations = ((found or {}).get("metadata") or {}).get("annotations") or {}
        return int(annotations.get(REVISION) or annotations.get(ROLLOUT_REVISION) or 0)

    def _is_wanted(self, known: _Name) -> bool:
        found = self._store.find(known.resource, known.workload, known.namespace)
        if known.resource == PODS and found is None:
            # A mirror of a static pod is named after its node.
            return any(self._store.find(PODS, run.pod, known.namespace) for run in known.runs.values())
        if found is None or (is_going(found) and known.resource == PODS):
            return False
        spec = found["spec"]
        spec = spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec
        spec = spec["template"]["spec"] if "template" in spec else spec
        return any(
            item["name"] == known.container for item in [*spec["containers"], *(spec.get("initContainers") or ())]
        )

    def _workload(self, pod: Object) -> tuple[str, str]:
        """Return (resource, name) of the uppermost controller."""
        namespace = pod["metadata"]["namespace"]
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            return PODS, str(pod["metadata"]["name"]).removesuffix(f"-{pod['spec']['nodeName']}")
        resource, obj = PODS, pod
        while (owner := find_controller(obj)) is not None:
            resource = RESOURCE_OF_KIND[owner["kind"]]
            parent = self._store.find(resource, owner["name"], namespace)
            if parent is None:
                return resource, str(owner["name"])
            obj = parent
        return resource, str(obj["metadata"]["name"])
