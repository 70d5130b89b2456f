"""Planning, applying and pruning Flux's objects, on the simulator's API server and on a real one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.contract.world import World

from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.apply.applying import Outcome, carry_out
from fluxtrail.gitops.apply.planning import plan
from fluxtrail.gitops.apply.pruning import dropped
from fluxtrail.gitops.objects.manifests import Manifest, to_manifest
from fluxtrail.gitops.requests.asking import RESET, request, suspend, token_of
from fluxtrail.gitops.status.watching import read_board
from fluxtrail.model.observation import ObjectKey

KUSTOMIZE = "kustomize.toolkit.fluxcd.io"


def kustomization(world: World, name: str, **spec: Any) -> Manifest:
    data = {
        "apiVersion": f"{KUSTOMIZE}/v1",
        "kind": "Kustomization",
        "metadata": {"name": name, "namespace": world.namespace},
        "spec": {
            "interval": "5m0s",
            "prune": False,
            "suspend": True,  # no controller is to touch it
            "sourceRef": {"kind": "GitRepository", "name": "nowhere"},
            **spec,
        },
    }
    return to_manifest(data, source="flux-ks.yaml", line=1)


async def apply(world: World, manager: str, *manifests: Manifest, force: bool = False) -> dict[str, Outcome]:
    writer = Writer(world.connection, field_manager=manager)
    steps = await plan(writer, manifests, namespace=world.namespace, force=force)
    return {each.step.key.name: each async for each in carry_out(writer, steps, force=force)}


async def test_plan_tells_what_is_done_then_and_one_refusal_stops_nothing(world: World) -> None:
    done = await apply(
        world,
        "team",
        kustomization(world, "b", dependsOn=[{"name": "a"}]),
        kustomization(world, "broken", path=1) if world.connection.server.startswith("https") else _unserved(world),
        kustomization(world, "a"),
    )
    assert {name: each.result for name, each in done.items()} == {"a": "created", "b": "created", "broken": "failed"}
    assert list(done).index("a") < list(done).index("b")
    again = await apply(world, "team", kustomization(world, "a"), kustomization(world, "b", path="./new"))
    assert {name: each.result for name, each in again.items()} == {"a": "unchanged", "b": "configured"}
    assert "+  path: ./new" in again["b"].step.diff
    assert "timeout" not in again["a"].step.diff


def _unserved(world: World) -> Manifest:
    """The simulator's CRDs have no types of fields."""
    data = kustomization(world, "broken").data | {"apiVersion": f"{KUSTOMIZE}/v1alpha9"}
    return to_manifest(data, source="flux-ks.yaml", line=1)


async def test_conflict_is_told_and_forced(world: World) -> None:
    await apply(world, "team", kustomization(world, "a"))
    refused = await apply(world, "other", kustomization(world, "a", interval="1m0s"))
    assert refused["a"].result == "failed"
    assert refused["a"].problem.startswith("team owns .spec.interval: --force-conflicts")
    forced = await apply(world, "other", kustomization(world, "a", interval="1m0s"), force=True)
    assert forced["a"].result == "configured"


async def test_dropped_is_what_only_we_applied(world: World) -> None:
    ours = f"team-{world.namespace}"
    await apply(
        world, ours, kustomization(world, "kept"), kustomization(world, "shared"), kustomization(world, "dropped")
    )
    await apply(world, "other", kustomization(world, "shared"), kustomization(world, "theirs"))
    writer = Writer(world.connection, field_manager=ours)
    kept = {ObjectKey(KUSTOMIZE, "Kustomization", world.namespace, "kept")}
    steps = await dropped(world.connection, writer, kept, ["kustomizations"])
    assert [step.key.name for step in steps] == ["dropped"]
    outcomes = [each.result async for each in carry_out(writer, steps, force=False)]
    assert outcomes == ["deleted"]
    left = await writer.read(steps[0].key)
    assert left is None or left["metadata"].get("deletionTimestamp")


async def test_requests_are_one_patch_each_in_our_name(world: World) -> None:
    release = {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "web", "namespace": world.namespace},
        "spec": {"interval": "5m0s", "chartRef": {"kind": "OCIRepository", "name": "web"}, "suspend": True},
    }
    writer = Writer(world.connection, field_manager="fluxtrail")
    await writer.apply(release)
    key = ObjectKey("helm.toolkit.fluxcd.io", "HelmRelease", world.namespace, "web")
    now = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
    left = await request(writer, key, now=now, reset=True)
    assert left["metadata"]["annotations"][RESET] == token_of(now) == "2026-03-01T12:00:00.000005Z"
    generation = left["metadata"]["generation"]
    left = await suspend(writer, key, is_suspended=False)
    assert (left["spec"]["suspend"], left["metadata"]["generation"]) == (False, generation + 1)
    await suspend(writer, key, is_suspended=True)
    board = await read_board(world.connection, namespaces=[world.namespace])
    assert board.objects[key].is_suspended
    await writer.delete(key, uid=left["metadata"]["uid"])
