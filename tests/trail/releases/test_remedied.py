"""Commits that a release took, and Flux took back: when a later change brings them, they run with that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.trail.releases.shops import Shop
from tests.trail.rollouts.servers import inventory
from tests.trail.rollouts.worlds import RunningWorld

from fluxtrail.model.records import SyncRecord, TransitionKind

replace = msgspec.structs.replace


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RunningWorld]:
    async with RunningWorld(tmp_path) as made:
        yield made


async def begin(world: RunningWorld) -> Shop:
    """Install a release that runs one Deployment."""
    shop = Shop(world, "cart")
    flux = shop.releases["cart"]
    doc = world.server.roll_out(world.server.deployment("web", 1, by=flux.object.key))
    flux.object = replace(flux.object, inventory=inventory(doc))
    await shop.begin()
    return shop


def roll(world: RunningWorld, shop: Shop, image: int) -> None:
    """Let Helm change the Deployment, and that roll out."""
    world.clock.forward(1)
    key = shop.releases["cart"].object.key
    world.server.roll_out(world.server.deployment("web", image, by=key))


async def taken_back(world: RunningWorld, shop: Shop) -> str:
    """Deliver a commit whose upgrade fails, and is rolled back."""
    shop.change("cart", "v2")
    await shop.show("cart")
    sha = await world.applied("d1")
    flux = shop.now("cart")
    flux.attempt("upgrade")
    world.server.deployment("web", 2, by=flux.object.key)
    flux.end_badly("upgrade")
    flux.roll_back()
    roll(world, shop, 1)
    await shop.show("cart")
    await shop.work()
    return sha


async def carried(world: RunningWorld, shop: Shop) -> SyncRecord:
    """Let a later change bring it; returns the sync that does."""
    world.clock.forward(60)
    shop.change("cart", "v3")
    await shop.show("cart")
    await world.applied("d2")
    shop.now("cart").attempt("upgrade")
    roll(world, shop, 3)
    flux = shop.releases["cart"]
    flux.end_well("upgrade")
    flux.settle()
    await shop.show("cart")
    await shop.work()
    return await world.sync(world.target(flux).sync_id)


async def test_what_was_taken_back_runs_with_the_change_that_brings_it_anew(world: RunningWorld) -> None:
    shop = await begin(world)
    sha = await taken_back(world, shop)
    assert await shop.verdict(sha, "cart") == "failed"
    last = await carried(world, shop)
    row = await world.delivery(sha, shop.releases["cart"])
    first = await world.sync(row.applied_sync)
    assert (row.verdict.value, row.healthy_sync, first.is_remediated, first.running) == (
        "deployed",
        last.id,
        True,
        None,
    )
    assert last.running is not None
    target = world.target(shop.releases["cart"])
    facts = [item for item in await world.facts() if (item.commit_id, item.target_id) == (row.commit_id, target.id)]
    assert [item.running for item in facts] == [last.running]
    told = [item for item in await world.told(TransitionKind.RUNNING) if item.commit_id == row.commit_id]
    assert [item.sync_id for item in told if item.target_id == target.id] == [last.id]
