"""A whole world whose clusters run pods: what is true of them at the end of a script."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.simulator.conftest import Play, quick_options

from fluxtrail.simulator.script import Action, Step
from fluxtrail.simulator.workloads.objects import find_controller
from fluxtrail.simulator.workloads.tenants import FOREIGN_DIGEST
from fluxtrail.simulator.world import World

Json = dict[str, Any]

FEATURE = Step(Action.FEATURE, app="cart", folder="everywhere")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One round of everything, and a change that Flux delivers; played once, for nobody here changes what is true."""
    options = quick_options(
        tmp_path_factory.mktemp("world"),
        FEATURE,
        clusters=("prod-us", "staging"),
        deployment_records=True,
        rounds=1,
        seed=2,
    )
    async with World(options) as world:
        world.begin()
        await world.until_finished()
        yield world


def truth_of(world: World, cluster: str) -> dict[str, Json]:
    return {row["deployment_name"]: row for row in world.records_truth() if row["cluster"] == cluster}


def running(world: World, cluster: str, app: str, namespace: str) -> set[str]:
    pods = world.clusters[cluster].server.store.list("pods", namespace, label_selector=f"app={app}")
    return {s["imageID"].rpartition("@")[2] for pod in pods for s in pod["status"]["containerStatuses"]}


async def test_what_flux_applies_runs_and_what_people_do_happened(world: World) -> None:
    for cluster in world.clusters:
        true = truth_of(world, cluster)
        assert running(world, cluster, "cart", "shop") == {true["shop/cart/cart"]["digest"]}
        for app, container in (("catalog", "catalog"), ("edge-cache", "cache"), ("database", "database")):
            digest = true[f"tools/{app}/{container}"]["digest"]
            assert digest in running(world, cluster, app, "tools")
        gone = {name for name, row in true.items() if row["status"] == "decommissioned"}
        assert gone == {"tools/legacy/legacy", "tools/debug/debug", "tools/search/exporter"}
        assert true["tools/mirror/mirror"] | {"is_attested": False} == true["tools/mirror/mirror"]
    log = [json.loads(line) for line in world.truth.path.read_text().splitlines()]
    assert {line["kind"] for line in log} >= {"record", "people"}


async def test_canaries_end_differently_on_the_odd_cluster(world: World) -> None:
    checkouts = {cluster: truth_of(world, cluster)["tools/checkout/checkout"]["digest"] for cluster in world.clusters}
    assert checkouts["prod-us"] != checkouts["staging"]


async def test_a_github_that_was_told_the_truth_holds_no_difference(world: World) -> None:
    url = f"{world.github.url}/orgs/acme/artifacts/metadata/deployment-record"
    headers = {"Authorization": f"Bearer {world.describe()['deployment_records']['token']}"}
    differences = world.records_differences()
    assert len(differences) == sum(row["is_attested"] for row in world.records_truth())
    statuses = set()
    async with aiohttp.ClientSession(headers=headers) as session:
        for row in world.records_truth():
            body = {"name": "x", "logical_environment": "production"} | row
            body.pop("is_attested")
            async with session.post(url, json=body) as answer:
                statuses.add((row["digest"] == FOREIGN_DIGEST, answer.status))
    assert statuses == {(False, 200), (True, 404)}
    assert world.records_differences() == []
    assert world.status()["records"] == len(differences)


async def test_owners_are_found_in_the_api_server(world: World) -> None:
    store = world.clusters["staging"].server.store
    for pod in store.list("pods", "shop"):
        owner = find_controller(pod)
        assert owner is not None
        above = find_controller(store.get("replicasets", owner["name"], "shop"))
        assert above is not None
        assert store.find("deployments", above["name"], "shop") is not None


async def test_a_world_without_records_runs_what_flux_delivers_and_nothing_else(play: Play) -> None:
    async with play(FEATURE) as world:  # type: ignore[attr-defined]
        store = world.clusters["staging"].server.store
        assert {pod["metadata"]["namespace"] for pod in store.list("pods")} == {"platform", "shop"}
        assert store.list("cronjobs") == []
        assert world.describe()["deployment_records"] is None
        assert world.records_truth() == []
        kinds = {json.loads(line)["kind"] for line in world.truth.path.read_text().splitlines()}
        assert "people" not in kinds
        url = f"{world.github.url}/orgs/acme/artifacts/metadata/deployment-record"
        async with aiohttp.ClientSession() as session, session.post(url, json={}) as answer:
            assert answer.status == 404
