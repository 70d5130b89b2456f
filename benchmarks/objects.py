"""Objects as an API server has them, as large as real ones: Kustomizations of about 4.5 KB, pods of about 12.6 KB.

The greater half of a real object is `managedFields`; they are padded with it to the size wanted.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

KUSTOMIZATION_BYTES = 4_500
POD_BYTES = 12_600
NAMESPACE = "flux-system"
SOURCE_NAME = "fleet"

Object = dict[str, Any]


def wire_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def revision_of(sha: str) -> str:
    return f"main@sha1:{sha}"


def directory_of(number: int) -> str:
    """Return where the manifests of Kustomization `number` lie; a hundred in each folder."""
    return f"apps/{number // 100:03d}/{number:05d}"


def name_of(number: int) -> str:
    return f"app-{number:05d}"


def git_repository(url: str, sha: str, at: datetime) -> Object:
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": SOURCE_NAME, "namespace": NAMESPACE},
        "spec": {"url": url, "interval": "1m0s", "ref": {"branch": "main"}},
        "status": {
            "observedGeneration": 1,
            "conditions": [condition("Ready", "True", "Succeeded", f"stored artifact for {revision_of(sha)}", at)],
            "artifact": artifact(sha, at),
        },
    }


def artifact(sha: str, at: datetime) -> Object:
    return {
        "revision": revision_of(sha),
        "digest": f"sha256:{sha}{sha[:24]}",
        "lastUpdateTime": wire_time(at),
        "path": f"gitrepository/{NAMESPACE}/{SOURCE_NAME}/{sha}.tar.gz",
        "size": 48_213,
        "url": f"http://source-controller.{NAMESPACE}.svc.cluster.local./gitrepository/{SOURCE_NAME}/{sha}.tar.gz",
    }


def kustomization(number: int, sha: str, at: datetime, *, has_checks: bool = False) -> Object:
    """Return a Kustomization that has applied `sha`."""
    return _padded(
        {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {
                "name": name_of(number),
                "namespace": NAMESPACE,
                "labels": {"team": f"team-{number % 20}", "kustomize.toolkit.fluxcd.io/name": "fleet"},
                "finalizers": ["finalizers.fluxcd.io"],
            },
            "spec": {
                "interval": "10m0s",
                "path": f"./{directory_of(number)}",
                "prune": True,
                "wait": has_checks,
                "timeout": "5m0s",
                "sourceRef": {"kind": "GitRepository", "name": SOURCE_NAME},
                "postBuild": {"substitute": {"cluster": "production", "region": "eu-north-1"}},
            },
            "status": success(number, sha, at, digest=f"sha256:{number:064x}", history=[]),
        },
        KUSTOMIZATION_BYTES,
    )


def success(number: int, sha: str, at: datetime, *, digest: str, history: list[Object]) -> Object:
    """Return the status of the last write of a successful reconciliation."""
    revision = revision_of(sha)
    snapshot = {
        "digest": digest,
        "firstReconciled": wire_time(at),
        "lastReconciled": wire_time(at),
        "lastReconciledDuration": "312.480521ms",
        "lastReconciledStatus": "ReconciliationSucceeded",
        "metadata": {"revision": revision},
        "totalReconciliations": 1,
    }
    known = next((item for item in history if item["digest"] == digest), None)
    if known is not None:
        total = known["totalReconciliations"] + 1
        snapshot |= {"firstReconciled": known["firstReconciled"], "totalReconciliations": total}
    return {
        "observedGeneration": 1,
        "conditions": [condition("Ready", "True", "ReconciliationSucceeded", f"Applied revision: {revision}", at)],
        "lastAppliedRevision": revision,
        "lastAttemptedRevision": revision,
        "history": [snapshot, *(item for item in history if item is not known)][:5],
        "inventory": {"entries": [{"id": f"apps_{name_of(number)}-{i}_apps_Deployment", "v": "v1"} for i in range(6)]},
    }


def condition(kind: str, status: str, reason: str, message: str, at: datetime) -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": wire_time(at),
    }


PODS_PER_WORKLOAD = 5
_CONTAINERS = ("app", "metrics", "cache")


def pod_name(number: int) -> tuple[str, str]:
    """Return the namespace and the name of pod `number`; those of one ReplicaSet have neighbouring numbers."""
    workload = number // PODS_PER_WORKLOAD
    suffix = hashlib.sha256(str(number).encode()).hexdigest()[:5]
    return f"team-{workload % 50:02d}", f"{_owner_name(workload)}-{suffix}"


def pod(number: int, at: datetime) -> Object:
    """Return a running pod: each has a name of its own, each ReplicaSet its images, each container its start."""
    workload = number // PODS_PER_WORKLOAD
    namespace, name = pod_name(number)
    images = {each: _image(workload, each) for each in _CONTAINERS}
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": _owner_name(workload),
        "uid": str(uuid.UUID(int=workload)),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return _padded(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "generateName": f"{_owner_name(workload)}-",
                "namespace": namespace,
                "labels": {"app": f"shop-{workload:05d}", "pod-template-hash": _owner_name(workload)[-9:]},
                "annotations": {"prometheus.io/scrape": "true", "metadata.github.com/team": namespace},
                "ownerReferences": [owner],
            },
            "spec": {
                "nodeName": f"node-{number % 50}",
                "containers": [_container(each, image) for each, (image, _) in images.items()],
                "tolerations": [
                    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"}
                    for key in ("not-ready", "unreachable")
                ],
            },
            "status": pod_status(number, at),
        },
        POD_BYTES,
    )


def pod_status(number: int, at: datetime) -> Object:
    """Return the status of a pod whose containers started one after the other."""
    workload, kinds = number // PODS_PER_WORKLOAD, ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "podIP": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": wire_time(at)} for kind in kinds],
        "containerStatuses": [
            {
                "name": each,
                "ready": True,
                "restartCount": 0,
                "image": image,
                "imageID": f"{image.rpartition(':')[0]}@{digest}",
                "state": {"running": {"startedAt": wire_time(at - timedelta(seconds=number * 7 + index))}},
            }
            for index, each in enumerate(_CONTAINERS)
            for image, digest in (_image(workload, each),)
        ],
    }


def _owner_name(workload: int) -> str:
    return f"shop-{workload:05d}-{hashlib.sha256(bytes([workload & 255, workload >> 8])).hexdigest()[:9]}"


def _image(workload: int, container: str) -> tuple[str, str]:
    """Return the image a workload runs in a container, and its digest; sidecars are the same everywhere."""
    name = (
        f"registry.example/acme/shop-{workload:05d}:1.{workload}"
        if container == "app"
        else f"ghcr.io/acme/{container}:2"
    )
    return name, f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def _container(name: str, image: str) -> Object:
    return {
        "name": name,
        "image": image,
        "env": [{"name": f"SETTING_{index}", "value": f"value of setting {index}"} for index in range(12)],
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
    }


def _padded(obj: Object, size_bytes: int) -> Object:
    """Fill `managedFields` up until the object has the size; `obj` is changed."""
    fields: Object = {}
    entry = {
        "manager": "kustomize-controller",
        "operation": "Update",
        "apiVersion": obj["apiVersion"],
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    obj["metadata"]["managedFields"] = [entry]
    # What the server adds itself: uid, versions, times.
    missing = size_bytes - len(json.dumps(obj, separators=(",", ":"))) - 160
    group = 0
    while missing > 0:
        group += 1
        inner: Object = {f"f:setting{index:02d}": {} for index in range(20)}
        fields[f"f:section{group:03d}"] = inner
        missing -= len(json.dumps(inner, separators=(",", ":"))) + 16
    return obj
