"""Workloads of a simulated cluster, written by hand, and a GitHub that takes records of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from aiohttp import web
from tests.runtime.worlds import Cluster, ago

from fluxtrail.simulator.artifact_metadata import ArtifactMetadata
from fluxtrail.simulator.clock import SimulatedClock, wire_time

TOKEN = "a-token-that-nobody-may-see"


def digest(version: int) -> str:
    return f"sha256:{version:064x}"


class GitHubRecords(ArtifactMetadata):
    """A real listener that takes records; `url` once it is open."""

    url = ""

    def held(self, cluster: str = "prod") -> dict[str, tuple[str, str]]:
        """Return (digest, status) by deployment name."""
        return {
            item["deployment_name"]: (item["digest"], item["status"])
            for item in self.listed()
            if item["cluster"] == cluster
        }


@asynccontextmanager
async def open_github(*, token: str = TOKEN) -> AsyncIterator[GitHubRecords]:
    github = GitHubRecords(clock=SimulatedClock(), token=token)
    app = web.Application()
    github.add_routes(app.router)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        github.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield github
    finally:
        await runner.cleanup()


class Shop:
    """Writes Deployments, their ReplicaSets and pods to a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._store = cluster.store

    def deploy(
        self, name: str, version: int, *, namespace: str = "shop", revision: int = 1, at: datetime | None = None
    ) -> str:
        """A Deployment with one pod of a version; returns the pod's name."""
        if self._store.find("namespaces", namespace) is None:
            self._store.insert_namespace(namespace)
        containers = [{"name": "app", "image": f"ghcr.io/acme/{name}:v{version}"}]
        if self._store.find("deployments", name, namespace) is None:
            template = {"spec": {"containers": containers}}
            self._create("deployments", "apps/v1", "Deployment", name, namespace, {"replicas": 1, "template": template})
        owner = self._reference("deployments", "apps/v1", "Deployment", name, namespace)
        replica_set = f"{name}-{version}"
        if self._store.find("replicasets", replica_set, namespace) is None:
            notes = {"deployment.kubernetes.io/revision": str(revision)}
            self._create(
                "replicasets",
                "apps/v1",
                "ReplicaSet",
                replica_set,
                namespace,
                {"replicas": 1},
                owner=owner,
                notes=notes,
            )
        owner = self._reference("replicasets", "apps/v1", "ReplicaSet", replica_set, namespace)
        pod = f"{replica_set}-{revision}"
        self._create("pods", "v1", "Pod", pod, namespace, {"containers": containers}, owner=owner)
        self.run(pod, version, namespace=namespace, at=at)
        return pod

    def run(self, pod: str, version: int, *, namespace: str = "shop", at: datetime | None = None) -> None:
        status = {
            "name": "app",
            "imageID": f"ghcr.io/acme/app@{digest(version)}",
            "ready": True,
            "state": {"running": {"startedAt": wire_time(at or ago(0))}},
        }
        self._store.patch_status("pods", pod, namespace, {"phase": "Running", "containerStatuses": [status]})

    def delete(self, plural: str, name: str, *, namespace: str = "shop") -> None:
        self._store.delete(plural, name, namespace)

    def annotate(self, plural: str, name: str, notes: dict[str, str], *, namespace: str = "shop") -> None:
        self._store.patch(plural, name, namespace, {"metadata": {"annotations": notes}})

    def _create(
        self,
        plural: str,
        version: str,
        kind: str,
        name: str,
        namespace: str,
        spec: dict[str, Any],
        *,
        owner: dict[str, Any] | None = None,
        notes: dict[str, str] | None = None,
    ) -> None:
        meta: dict[str, Any] = {"name": name, "namespace": namespace, "annotations": notes or {}}
        if owner is not None:
            meta["ownerReferences"] = [owner]
        self._store.create(plural, {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec})

    def _reference(self, plural: str, version: str, kind: str, name: str, namespace: str) -> dict[str, Any]:
        uid = self._store.get(plural, name, namespace)["metadata"]["uid"]
        return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}
