"""What runs, through the whole service: a commit in git, Flux, a cluster's workloads, and what the API says."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.records import Shop, digest
from tests.runtime.worlds import (
    NAMESPACE,
    Cluster,
    Running,
    ago,
    make_environ,
    make_repository,
    make_settings,
    push,
    revision,
    running,
    until,
)

from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.repositories import Commit, Repository

pytestmark = pytest.mark.timeout(60)


class Floor(Shop):
    """Deployments `name` of one pod, as the Kustomization `apps` applies them and controllers go on with them."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._cluster = cluster

    def apply(self, commit: Commit, *names: str, at: datetime | None = None) -> None:
        """Flux says that it has applied a commit, and these Deployments with it."""
        self._cluster.target("apps")
        entries = [{"id": f"shop_{name}_apps_Deployment", "v": "v1"} for name in names]
        self._store.patch_status("kustomizations", "apps", NAMESPACE, {"inventory": {"entries": entries}})
        self._cluster.apply(commit, at=at)

    def change(self, name: str, version: int, *, at: datetime | None = None) -> None:
        """Flux writes a Deployment."""
        template = {"spec": {"containers": [{"name": "app", "image": f"ghcr.io/acme/{name}:v{version}"}]}}
        labels = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": NAMESPACE}
        touched = {"manager": "kustomize-controller", "operation": "Apply", "time": wire_time(at or ago(0))}
        if self._store.find("namespaces", "shop") is None:
            self._store.insert_namespace("shop")
        if self._store.find("deployments", name, "shop") is None:
            self._create("deployments", "apps/v1", "Deployment", name, "shop", {"replicas": 1, "template": template})
        meta = {"labels": labels, "managedFields": [touched]}
        self._store.patch("deployments", name, "shop", {"metadata": meta, "spec": {"template": template}})

    def begin(self, name: str, version: int) -> str:
        """Its controller makes a pod of the new template, which does not run; returns the pod's name."""
        pod = self.deploy(name, version, revision=version)
        waiting = {"name": "app", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
        self._pod(pod, "Pending", "False", waiting)
        self._count(name, version, updated=1, available=0)
        return pod

    def finish(self, name: str, version: int) -> None:
        pod = f"{name}-{version}-{version}"
        started = {"running": {"startedAt": wire_time(ago(0))}}
        status = {"name": "app", "ready": True, "imageID": f"ghcr.io/acme/app@{digest(version)}", "state": started}
        self._pod(pod, "Running", "True", status)
        self._count(name, version, updated=1, available=1)

    def break_image(self, name: str, version: int) -> None:
        waiting = {"reason": "ImagePullBackOff", "message": f"Back-off pulling image ghcr.io/acme/{name}:v{version}"}
        status = {"name": "app", "ready": False, "state": {"waiting": waiting}}
        self._pod(f"{name}-{version}-{version}", "Pending", "False", status)

    def _pod(self, pod: str, phase: str, ready: str, container: dict[str, Any]) -> None:
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": wire_time(ago(0))}
        status = {"phase": phase, "conditions": [condition], "containerStatuses": [container]}
        self._store.patch_status("pods", pod, "shop", status)

    def _count(self, name: str, version: int, *, updated: int, available: int) -> None:
        found = self._store.get("deployments", name, "shop")
        reason = "NewReplicaSetAvailable" if available else "ReplicaSetUpdated"
        message = f'ReplicaSet "{name}-{version}" has successfully progressed.'
        condition = {"type": "Progressing", "status": "True", "reason": reason, "message": message}
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": 1,
            "updatedReplicas": updated,
            "availableReplicas": available,
            "conditions": [condition | {"lastUpdateTime": wire_time(ago(0))}],
        }
        self._store.patch_status("deployments", name, "shop", status)

    def run_at_once(self, name: str, version: int, *, at: datetime | None = None) -> None:
        self.change(name, version, at=at)
        self.begin(name, version)
        self.finish(name, version)


async def until_running(service: Running, commit: Commit, word: str, *, target: str = "apps") -> dict[str, Any]:
    async def find() -> dict[str, Any] | None:
        for item in await service.deliveries(commit.sha):
            if item["target"].endswith(f"/{target}") and item["running"] == word:
                return dict(item)
        return None

    found: dict[str, Any] = await until(find, f"{commit.sha} {word} on {target}")
    return found


@pytest.fixture
async def fleet(tmp_path: Path) -> Repository:
    return await make_repository(tmp_path)


