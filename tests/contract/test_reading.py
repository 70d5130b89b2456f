"""Single objects read by themselves, on every API server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.world import FLUX, World

from fluxtrail.clusters.reading import ObjectReader
from fluxtrail.clusters.subjects import Subject
from fluxtrail.model import projecting
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.wire_workloads import WireTemplated

LABELS = {"app": "web"}
DEPLOYMENTS: Subject[Any] = Subject(
    group="apps", kind="Deployment", versions=("v1",), wire=WireTemplated, project=projecting.project_deployment
)
SPEC = {
    "replicas": 4,
    "minReadySeconds": 7,
    "selector": {"matchLabels": LABELS},
    "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "app", "image": "a:1"}]}},
}


async def _deploy(world: World, name: str) -> str:
    path = f"/apis/apps/v1/namespaces/{world.namespace}/deployments"
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": SPEC}
    await world.call("POST", path, body)
    return f"{path}/{name}"


async def test_an_object_is_read_as_it_is_now(world: World) -> None:
    path = await _deploy(world, "web")
    reader = ObjectReader(world.connection)
    before = await reader.read(DEPLOYMENTS, world.namespace, "web")
    await world.call("PATCH", path, {"spec": {"replicas": 2}}, content_type="application/merge-patch+json")
    after = await reader.read(DEPLOYMENTS, world.namespace, "web")
    assert before is not None
    assert after is not None
    assert (before.progress.wanted, before.progress.min_ready_seconds, before.progress.max_unavailable) == (4, 7, 1)
    assert (after.uid, after.progress.wanted) == (before.uid, 2)
    assert after.generation > before.generation
    await world.call("DELETE", path)
    assert await reader.read(DEPLOYMENTS, world.namespace, "web") is None


@pytest.mark.parametrize("name", ["absent", "", ".", "..", "a/b", "../web", "web?x=1", "%2e%2e"])
async def test_what_is_not_there_is_none(world: World, name: str) -> None:
    path = await _deploy(world, "web")
    assert await ObjectReader(world.connection).read(DEPLOYMENTS, world.namespace, name) is None
    await world.call("DELETE", path)


async def test_a_kind_that_is_not_served_has_no_objects(world: World) -> None:
    key = ObjectKey("nowhere.example.dev", "Thing", world.namespace, "one")
    assert await ObjectReader(world.connection).read_any(key) is None


async def test_any_kind_is_read_by_what_all_have_in_common(world: World) -> None:
    created = await world.create("one")
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "Late",
        "message": "soon",
        "lastTransitionTime": "2026-03-01T12:00:00Z",
        "observedGeneration": 1,
    }
    await world.patch("one", {"status": {"conditions": [condition]}}, "/status")
    key = ObjectKey(FLUX, "ExternalArtifact", world.namespace, "one")
    item = await ObjectReader(world.connection).read_any(key)
    assert item is not None
    assert (item.key, item.uid, item.containers) == (key, created["metadata"]["uid"], None)
    assert item.progress is not None
    ready = item.progress.find_condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason, ready.message) == ("False", "Late", "soon")
    assert ready.updated_at is not None


async def test_a_kind_without_namespaces_is_read_wherever_it_is_looked_for(world: World) -> None:
    reader = ObjectReader(world.connection)
    for namespace in ("", world.namespace):
        found = await reader.read_any(ObjectKey("", "Namespace", namespace, world.namespace))
        assert found is not None
        assert found.key.name == world.namespace
    assert await reader.read_any(ObjectKey("apps", "Deployment", "", "web")) is None


async def _told(world: World, name: str, uid: str, **fields: Any) -> None:
    about = {"kind": "Pod", "namespace": world.namespace, "name": "web-0", "uid": uid, "apiVersion": "v1"}
    body = {"metadata": {"name": name}, "involvedObject": about, "type": "Warning", "message": "no"} | fields
    path = f"/api/v1/namespaces/{world.namespace}/events"
    await world.call("POST", path, {"apiVersion": "v1", "kind": "Event"} | body)


async def test_events_of_one_object_are_listed_in_their_order(world: World) -> None:
    uid = ObjectUid("11111111-2222-3333-4444-555555555555")
    await _told(world, "a", uid, reason="Unhealthy", lastTimestamp="2026-03-01T12:00:09Z", count=3)
    await _told(world, "b", "another", reason="FailedMount", lastTimestamp="2026-03-01T12:00:01Z")
    at = {"eventTime": "2026-03-01T12:00:02.000005Z", "reportingComponent": "x.example.dev/y"}
    await _told(world, "c", uid, reason="Scheduled", action="Binding", reportingInstance="y-1", **at)
    reader = ObjectReader(world.connection)
    found = await reader.list_events(world.namespace, uid, limit=50)
    assert [(event.reason, event.seen_at.second, event.message) for event in found] == [
        ("Scheduled", 2, "no"),
        ("Unhealthy", 9, "no"),
    ]
    assert len(await reader.list_events(world.namespace, uid, limit=1)) == 1
    assert await reader.list_events(world.namespace, ObjectUid("none"), limit=50) == []


@pytest.mark.parametrize("uid", ["", "a,involvedObject.uid!=b", "a b", "*"])
async def test_what_is_no_uid_has_no_events(world: World, uid: str) -> None:
    await _told(world, "a", uid, reason="Unhealthy", lastTimestamp="2026-03-01T12:00:09Z")
    assert await ObjectReader(world.connection).list_events(world.namespace, ObjectUid(uid), limit=50) == []
