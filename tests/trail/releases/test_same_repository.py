"""A release whose chart stands beside the manifests: a commit may change both, and Flux takes one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.trail.releases.shops import Shop
from tests.trail.releases.test_charts import chart
from tests.trail.rollouts.worlds import RunningWorld

from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.observation import ObjectKey

replace = msgspec.structs.replace
FLEET = ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", "fleet")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RunningWorld]:
    async with RunningWorld(tmp_path) as made:
        yield made


async def begin(world: RunningWorld) -> Shop:
    """Install a release of a chart of `fleet`."""
    shop = Shop(world, "cart")
    sha = world.commit("fleet", charts__cart__values="1", apps__a="0")
    await world.fetch("fleet", sha)
    built(world, shop, sha)
    await world.pull(chart(FLEET, version=shop.releases["cart"].chart, built_from=f"main@sha1:{sha}"))
    flux: Any = shop.releases["cart"]
    item = chart(FLEET)
    flux.object = replace(flux.object, source=item.key, chart_source=item.made_from, chart=item.chart)
    await shop.release("cart", "install")
    shop.has("cart")
    await world.begin()
    await shop.work()
    return shop


def built(world: RunningWorld, shop: Shop, sha: str) -> None:
    shop.releases["cart"].chart = f"0.1.0+{sha[:12]}"


async def both(world: RunningWorld, shop: Shop, *, values: str | None) -> str:
    """Commit a change of both, let the Kustomization apply it and Flux release the chart, and nothing more yet."""
    sha = world.commit("fleet", "both", charts__cart__values="2", apps__a="both")
    await world.fetch("fleet", sha)
    built(world, shop, sha)
    await world.pull(chart(FLEET, version=shop.releases["cart"].chart, built_from=f"main@sha1:{sha}"))
    flux = shop.releases["cart"]
    own = flux.object
    shop.change("cart", values)
    changed = flux.object
    world.now(world.flux).succeed(f"main@sha1:{sha}", "both")
    await world.play(world.flux)
    await shop.work()
    flux.object = replace(flux.object, generation=own.generation)
    kept, flux.values = flux.values, flux.object.last_attempted_config
    await shop.release("cart")
    flux.values = kept
    flux.object = replace(flux.object, generation=changed.generation)
    await shop.show("cart")
    await shop.work()
    return sha


async def test_commit_is_not_deployed_with_the_new_chart_and_the_old_values(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await both(world, shop, values="v2")
    row = await world.delivery(sha, shop.releases["cart"])
    assert (row.verdict.value, row.applied_sync is not None, row.healthy_sync) == ("pending", True, None)
    await shop.release("cart")
    await shop.work()
    assert await shop.verdict(sha, "cart") == "deployed"


async def test_commit_of_which_the_release_takes_the_chart_alone_is_deployed(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await both(world, shop, values=None)
    assert await shop.verdict(sha, "cart") == "pending"
    flux = shop.releases["cart"]
    world.now(flux)
    flux.find_in_sync()
    await shop.show("cart")
    await shop.work()
    assert await shop.verdict(sha, "cart") == "deployed"
