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
from fluxtrail.model.records import SyncRecord

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


async def pushed(world: RunningWorld, name: str, **files: str) -> str:
    """Commit, and let the source fetch it; who takes it from there is up to the test."""
    sha = world.commit("fleet", name, **files)
    await world.fetch("fleet", sha)
    return sha


async def new_chart(world: RunningWorld, shop: Shop, sha: str) -> None:
    """Let the chart be built of a commit, and Flux release it with the spec that the release has now."""
    built(world, shop, sha)
    await world.pull(chart(FLEET, version=shop.releases["cart"].chart, built_from=f"main@sha1:{sha}"))
    await shop.release("cart")
    await shop.work()


async def applied(world: RunningWorld, shop: Shop, sha: str, *, values: str | None, changes: bool = True) -> None:
    """Let the Kustomization apply a commit, which changes the release or not; Flux does not release that yet."""
    if changes:
        shop.change("cart", values)
        await shop.show("cart")
    world.now(world.flux).succeed(f"main@sha1:{sha}", sha)
    await world.play(world.flux)
    await shop.work()


async def chart_taken_first(world: RunningWorld, shop: Shop, *, values: str | None) -> str:
    """Commit a change of both, let Flux release the chart, and the Kustomization apply it then."""
    sha = await pushed(world, "both", charts__cart__values="2", apps__a="both")
    await new_chart(world, shop, sha)
    await applied(world, shop, sha, values=values)
    return sha


async def chart_of(world: RunningWorld, shop: Shop, sha: str) -> SyncRecord:
    """Return the sync that applied a commit first."""
    return await world.sync((await world.delivery(sha, shop.releases["cart"])).applied_sync)


async def newest(world: RunningWorld, shop: Shop) -> SyncRecord:
    return await world.sync(world.target(shop.releases["cart"]).sync_id)


async def standing(world: RunningWorld, shop: Shop, sha: str) -> tuple[str, int | None, int | None]:
    row = await world.delivery(sha, shop.releases["cart"])
    return row.verdict.value, row.applied_sync, row.healthy_sync


async def test_commit_is_not_applied_with_the_new_chart_and_the_old_values(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await chart_taken_first(world, shop, values="v2")
    assert await standing(world, shop, sha) == ("pending", None, None)
    await shop.release("cart")
    await shop.work()
    last = (await newest(world, shop)).id
    assert await standing(world, shop, sha) == ("deployed", last, last)


async def test_commit_is_not_applied_before_what_applies_the_release_has_it(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await pushed(world, "both", charts__cart__values="2", apps__a="both")
    await new_chart(world, shop, sha)
    assert await standing(world, shop, sha) == ("pending", None, None)


async def test_commit_is_not_applied_with_the_new_values_and_the_old_chart(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await pushed(world, "both", charts__cart__values="2", apps__a="both")
    await applied(world, shop, sha, values="v2")
    await shop.release("cart")
    await shop.work()
    assert await standing(world, shop, sha) == ("pending", None, None)
    await new_chart(world, shop, sha)
    last = (await newest(world, shop)).id
    assert await standing(world, shop, sha) == ("deployed", last, last)


async def test_values_alone_do_not_wait_for_a_chart_of_their_commit(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await pushed(world, "values", apps__a="values")
    await applied(world, shop, sha, values="v2")
    await shop.release("cart")
    await shop.work()
    first = (await newest(world, shop)).id
    assert await standing(world, shop, sha) == ("deployed", first, first)
    await new_chart(world, shop, sha)
    assert await standing(world, shop, sha) == ("deployed", first, first)


async def test_values_alone_are_not_applied_with_a_chart_of_their_commit(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await pushed(world, "values", apps__a="values")
    await new_chart(world, shop, sha)
    await applied(world, shop, sha, values="v2")
    assert await standing(world, shop, sha) == ("pending", None, None)
    await shop.release("cart")
    await shop.work()
    assert (await chart_of(world, shop, sha)).id == (await newest(world, shop)).id


async def test_chart_whose_commit_changes_another_object_beside_is_applied_with_its_own_sync(
    world: RunningWorld,
) -> None:
    shop = await begin(world)
    sha = await pushed(world, "both", charts__cart__values="2", apps__a="beside")
    await new_chart(world, shop, sha)
    first = (await newest(world, shop)).id
    await applied(world, shop, sha, values=None, changes=False)
    assert await standing(world, shop, sha) == ("deployed", first, first)


async def test_chart_that_failed_fails_the_commit_though_its_values_are_to_come(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await pushed(world, "both", charts__cart__values="2", apps__a="both")
    built(world, shop, sha)
    await world.pull(chart(FLEET, version=shop.releases["cart"].chart, built_from=f"main@sha1:{sha}"))
    await shop.fail("cart")
    await shop.work()
    assert await standing(world, shop, sha) == ("failed", None, None)
    await applied(world, shop, sha, values="v2")
    await shop.release("cart")
    await shop.work()
    last = (await newest(world, shop)).id
    assert await standing(world, shop, sha) == ("deployed", last, last)


async def test_release_that_stands_as_it_is_says_nothing_again(world: RunningWorld) -> None:
    shop = await begin(world)
    await chart_taken_first(world, shop, values="v2")
    before = await world.ledger.transitions(after_id=0, limit=1_000)
    for _ in range(3):
        world.clock.forward(10)
        shop.world.hander.note_releases([world.target(shop.releases["cart"]).id])
        await shop.work()
    assert await world.ledger.transitions(after_id=0, limit=1_000) == before


async def test_failures_that_were_told_are_not_told_again(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await pushed(world, "values", apps__a="values")
    await applied(world, shop, sha, values="v2")
    await shop.fail("cart")
    shop.change("cart", "v3")
    await shop.fail("cart")
    shop.now("cart").attempt("upgrade")
    await shop.show("cart")
    await shop.work()
    before = await world.ledger.transitions(after_id=0, limit=1_000)
    row = await standing(world, shop, sha)
    for _ in range(3):
        shop.world.hander.note_releases([world.target(shop.releases["cart"]).id])
        await shop.work()
    assert await world.ledger.transitions(after_id=0, limit=1_000) == before
    assert await standing(world, shop, sha) == row


async def test_restart_between_the_chart_and_the_values_changes_nothing(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await chart_taken_first(world, shop, values="v2")
    await shop.restart()
    await shop.work()
    await shop.release("cart")
    await shop.work()
    last = (await newest(world, shop)).id
    assert await standing(world, shop, sha) == ("deployed", last, last)


async def test_commit_of_which_the_release_takes_the_chart_alone_is_deployed(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await chart_taken_first(world, shop, values=None)
    first = (await newest(world, shop)).id
    assert await shop.verdict(sha, "cart") == "pending"
    flux = shop.releases["cart"]
    world.now(flux)
    flux.find_in_sync()
    await shop.show("cart")
    await shop.work()
    assert await standing(world, shop, sha) == ("deployed", first, first)
