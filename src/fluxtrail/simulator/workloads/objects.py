"""Small facts about Kubernetes objects that the simulated workload controllers share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from fluxtrail.simulator.apiserver.store import Store

Object = dict[str, Any]

PODS, REPLICA_SETS, DEPLOYMENTS = "pods", "replicasets", "deployments"
STATEFUL_SETS, DAEMON_SETS, JOBS, CRON_JOBS, ROLLOUTS = "statefulsets", "daemonsets", "jobs", "cronjobs", "rollouts"
RESOURCES = (PODS, REPLICA_SETS, DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, JOBS, CRON_JOBS, ROLLOUTS)
RESOURCE_OF_KIND = {
    "Pod": PODS,
    "ReplicaSet": REPLICA_SETS,
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "DaemonSet": DAEMON_SETS,
    "Job": JOBS,
    "CronJob": CRON_JOBS,
    "Rollout": ROLLOUTS,
}
KIND_OF_RESOURCE = {resource: kind for kind, resource in RESOURCE_OF_KIND.items()} | {
    "helmreleases": "HelmRelease",
    "helmrepositories": "HelmRepository",
    "ocirepositories": "OCIRepository",
}

MAX_PODS = 3
"""More than so many pods no workload gets, whatever it asks for: a quota that keeps the world small."""
GRACE_SECONDS = 30
REVISION = "deployment.kubernetes.io/revision"
ROLLOUT_REVISION = "rollout.argoproj.io/revision"

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: Object) -> str:
    """Return the short name of a pod template: the same one gives the same, as with the real controllers."""
    raw = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in raw[:10])


def owner_reference(owner: Object) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def find_controller(obj: Object) -> Object | None:
    """Return the owner reference of what made an object, or None."""
    owners: list[Object] = obj["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def is_going(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def wanted_pods(obj: Object) -> int:
    replicas = obj["spec"].get("replicas")
    return min(1 if replicas is None else int(replicas), MAX_PODS)


def is_to_run(resource: str, obj: Object) -> bool:
    """Whether a roll-out of this ever ends with pods: CronJobs, zero, and what is suspended do not."""
    if resource in (JOBS, CRON_JOBS):
        return resource == JOBS and not obj["spec"].get("suspend")
    return resource == DAEMON_SETS or (resource in RESOURCES and wanted_pods(obj) > 0)


def revision(replica_set: Object, annotation: str = REVISION) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(annotation, 0))


def owned(store: Store, resource: str, owner: Object) -> list[Object]:
    """Return what an object made and has not let go, found by its selector."""
    labels = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    return owned_by_labels(store, resource, owner, labels)


def owned_by_labels(store: Store, resource: str, owner: Object, labels: Object) -> list[Object]:
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    uid = owner["metadata"]["uid"]
    found = store.list(resource, owner["metadata"]["namespace"], label_selector=selector)
    return [obj for obj in found if (find_controller(obj) or {}).get("uid") == uid]


def staying(objects: Iterable[Object]) -> list[Object]:
    return [obj for obj in objects if not is_going(obj)]


def active(pods: Iterable[Object]) -> list[Object]:
    """Return the pods that count for their owner: neither going nor over."""
    return [pod for pod in staying(pods) if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]


def create_pod(
    store: Store, template: Object, *, owner: Object, name: str = "", prefix: str = "", labels: Object | None = None
) -> None:
    """Create a pod from a template: with this name, or one that begins with `prefix`."""
    given = template.get("metadata") or {}
    metadata: Object = {
        "namespace": owner["metadata"]["namespace"],
        "labels": (given.get("labels") or {}) | (labels or {}),
        "ownerReferences": [owner_reference(owner)],
    }
    metadata |= {"name": name} if name else {"generateName": prefix}
    if given.get("annotations"):
        metadata["annotations"] = given["annotations"]
    pod = {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending", "qosClass": "BestEffort"}}
    store.create(PODS, pod, with_status=True)


def end_pod(store: Store, pod: Object) -> None:
    """Ask for a pod's end; its node brings it about."""
    metadata = pod["metadata"]
    store.begin_deletion(PODS, metadata["name"], metadata["namespace"], grace_seconds=GRACE_SECONDS)


def patch_status(store: Store, resource: str, obj: Object, **status: Any) -> None:
    metadata = obj["metadata"]
    store.patch_status(resource, metadata["name"], metadata["namespace"], status)