async def begun(cluster: Cluster, fleet: Repository, *names: str) -> Floor:
    """Let a first commit run since long: of what two syncs do within one second, nobody can say whose it is."""
    floor = Floor(cluster)
    first = await push(fleet, {"apps/web.yaml": "replicas: 1\n"}, at=ago(600))
    cluster.fetch(first, url=fleet.url, at=ago(500))
    for name in names:
        floor.run_at_once(name, 1, at=ago(400))
    floor.apply(first, *names, at=ago(400))
    return floor


async def next_commit(cluster: Cluster, fleet: Repository, text: str) -> Commit:
    commit = await push(fleet, {"apps/web.yaml": f"{text}\n"}, text)
    cluster.fetch(commit, url=fleet.url)
    return commit


async def test_commit_is_followed_until_it_runs(tmp_path: Path, fleet: Repository) -> None:
    cluster = Cluster()
    async with cluster.server:
        floor = await begun(cluster, fleet, "web", "other")
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as service:
            await service.until_ready()
            await service.until_attributed()
            commit = await next_commit(cluster, fleet, "two")
            floor.change("web", 2)
            floor.begin("web", 2)
            floor.apply(commit, "web", "other")
            found = await until_running(service, commit, "waiting")
            assert [item["workload"] for item in found["blockers"]] == ["Deployment/shop/web"]
            floor.break_image("web", 2)

            async def is_blocked() -> bool:
                items = (await service.ask("/workloads?state=blocked"))["items"]
                return [(item["workload"], item["cause"]) for item in items] == [("Deployment/shop/web", "image_pull")]

            await until(is_blocked, "the cause of what does not run")
            assert await service.sample("fluxtrail_workloads_not_running", cause="image_pull") == 1
            floor.finish("web", 2)
            found = await until_running(service, commit, "reached")
            assert found["verdict"] == "deployed"
            assert await service.sample("fluxtrail_workloads_not_running") == 0


async def test_what_rolls_out_while_nobody_watches_runs_after_a_restart(tmp_path: Path, fleet: Repository) -> None:
    cluster = Cluster()
    settings, environ = make_settings(tmp_path), make_environ(tmp_path)
    async with cluster.server:
        settings = make_settings(tmp_path, cluster)
        floor = await begun(cluster, fleet, "web")
        async with running(settings, environ) as service:
            await service.until_ready()
            await service.until_attributed()
            waits = await next_commit(cluster, fleet, "two")
            floor.change("web", 2)
            floor.begin("web", 2)
            floor.apply(waits, "web")
            await until_running(service, waits, "waiting")
        floor.finish("web", 2)
        unseen = await next_commit(cluster, fleet, "three")
        floor.run_at_once("new", 1)
        floor.apply(unseen, "web", "new")
        async with running(settings, environ) as service:
            first = await until_running(service, waits, "reached")
            second = await until_running(service, unseen, "reached")
            assert {first["verdict"], second["verdict"]} == {"deployed"}
        async with running(settings, environ) as service:
            await service.until_ready()
            assert await until_running(service, waits, "reached") == first


async def test_commit_that_changes_nothing_that_runs_has_no_such_stage(tmp_path: Path, fleet: Repository) -> None:
    cluster = Cluster()
    async with cluster.server:
        floor = await begun(cluster, fleet, "web")
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as service:
            await service.until_ready()
            await service.until_attributed()
            commit = await next_commit(cluster, fleet, "two")
            floor.apply(commit, "web")
            assert (await until_running(service, commit, "absent"))["verdict"] == "deployed"
            assert revision(commit) in [item["applied"] for item in await service.targets()]


async def test_what_waits_is_given_up_where_workloads_are_no_longer_watched(tmp_path: Path, fleet: Repository) -> None:
    cluster = Cluster()
    async with cluster.server:
        settings, environ = make_settings(tmp_path, cluster), make_environ(tmp_path)
        floor = await begun(cluster, fleet, "web")
        async with running(settings, environ) as service:
            await service.until_ready()
            await service.until_attributed()
            commit = await next_commit(cluster, fleet, "two")
            floor.change("web", 2)
            floor.begin("web", 2)
            floor.apply(commit, "web")
            await until_running(service, commit, "waiting")
        async with running(make_settings(tmp_path, cluster, workloads={"enabled": False}), environ) as service:
            await until_running(service, commit, "unknown")
            assert await service.sample("fluxtrail_workloads_not_running") == 0
