"""What a Writer sends and what it makes of the answers, on the simulator's API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.clusters.writing import NotServedError, Occurrence, Writer
from fluxtrail.model.errors import ConfigError, ConflictError, NotFoundError
from fluxtrail.model.observation import ObjectKey
from fluxtrail.simulator.apiserver.server import ApiServer

APPS = ObjectKey("kustomize.toolkit.fluxcd.io", "Kustomization", "flux-system", "apps")
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer(seed=1) as server:
        spec = {"interval": "10m", "path": "./apps", "prune": True}
        server.store.create("kustomizations", {"metadata": {"name": "apps", "namespace": "flux-system"}, "spec": spec})
        yield server


@pytest.fixture
async def writer(server: ApiServer) -> AsyncIterator[Writer]:
    async with Connection(Endpoint(name="c", server=server.url)) as connection:
        yield Writer(connection, field_manager="fluxtrail-test")


async def test_patch_is_merged_at_the_version_that_was_seen(server: ApiServer, writer: Writer) -> None:
    seen = await writer.read(APPS)
    assert seen is not None
    patched = await writer.merge_patch(
        APPS,
        {"metadata": {"annotations": {"a": "1"}}, "spec": {"suspend": True}},
        resource_version=seen["metadata"]["resourceVersion"],
        uid=seen["metadata"]["uid"],
    )
    assert (patched["spec"]["suspend"], patched["metadata"]["annotations"]) == (True, {"a": "1"})
    with pytest.raises(ConflictError) as stale:
        await writer.merge_patch(APPS, {"spec": {}}, resource_version=seen["metadata"]["resourceVersion"])
    assert stale.value.status == 409
    assert server.store.get("kustomizations", "apps", "flux-system")["spec"]["suspend"] is True


async def test_patch_without_a_version_meets_whatever_is_there(writer: Writer) -> None:
    await writer.merge_patch(APPS, {"spec": {"suspend": True}})
    assert (await writer.merge_patch(APPS, {"spec": {"suspend": None}}))["spec"].get("suspend") is None


async def test_object_of_another_uid_is_left_alone(server: ApiServer, writer: Writer) -> None:
    with pytest.raises(ConflictError):
        await writer.merge_patch(APPS, {"spec": {"suspend": True}}, uid="another")
    with pytest.raises(ConflictError):
        await writer.delete(APPS, uid="another")
    assert "suspend" not in server.store.get("kustomizations", "apps", "flux-system")["spec"]


async def test_deleted_is_the_object_that_was_seen(server: ApiServer, writer: Writer) -> None:
    await writer.delete(APPS, uid=server.store.get("kustomizations", "apps", "flux-system")["metadata"]["uid"])
    assert await writer.read(APPS) is None
    with pytest.raises(NotFoundError):
        await writer.merge_patch(APPS, {"spec": {}})


async def test_event_tells_what_was_done_to_an_object(server: ApiServer, writer: Writer) -> None:
    occurrence = Occurrence(
        key=APPS,
        api_version="kustomize.toolkit.fluxcd.io/v1",
        uid="u-1",
        reason="Treated",
        message="m" * 2000,
        at=AT,
        action="reset",
        annotations={"k": "v"},
    )
    await writer.create_event(occurrence)
    await writer.create_event(occurrence)
    event, _ = server.store.list("events", "flux-system")
    assert event["involvedObject"]["uid"] == "u-1"
    assert (event["type"], event["reason"], event["count"], event["action"]) == ("Normal", "Treated", 1, "reset")
    assert event["lastTimestamp"] == "2026-03-01T12:00:00Z"
    assert len(event["message"]) == 1024


async def test_event_of_an_object_without_namespace_is_in_default(server: ApiServer, writer: Writer) -> None:
    node = ObjectKey("", "Node", "", "one")
    await writer.create_event(
        Occurrence(key=node, api_version="v1", uid="u", reason="Seen", message="", at=AT, is_warning=True)
    )
    (event,) = server.store.list("events", "default")
    assert "namespace" not in event["involvedObject"]
    assert event["type"] == "Warning"


async def test_kind_that_is_not_served_is_told_with_its_version(writer: Writer) -> None:
    with pytest.raises(NotServedError, match=r"Widget\.example\.dev \(example\.dev/v1\); install its CRD"):
        await writer.apply({"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {"name": "x"}})
    with pytest.raises(NotServedError, match="v1beta2"):
        await writer.resource("kustomize.toolkit.fluxcd.io", "Kustomization", "v1beta2")


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_name_that_would_be_another_path_is_refused(writer: Writer, name: str) -> None:
    with pytest.raises(ConfigError, match=r"metadata\.name"):
        await writer.read(ObjectKey(APPS.group, APPS.kind, "flux-system", name))


async def test_object_without_its_namespace_is_refused(writer: Writer) -> None:
    with pytest.raises(ConfigError, match=r"metadata\.namespace is missing"):
        await writer.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}})


async def test_name_is_one_step_of_a_path(writer: Writer) -> None:
    assert await writer.read(ObjectKey(APPS.group, APPS.kind, "flux-system", "a/../apps")) is None
