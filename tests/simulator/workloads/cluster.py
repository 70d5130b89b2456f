"""One simulated cluster with its workload controllers, and short ways to ask what runs on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.workloads.applying import completed
from fluxtrail.simulator.workloads.controller import WorkloadController
from fluxtrail.simulator.workloads.images import image_digest
from fluxtrail.simulator.workloads.objects import RESOURCE_OF_KIND, is_going, is_ready

Json = dict[str, Any]


def workload(kind: str, name: str, *images: str, replicas: int = 2, **pod_spec: Any) -> Json:
    """Return a manifest whose containers are named after their images."""
    spec = {"containers": [container(image) for image in images]} | pod_spec
    whole: Json = {"template": {"metadata": {"labels": {"app": name}}, "spec": spec}}
    if kind != "DaemonSet":
        whole["replicas"] = replicas
    version = "argoproj.io/v1alpha1" if kind == "Rollout" else "apps/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": whole}


def container(image: str, **more: Any) -> Json:
    return {"name": image.partition(":")[0], "image": f"registry.example/{image}"} | more


def digest(image: str) -> str:
    return image_digest(f"registry.example/{image}")


class Cluster:
    def __init__(self, store: Store, workloads: WorkloadController) -> None:
        self.store = store
        self.workloads = workloads

    def put(self, manifest: Json) -> None:
        """Create an object, or replace what it wants."""
        resource, name = RESOURCE_OF_KIND[manifest["kind"]], manifest["metadata"]["name"]
        present = self.store.find(resource, name, "shop")
        if present is None:
            self.store.create(resource, completed(manifest))
        else:
            self.store.update(resource, present | {"spec": completed(manifest)["spec"]})

    async def settle(self) -> None:
        await self.until(self.workloads.is_settled)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - any condition of the cluster
                await asyncio.sleep(0.005)

    async def run(self, *manifests: Json) -> None:
        """Put manifests one after the other, each when the one before has arrived."""
        for manifest in manifests:
            self.put(manifest)
            await self.settle()

    def pods(self, app: str) -> list[Json]:
        return self.store.list("pods", "shop", label_selector=f"app={app}")

    def ready(self, app: str) -> list[Json]:
        return [pod for pod in self.pods(app) if is_ready(pod) and not is_going(pod)]

    def sets(self, app: str) -> list[Json]:
        return self.store.list("replicasets", "shop", label_selector=f"app={app}")

    def images(self, app: str) -> set[str]:
        """Return the image ids of all containers that are there."""
        statuses = [status for pod in self.pods(app) for status in pod["status"].get("containerStatuses", ())]
        return {status["imageID"] for status in statuses}

    def rolled_at(self, resource: str, name: str) -> datetime | None:
        """Return when the present generation of a workload of `shop` ran."""
        metadata = self.store.get(resource, name, "shop")["metadata"]
        return self.workloads.running.rolled_at(metadata["uid"], metadata["generation"])

    def truth(self) -> dict[str, tuple[str, str]]:
        return {r["deployment_name"]: (r["digest"], r["status"]) for r in self.workloads.records.listed()}
