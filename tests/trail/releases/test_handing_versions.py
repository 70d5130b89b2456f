"""Which sync of a Kustomization made which version of a HelmRelease, where nobody looked between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.trail.releases.shops import Shop
from tests.trail.rollouts.worlds import RunningWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RunningWorld]:
    async with RunningWorld(tmp_path) as made:
        yield made


async def change(shop: Shop, name: str, values: str, *, shown: bool = True) -> None:
    """Let Flux change a release just now, and the watch bring that."""
    shop.world.clock.forward(5)
    shop.change(name, values, touched_at=shop.world.clock.time.replace(microsecond=0))
    if shown:
        await shop.show(name)


async def generations(shop: Shop, name: str) -> list[int]:
    return [item.generation for item in await shop.handovers(name)]


async def test_each_of_two_syncs_hands_over_what_it_changed_though_both_are_read_late(world: RunningWorld) -> None:
    shop = Shop(world, "a")
    await shop.begin()
    await change(shop, "a", "v2")
    first = await world.applied("d1")
    await shop.release("a")
    await change(shop, "a", "v3")
    second = await world.applied("d2")
    await shop.release("a")
    await shop.work()
    assert await generations(shop, "a") == [2, 3]
    rows = [await world.delivery(sha, shop.releases["a"]) for sha in (first, second)]
    syncs = [await world.sync(row.applied_sync) for row in rows]
    assert [sync.generation for sync in syncs] == [2, 3]


async def test_a_sync_that_changed_no_release_hands_nothing_over_though_the_next_one_did(world: RunningWorld) -> None:
    shop = Shop(world, "a")
    await shop.begin()
    beside = await world.applied("d1")
    world.clock.forward(5)
    await change(shop, "a", "v2")
    changing = await world.applied("d2")
    await shop.release("a")
    await shop.work()
    assert await generations(shop, "a") == [2]
    assert [await shop.verdict(sha, "a") for sha in (beside, changing)] == ["-", "deployed"]


async def test_a_version_that_comes_just_after_a_sync_waits_for_the_next_one(world: RunningWorld) -> None:
    shop = Shop(world, "a")
    await shop.begin()
    beside, changing = (world.commit("fleet", name, apps__a=name) for name in ("d1", "d2"))
    for sha, made in ((beside, "d1"), (changing, "d2")):
        await world.fetch("fleet", sha)
        world.now(world.flux).succeed(f"main@sha1:{sha}", made)
        if sha == beside:
            await world.play(world.flux)
            world.clock.forward(-1)  # the next one follows at once
    world.clock.time = world.flux.writes[-3].at
    shop.change("a", "v2", touched_at=world.clock.time.replace(microsecond=0))
    await shop.show("a")
    await world.look()
    assert await generations(shop, "a") == []
    await world.play(world.flux)
    await world.settle()
    await shop.release("a")
    await shop.work()
    assert [await shop.verdict(sha, "a") for sha in (beside, changing)] == ["-", "deployed"]


async def test_what_somebody_else_changed_is_handed_over_by_no_sync(world: RunningWorld) -> None:
    shop = Shop(world, "a")
    await shop.begin()
    touched = world.clock.time.replace(microsecond=0) - timedelta(minutes=5)
    world.clock.forward(60)
    shop.change("a", "v2", touched_at=touched)
    await shop.show("a")
    beside = await world.applied("d1")
    await shop.release("a")
    await shop.work()
    assert await generations(shop, "a") == []
    assert await shop.verdict(beside, "a") == "-"
