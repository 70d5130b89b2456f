"""Pods and what owns them, on every API server: known kinds whole, any other kind by its metadata alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.contract.world import FLUX, Observer, World, observing

from fluxtrail.clusters.discovery import find_resource
from fluxtrail.clusters.subjects import Subject
from fluxtrail.model import projecting
from fluxtrail.model.observation import Gone, Listed, ObjectKey, Seen
from fluxtrail.model.wire_workloads import WireCronJob, WireOwned, WirePod, WireTemplated
from fluxtrail.model.workloads import ContainerKind, ContainerRun, ContainerSpec

FORMS = pytest.mark.parametrize("uses_watch_list", [True, False], ids=["watch-list", "pages"])
LABELS = {"app": "web"}
POD_SPEC: dict[str, Any] = {
    "containers": [{"name": "app", "image": "ghcr.io/acme/web:1"}],
    "initContainers": [{"name": "proxy", "image": "envoy:2", "restartPolicy": "Always"}],
}
CONTAINERS = (
    ContainerSpec("app", "ghcr.io/acme/web:1", ContainerKind.MAIN),
    ContainerSpec("proxy", "envoy:2", ContainerKind.SIDECAR),
)
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD_SPEC}
SCALED = {"replicas": 3, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}
JOB = {"template": {"spec": POD_SPEC | {"restartPolicy": "Never"}}}
DIGEST = "sha256:" + "3b6cdcc7" * 8
KINDS: list[tuple[str, str, dict[str, Any], Any, Any, int | None]] = [
    ("apps", "ReplicaSet", SCALED, WireTemplated, projecting.project_replica_set, 3),
    ("apps", "Deployment", SCALED, WireTemplated, projecting.project_deployment, 3),
    ("apps", "StatefulSet", SCALED | {"serviceName": "web"}, WireTemplated, projecting.project_stateful_set, 3),
    ("apps", "DaemonSet", SCALED | {"replicas": None}, WireTemplated, projecting.project_daemon_set, None),
    ("batch", "Job", JOB, WireTemplated, projecting.project_job, None),
    (
        "batch",
        "CronJob",
        {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": JOB}},
        WireCronJob,
        projecting.project_cron_job,
        None,
    ),
]


@pytest.fixture
async def other_namespace(world: World) -> AsyncIterator[str]:
    name = f"{world.namespace}-b"
    await world.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    await world.call("DELETE", f"/api/v1/namespaces/{name}")


def pods(world: World, **changes: Any) -> Subject[Any]:
    settings: dict[str, Any] = {"group": "", "kind": "Pod", "versions": ("v1",), "wire": WirePod}
    return Subject(**(settings | {"project": projecting.project_pod, "namespaces": (world.namespace,)} | changes))


async def create_pod(world: World, name: str, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"test": world.namespace}}}
    await world.call("POST", f"/api/v1/namespaces/{namespace}/pods", body | {"spec": POD_SPEC})


async def delete_pod(world: World, name: str, namespace: str) -> None:
    await world.call("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0")


def objects(seen: list[Any]) -> list[Any]:
    return [each.object for each in seen if isinstance(each, Seen)]


def gone(seen: list[Any]) -> set[str]:
    return {each.key.name for each in seen if isinstance(each, Gone)}


async def until_listed(at: Observer) -> None:
    await at.until(lambda: any(isinstance(each, Listed) for each in at.seen))


@pytest.mark.parametrize(
    ("group", "kind", "expected"),
    [
        ("", "Pod", "/api/v1/namespaces/a/pods"),
        ("", "Node", "/api/v1/nodes"),
        ("apps", "ReplicaSet", "/apis/apps/v1/namespaces/a/replicasets"),
        ("batch", "CronJob", "/apis/batch/v1/namespaces/a/cronjobs"),
        (FLUX, "ExternalArtifact", f"/apis/{FLUX}/v1/namespaces/a/externalartifacts"),
    ],
)
async def test_owners_are_found_by_group_and_kind(world: World, group: str, kind: str, expected: str) -> None:
    found = await find_resource(world.connection, group, kind)
    assert found is not None
    assert found.path("a") == expected


@FORMS
async def test_of_any_kind_the_metadata_is_followed(world: World, uses_watch_list: bool) -> None:
    await world.create("one", "a", team="x")
    subject = world.subject(is_metadata_only=True, versions=())
    async with observing(world, subject, uses_watch_list=uses_watch_list) as at:
        await at.until_listed()
        await world.create("two")
        await world.reach("one", "main@sha1:abc")
        await world.delete("two")
        await at.until_told("gone two", "one held")
    # Whole objects would have said what their source is.
    assert sorted(at.told()) == ["gone two", "listed", "one", "one held", "two"]
    assert (at.watcher.stats.relists, at.watcher.stats.decode_errors) == (0, 0)


async def test_metadata_is_resumed_after_a_cut(world: World) -> None:
    await world.create("one")
    async with observing(world, world.subject(is_metadata_only=True), watch_seconds=1, watch_jitter_seconds=0) as at:
        await at.until_listed()
        await at.until_resumed()
        await world.create("two")
        await at.until_told("two")
    assert at.told() == ["one", "listed", "two"]


async def test_metadata_is_what_an_owner_is_read_from(world: World) -> None:
    created = await world.create("one", "a")
    subject: Subject[Any] = Subject(
        group=FLUX,
        kind="ExternalArtifact",
        versions=(),
        wire=WireOwned,
        project=lambda wire: projecting.project_owner(wire, group=FLUX, kind="ExternalArtifact"),
        namespaces=(world.namespace,),
        is_metadata_only=True,
    )
    async with observing(world, subject) as at:
        await at.until(lambda: objects(at.seen))
    (owner,) = objects(at.seen)
    assert owner.key == ObjectKey(FLUX, "ExternalArtifact", world.namespace, "one")
    assert (owner.uid, owner.containers, owner.replicas) == (created["metadata"]["uid"], None, None)


async def test_kinds_without_namespaces_know_no_condition_on_them(world: World) -> None:
    subject: Subject[Any] = Subject(
        group="",
        kind="Namespace",
        versions=(),
        wire=WireOwned,
        project=lambda wire: projecting.project_owner(wire, group="", kind="Namespace"),
        field_selector=f"metadata.name={world.namespace},metadata.namespace!=kube-system",
        is_metadata_only=True,
    )
    async with observing(world, subject) as at:
        await at.until(lambda: objects(at.seen))
    assert [found.key.name for found in objects(at.seen)] == [world.namespace]


@FORMS
@pytest.mark.parametrize("is_metadata_only", [False, True], ids=["whole", "metadata"])
async def test_several_namespaces_are_left_out(
    world: World, other_namespace: str, uses_watch_list: bool, is_metadata_only: bool
) -> None:
    subject = pods(
        world,
        namespaces=(),
        label_selector=f"test={world.namespace}",
        field_selector=f"metadata.namespace!={other_namespace},metadata.namespace!=kube-system",
        is_metadata_only=is_metadata_only,
    )
    await create_pod(world, "listed", world.namespace)
    await create_pod(world, "hidden", other_namespace)
    async with observing(world, subject, uses_watch_list=uses_watch_list) as at:
        await until_listed(at)
        await create_pod(world, "unseen", other_namespace)
        await create_pod(world, "watched", world.namespace)
        await at.until(lambda: len(objects(at.seen)) == 2)
        for name, namespace in [("hidden", other_namespace), ("unseen", other_namespace)]:
            await delete_pod(world, name, namespace)
        await delete_pod(world, "watched", world.namespace)
        await at.until(lambda: "watched" in gone(at.seen))
        await delete_pod(world, "listed", world.namespace)
    assert {pod.name for pod in objects(at.seen)} == {"listed", "watched"}
    assert not {"hidden", "unseen"} & gone(at.seen)


async def test_a_pod_is_projected_as_it_starts(world: World) -> None:
    await create_pod(world, "web", world.namespace)
    running = {
        "name": "app",
        "image": "ghcr.io/acme/web:1",
        "imageID": f"ghcr.io/acme/web@{DIGEST}",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": "2026-03-01T12:00:05Z"}},
    }
    status = {"phase": "Running", "containerStatuses": [running], "conditions": [{"type": "Ready", "status": "True"}]}
    path = f"/api/v1/namespaces/{world.namespace}/pods/web/status"
    async with observing(world, pods(world)) as at:
        await until_listed(at)
        await world.call("PATCH", path, {"status": status}, content_type="application/merge-patch+json")
        await at.until(lambda: any(pod.is_ready for pod in objects(at.seen)))
        await delete_pod(world, "web", world.namespace)
    before, after = [pod for pod in objects(at.seen) if not pod.is_deleting][:2]
    app, proxy = after.containers
    assert before.containers[0] == ContainerRun(
        "app", "ghcr.io/acme/web:1", ContainerKind.MAIN, "", is_ready=False, started_at=None
    )
    assert (app.image_id, app.is_ready, app.started_at.second) == (DIGEST, True, 5)
    assert (proxy.kind, proxy.image_id) == (ContainerKind.SIDECAR, "")
    assert (after.phase, after.is_ready, after.namespace, after.uid) == ("Running", True, world.namespace, before.uid)


@pytest.mark.parametrize(
    ("group", "kind", "spec", "wire", "project", "replicas"), KINDS, ids=[kind for _, kind, *_ in KINDS]
)
async def test_workloads_are_projected(
    world: World, group: str, kind: str, spec: dict[str, Any], wire: Any, project: Any, replicas: int | None
) -> None:
    path = f"/apis/{group}/v1/namespaces/{world.namespace}/{kind.lower()}s"
    notes = {"metadata.github.com/team": "shop", "other/team": "x"}
    body = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "web", "annotations": notes}}
    created = await world.call(
        "POST", path, body | {"spec": {name: value for name, value in spec.items() if value is not None}}
    )
    subject: Subject[Any] = Subject(
        group=group, kind=kind, versions=("v1",), wire=wire, project=project, namespaces=(world.namespace,)
    )
    async with observing(world, subject) as at:
        await at.until(lambda: objects(at.seen))
        await world.call("DELETE", f"{path}/web?propagationPolicy=Background")
    found = objects(at.seen)[0]
    assert (found.uid, found.key) == (created["metadata"]["uid"], ObjectKey(group, kind, world.namespace, "web"))
    assert (found.containers, found.replicas, found.notes) == (CONTAINERS, replicas, (("team", "shop"),))
    assert found.created_at is not None
