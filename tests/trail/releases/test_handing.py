"""Commits that a Kustomization applies by changing HelmReleases: what becomes of them there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.trail.releases.shops import Shop, replace
from tests.trail.rollouts.worlds import RunningWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RunningWorld]:
    async with RunningWorld(tmp_path) as made:
        yield made


@pytest.mark.parametrize("order", ["release first", "attribution first", "release long before", "read late"])
async def test_of_three_releases_those_two_that_a_commit_changed_carry_it(world: RunningWorld, order: str) -> None:
    shop = Shop(world, "a", "b", "c")
    await shop.begin()
    shop.change("a")
    shop.change("b")
    if order == "release long before":
        await shop.release("a")
        await shop.release("b")
        sha = await world.applied("d1")
    else:
        sha = await world.applied("d1", settle=order == "attribution first")
        if order == "read late":
            await world.settle()
            world.clock.forward(5)
        await shop.release("a")
        await shop.release("b")
    await shop.work()
    assert await shop.verdicts(sha) == {"a": "deployed", "b": "deployed", "c": "-"}


async def test_commit_is_on_its_way_until_the_release_has_taken_it(world: RunningWorld) -> None:
    shop = Shop(world, "a")
    await shop.begin()
    shop.change("a")
    await shop.show("a")
    sha = await world.applied("d1")
    await shop.work()
    assert await shop.verdicts(sha) == {"a": "pending"}
    await shop.release("a")
    await shop.work()
    row = await world.delivery(sha, shop.releases["a"])
    target = world.target(shop.releases["a"])
    assert (row.verdict.value, row.applied_sync, row.healthy_sync) == ("deployed", target.sync_id, target.sync_id)


@pytest.mark.parametrize("remedied", [False, True])
async def test_commit_fails_where_the_release_does_and_is_deployed_with_the_next(
    world: RunningWorld, remedied: bool
) -> None:
    shop = Shop(world, "a")
    await shop.begin()
    shop.change("a")
    await world.applied("d1")
    sha = (world.target(world.flux).applied_sha) or ""
    await shop.fail("a", remedied=remedied)
    await shop.work()
    assert await shop.verdicts(sha) == {"a": "failed"}
    shop.change("a", "v3")
    later = await world.applied("d2")
    await shop.release("a")
    await shop.work()
    assert [await shop.verdict(each, "a") for each in (sha, later)] == ["deployed", "deployed"]


async def test_change_that_makes_no_release_leaves_the_commit_unaffected(world: RunningWorld) -> None:
    shop = Shop(world, "a")
    await shop.begin()
    shop.change("a", None)
    sha = await world.applied("d1")
    shop.now("a").find_in_sync()
    await shop.show("a")
    await shop.work()
    assert await shop.verdicts(sha) == {"a": "unaffected"}


async def test_values_from_elsewhere_are_the_commits_of_the_sync_before(world: RunningWorld) -> None:
    shop = Shop(world, "a", "b")
    await shop.begin()
    sha = await world.applied("d1")
    shop.releases["a"].values = f"sha256:{'c' * 64}"
    await shop.release("a")
    await shop.work()
    assert await shop.verdicts(sha) == {"a": "deployed", "b": "-"}


async def test_commit_that_was_gone_back_behind_is_rolled_back_on_the_release(world: RunningWorld) -> None:
    shop = Shop(world, "a")
    good = await shop.begin()
    shop.change("a")
    bad = await world.applied("d1")
    await shop.release("a")
    await shop.work()
    assert await shop.verdicts(bad) == {"a": "deployed"}
    shop.change("a", "v1")
    world.push_back("fleet", good)
    await world.fetch("fleet", good)
    world.now(world.flux).succeed(f"main@sha1:{good}", "d0")
    await world.play(world.flux)
    await shop.work()
    assert await shop.verdicts(bad) == {"a": "deployed"}  # it has still to follow
    await shop.release("a")
    await shop.work()
    assert await shop.verdicts(bad) == {"a": "rolled_back"}


async def test_commit_that_was_gone_back_behind_before_the_release_took_it_is_lost(world: RunningWorld) -> None:
    shop = Shop(world, "a")
    good = await shop.begin()
    shop.change("a")
    bad = await world.applied("d1")
    await shop.work()
    shop.change("a", "v1")
    world.push_back("fleet", good)
    await world.fetch("fleet", good)
    world.now(world.flux).succeed(f"main@sha1:{good}", "d0")
    await world.play(world.flux)
    await shop.work()
    shop.now("a").find_in_sync()
    await shop.show("a")
    await shop.work()
    assert await shop.verdicts(bad) == {"a": "lost"}


async def test_release_that_is_deleted_abandons_what_was_on_its_way(world: RunningWorld) -> None:
    shop = Shop(world, "a")
    await shop.begin()
    shop.change("a")
    await shop.show("a")
    sha = await world.applied("d1")
    await shop.work()
    await world.lose(shop.releases["a"])
    await shop.work()
    assert await shop.verdicts(sha) == {"a": "abandoned"}


async def test_release_that_is_made_anew_carries_the_commit_that_made_it(world: RunningWorld) -> None:
    shop = Shop(world, "a", "b")
    await shop.begin()
    await world.lose(shop.releases["a"])
    shop.world.server.releases.pop(shop.releases["a"].object.key)
    shop.has("b")
    removed = await world.applied("d1")
    await shop.work()
    flux = shop.releases["a"] = shop._controller("a")
    world.now(flux)
    flux.object = replace(flux.object, uid="uid-again", created_at=world.clock.time)
    shop.has("a", "b")
    sha = await world.applied("d2")
    await shop.release("a", "install")
    await shop.work()
    assert await shop.verdicts(sha) == {"a": "deployed", "b": "-"}
    assert await shop.verdicts(removed) == {"a": "-", "b": "-"}


async def test_release_that_a_release_applies_carries_the_commit_too(world: RunningWorld) -> None:
    shop = Shop(world, "a", "b")
    outer, inner = shop.releases["a"], shop.releases["b"]
    inner.object = replace(inner.object, parent=outer.object.key)
    outer.object = replace(outer.object, inventory=(inner.object.key,))
    await shop.begin()
    shop.has("a")
    shop.change("a")
    sha = await world.applied("d1")
    shop.change("b")
    await shop.release("a")
    await shop.release("b")
    await shop.work()
    assert await shop.verdicts(sha) == {"a": "deployed", "b": "deployed"}


async def test_commits_that_are_found_at_the_end_of_a_sync_are_handed_over_too(world: RunningWorld) -> None:
    world.flux = world.kustomization(has_checks=True)
    shop = Shop(world, "a")
    await shop.begin()
    sha = world.commit("fleet", "elsewhere", base__x="1")
    await world.fetch("fleet", sha)
    shop.change("a")
    world.now(world.flux).apply(f"main@sha1:{sha}")
    await world.play(world.flux)
    await shop.work()
    world.now(world.flux).end_well(f"main@sha1:{sha}", "d1")
    await world.play(world.flux)
    await shop.release("a")
    await shop.work()
    assert await world.verdicts([sha], world.flux) == ["deployed"]
    assert await shop.verdicts(sha) == {"a": "deployed"}


@pytest.mark.parametrize("when", range(6))
async def test_restart_at_any_step_comes_to_the_same_end(world: RunningWorld, when: int) -> None:
    shop = Shop(world, "a", "b")
    await shop.begin()

    async def step(number: int) -> None:
        if number == when:
            await shop.restart()

    await step(0)
    shop.change("a")
    await shop.show("a")
    await step(1)
    sha = await world.applied("d1", settle=False)
    await step(2)
    await world.look()
    await step(3)
    await world.settle()
    await step(4)
    await shop.release("a")
    await step(5)
    await shop.work()
    assert await shop.verdicts(sha) == {"a": "deployed", "b": "-"}
    (handover,) = await shop.handovers("a")
    assert (handover.generation, handover.is_handed) == (2, True)
