"""What is said of a roll-out that nobody may have seen: that it was there by then, not when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.trail.rollouts.acts import bump, make, roll
from tests.trail.rollouts.worlds import RunningWorld

from fluxtrail.model.moment import Precision


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RunningWorld]:
    async with RunningWorld(tmp_path) as made:
        yield made


@pytest.mark.parametrize("is_away", [False, True], ids=["watched", "away"])
async def test_a_later_generation_dates_an_earlier_one_only_where_that_was_watched(
    world: RunningWorld, is_away: bool
) -> None:
    await world.begin(*make(world, "web"))
    web = bump(world, "web")
    await world.applied("d1")
    first = await world.sync()
    await world.follow()
    assert first.applied is not None
    if is_away:
        roll(world, web)
    world.clock.forward(10)
    web = bump(world, "web", 3)
    await world.applied("d2")
    rolled_at = roll(world, web)
    if is_away:
        await world.begin_again()
    await world.follow()
    for _ in range(3):
        world.clock.forward(10)
        await world.settle()
        await world.look()
    own, earlier = (await world.sync()).running, (await world.sync(first.id)).running
    assert own is not None
    assert earlier is not None
    assert (own.at, own.precision) == (rolled_at, Precision.EXACT)
    assert earlier.latest == rolled_at
    assert earlier.precision is (Precision.ESTIMATED if is_away else Precision.EXACT)
    assert earlier.earliest == (first.applied.earliest if is_away else rolled_at)


async def test_two_syncs_of_an_absence_are_no_surer_than_what_was_seen_of_them(world: RunningWorld) -> None:
    await world.begin(*make(world, "web"))
    await world.follow()
    for number in (2, 3):
        web = bump(world, "web", number)
        await world.applied(f"d{number}", settle=False)
        rolled_at = roll(world, web)
        world.clock.forward(10)
    await world.begin_again()
    for _ in range(3):
        await world.follow()
        await world.settle()
        world.clock.forward(10)
    newest = await world.sync()
    rows = [row for number in range(newest.id) for row in await world.rows(await world.sync(number + 1))]
    moments = [row.running for row in rows if row.running is not None]
    assert moments
    assert all(moment.latest == rolled_at for moment in moments)
    assert [row.generation for row in rows if row.running and row.running.precision is Precision.EXACT] in ([3], [])


async def test_the_first_generation_that_rolled_out_dates_a_sync_however_late_it_is_closed(
    world: RunningWorld,
) -> None:
    await world.begin(*make(world, "web"))
    rolled = []
    for number in (2, 3, 4):
        web = bump(world, "web", number)
        await world.applied(f"d{number}", settle=False)
        if number > 2:
            rolled.append(roll(world, web))
        await world.hear()
        await world.keeper.settle() if number > 2 else None  # nobody has read the syncs yet
        world.clock.forward(10)
    for _ in range(3):
        await world.settle()
        await world.look()
        world.clock.forward(10)
    newest = await world.sync()
    moments = [(await world.sync(newest.id - back)).running for back in (2, 1, 0)]
    assert [moment.at for moment in moments if moment is not None] == [rolled[0], rolled[0], rolled[1]]
