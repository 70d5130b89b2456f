"""The delivery figures of several processes on one database: each has all that any of them wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.ledger.world import StillClock, World, at, moment

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.records import CommitRecord, RepositoryRecord, TargetRecord
from fluxtrail.runtime import figures
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.leading import LEASE, Lead
from fluxtrail.runtime.retention import Retention

pytestmark = [
    pytest.mark.parametrize("engine", ["postgres"], indirect=True),
    pytest.mark.requires("postgres"),
]


class Clock(StillClock):
    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def both(ledger: SqlLedger, where: str, clock: Clock) -> AsyncIterator[tuple[FoldedLedger, FoldedLedger]]:
    other = await SqlLedger.open(where, clock=clock)
    try:
        pair = FoldedLedger(ledger), FoldedLedger(other)
        for folded in pair:
            await folded.rebuild()
        yield pair
    finally:
        await other.close()


async def deliver(into: FoldedLedger, numbers: range) -> tuple[list[CommitRecord], TargetRecord]:
    async with into.unit() as unit:
        world = World(unit)
        repository: RepositoryRecord = await world.repository()
        commits = await world.commits(repository, numbers)
        target = await world.target(repository, f"t{numbers.start}")
        for commit in commits:
            sync = await world.sync(target, commit.id, applied=moment(200), fetched=moment(150))
            await world.delivery(commit, target, applied_sync=sync.id)
    return commits, target


def public(ledger: FoldedLedger) -> list[object]:
    return [*ledger.figures.histograms(), *ledger.figures.counters()]


async def until_equal(one: FoldedLedger, two: FoldedLedger) -> None:
    for _ in range(900):
        if public(one) == public(two):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("they stay different")


async def test_each_process_counts_what_the_other_wrote_once(both: tuple[FoldedLedger, FoldedLedger]) -> None:
    one, two = both
    for round_ in range(3):
        await deliver(one, range(round_ * 20, round_ * 20 + 5))
        await deliver(two, range(round_ * 20 + 10, round_ * 20 + 15))
        await two.catch_up()
        await one.catch_up()
    assert public(one) == public(two)
    fresh = FoldedLedger(one.store)
    await fresh.rebuild()
    assert public(fresh) == public(one)
    assert public(one)


async def test_phase_that_comes_without_a_line_of_history_is_counted(both: tuple[FoldedLedger, FoldedLedger]) -> None:
    one, two = both
    [commit], target = await deliver(one, range(1, 2))
    await two.catch_up()
    before = public(two)
    async with one.unit() as unit:
        sync = await World(unit).sync(target, 1, applied=moment(200), fetched=moment(150), healthy=moment(300))
        await World(unit).delivery(commit, target, applied_sync=sync.id, healthy_sync=sync.id)
    await two.catch_up()
    assert public(two) != before
    await one.catch_up()
    assert public(two) == public(one)


async def test_running_follows_without_being_told(
    both: tuple[FoldedLedger, FoldedLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "CATCH_UP_SECONDS", 0.01)
    one, two = both
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        following = group.create_task(two.run())
        await deliver(one, range(3))
        await one.catch_up()
        await until_equal(one, two)
        following.cancel()


async def test_pruning_by_another_process_changes_no_figure(
    both: tuple[FoldedLedger, FoldedLedger], clock: Clock
) -> None:
    one, two = both
    await deliver(one, range(5))
    await two.catch_up()
    expected = public(two)
    clock.time = at(0) + timedelta(days=20)
    await Retention(ledger=one.store, clock=clock, keep=timedelta(days=10)).prune()
    await two.catch_up()
    assert public(two) == expected
    late = FoldedLedger(two.store)
    await late.rebuild()
    assert public(late) == expected
    await deliver(one, range(50, 52))
    for ledger in (one, two, late):
        await ledger.catch_up()
    assert public(late) == public(two) == public(one)


async def test_one_process_leads_and_another_takes_over(both: tuple[FoldedLedger, FoldedLedger], clock: Clock) -> None:
    first, second = (
        Lead(folded.store, clock, owner=name, on_lead=folded.catch_up)
        for folded, name in zip(both, ("first", "second"), strict=True)
    )
    await first.renew()
    await second.renew()
    assert (first.is_held, second.is_held) == (True, False)
    await deliver(both[0], range(1, 4))
    clock.time += LEASE - timedelta(seconds=1)
    assert not first.is_held
    await second.renew()
    assert not second.is_held
    clock.time += timedelta(seconds=2)
    await second.renew()
    await first.renew()
    assert (first.is_held, second.is_held) == (False, True)
    await both[0].catch_up()
    assert both[1].figures.dump() == both[0].figures.dump()
