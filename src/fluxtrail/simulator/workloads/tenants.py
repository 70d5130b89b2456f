"""What runs on every simulated cluster besides what Flux delivers: one of each kind that makes pods."""

from __future__ import annotations

from typing import Any

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.workloads.applying import completed
from fluxtrail.simulator.workloads.images import image_digest
from fluxtrail.simulator.workloads.kubelet import NODES
from fluxtrail.simulator.workloads.objects import RESOURCE_OF_KIND, Object
from fluxtrail.simulator.workloads.records import MIRROR

NAMESPACE = "tools"
FOREIGN_IMAGE = "docker.example/library/mirror:3.2"
"""Built by somebody else: GitHub never hears of an attestation."""
FOREIGN_DIGEST = image_digest(FOREIGN_IMAGE)
STABLE_IMAGE = "registry.example/edge-cache:stable"
"""A tag that moves."""


def image(name: str, version: str) -> str:
    return f"registry.example/{name}:{version}"


def container(name: str, reference: str, **more: Any) -> Object:
    return {"name": name, "image": reference} | more


def install_nodes(store: Store) -> None:
    for node in NODES:
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        made = {"metadata": {"name": node}, "status": {"conditions": [ready]}}
        store.create("nodes", made, with_status=True)


def install(store: Store) -> None:
    """Create the namespace and all that runs in it, and what the nodes run themselves."""
    store.insert_namespace(NAMESPACE)
    for node in NODES:
        store.create("pods", _mirror_pod(store.get("nodes", node)), with_status=True)
    for manifest in _manifests():
        store.create(RESOURCE_OF_KIND[manifest["kind"]], completed(manifest))


def _manifests() -> list[Object]:
    migrate = container("migrate", image("catalog-migrate", "4.0"))
    proxy = container("proxy", image("mesh-proxy", "2.9"), restartPolicy="Always")
    return [
        _workload("Deployment", "catalog", container("catalog", image("catalog", "1.0")), init=[migrate, proxy]),
        _workload(
            "Deployment",
            "search",
            container("search", image("search", "1.0")),
            container("exporter", image("search-exporter", "0.8")),
            annotations={"metadata.github.com/team": "search"},
        ),
        _workload("Deployment", "legacy", container("legacy", image("legacy", "0.1"))),
        _workload("Deployment", "batcher", container("batcher", image("batcher", "1.0"))),
        _workload("Deployment", "edge-cache", container("cache", STABLE_IMAGE)),
        _workload("Deployment", "mirror", container("mirror", FOREIGN_IMAGE), replicas=1),
        _workload("ReplicaSet", "relay", container("relay", image("relay", "1.0"))),
        _workload("StatefulSet", "database", container("database", image("database", "15.1"))),
        _workload("DaemonSet", "node-agent", container("agent", image("node-agent", "1.0"))),
        _workload(
            "Rollout", "checkout", container("checkout", image("checkout", "1.0")), version="argoproj.io/v1alpha1"
        ),
        _job("seed-data"),
        _cron_job("report"),
        _bare_pod("debug"),
    ]


def _workload(
    kind: str,
    name: str,
    *containers: Object,
    init: list[Object] | None = None,
    replicas: int = 2,
    annotations: dict[str, str] | None = None,
    version: str = "apps/v1",
) -> Object:
    spec: Object = {"containers": list(containers)}
    if init:
        spec["initContainers"] = init
    metadata: Object = {"name": name, "namespace": NAMESPACE}
    if annotations:
        metadata["annotations"] = annotations
    whole: Object = {"template": {"metadata": {"labels": {"app": name}}, "spec": spec}}
    if kind != "DaemonSet":
        whole["replicas"] = replicas
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": whole}


def _job_template(name: str) -> Object:
    containers = [container(name, image(name, "1.0"))]
    return {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}


def _job(name: str) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": _job_template(name)}


def _cron_job(name: str) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    spec = {"schedule": "*/10 * * * *", "jobTemplate": {"spec": _job_template(name)}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}


def _bare_pod(name: str) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    spec = {"containers": [container(name, image(name, "1.0"))]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _mirror_pod(node: Object) -> Object:
    """Return what a node shows of a static pod of its own: owned by the node, named after it."""
    name = node["metadata"]["name"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"], "controller": True}
    metadata = {
        "name": f"etcd-{name}",
        "namespace": "kube-system",
        "annotations": {MIRROR: "0123456789abcdef", "kubernetes.io/config.source": "file"},
        "ownerReferences": [owner],
    }
    spec = {"nodeName": name, "containers": [container("etcd", image("etcd", "3.6"))]}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
