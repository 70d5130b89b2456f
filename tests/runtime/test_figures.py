"""The figures kept in step with the ledger: folded as it goes they equal a rebuild, and outlive what is pruned."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.ledger.world import World, at, fresh_place, moment
from tests.runtime.worlds import (
    Cluster,
    Running,
    make_environ,
    make_repository,
    make_settings,
    push,
    running,
    until,
)

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import StoreError
from fluxtrail.model.records import CommitRecord, SyncId, TargetRecord
from fluxtrail.model.verdict import Verdict
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.retention import Retention


class StillClock:
    def __init__(self, time: datetime) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def opened(folder: Path, clock: StillClock) -> AsyncIterator[tuple[SqlLedger, FoldedLedger]]:
    place = folder / "fluxtrail.sqlite"
    store = await SqlLedger.open(place if place.exists() else await fresh_place(place), clock=clock)
    try:
        ledger = FoldedLedger(store)
        await ledger.rebuild()
        yield store, ledger
    finally:
        await store.close()


@asynccontextmanager
async def folding(ledger: FoldedLedger) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(ledger.run())
        yield
        await until(
            lambda: not (ledger._touched or ledger._wake.is_set() or ledger._folding.locked()), "the end of the fold"
        )
        task.cancel()


def public(ledger: FoldedLedger) -> list[object]:
    return [*ledger.figures.histograms(), *ledger.figures.counters()]


class Story:
    """Random units: commits appear, are applied, become healthy, fail, and come back, in any order of units."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.commits: list[CommitRecord] = []
        self.targets: list[TargetRecord] = []
        self._seconds = 0.0

    async def begin(self, ledger: FoldedLedger) -> None:
        async with ledger.unit() as unit:
            world = World(unit)
            repository = await world.repository()
            self.targets = [
                await world.target(repository, f"app-{n}", cluster=f"c{n % 2}", has_checks=n != 0) for n in range(4)
            ]
            self.commits = await world.commits(repository, range(1, 40))

    async def step(self, ledger: FoldedLedger) -> None:
        """One unit: a sync of one target, and what it makes of some of its deliveries."""
        self._seconds += self._random.uniform(0.5, 400)
        target = self._random.choice(self.targets)
        chosen = self._random.sample(self.commits, self._random.randint(1, 6))
        async with ledger.unit() as unit:
            world = World(unit)
            applied, healthy = moment(self._seconds), moment(self._seconds + self._random.uniform(0, 90))
            is_well = self._random.random() < 0.7
            sync = await world.sync(
                target,
                self._random.randint(1, 10_000),
                applied=applied,
                fetched=moment(self._seconds - 3) if self._random.random() < 0.5 else None,
                healthy=healthy if is_well else None,
                succeeded=healthy if is_well else None,
            )
            there = await unit.deliveries(target.id, [commit.id for commit in chosen])
            for commit in chosen:
                known = there.get(commit.id)
                first: SyncId | None = known.applied_sync if known else None
                well: SyncId | None = known.healthy_sync if known else None
                if self._random.random() < 0.2 and known is None:
                    await world.delivery(commit, target, Verdict.PENDING)
                    continue
                await world.delivery(
                    commit,
                    target,
                    Verdict.DEPLOYED if is_well else Verdict.FAILED,
                    applied_sync=first or sync.id,
                    healthy_sync=well or (sync.id if is_well else None),
                    is_scope_unknown=known.is_scope_unknown if known else self._random.random() < 0.1,
                )


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_folding_as_it_goes_equals_a_rebuild(seed: int, tmp_path: Path) -> None:
    clock = StillClock(at(0))
    story = Story(seed)
    async with opened(tmp_path, clock) as (store, ledger):
        await story.begin(ledger)
        async with folding(ledger):
            for _ in range(40):
                await story.step(ledger)
        fresh = FoldedLedger(store)
        await fresh.rebuild()
        assert public(ledger) == public(fresh)
        assert len(public(ledger)) > 10
        assert ledger.figures.dump() == fresh.figures.dump()


async def test_unit_that_is_not_kept_is_not_counted(tmp_path: Path) -> None:
    async with opened(tmp_path, StillClock(at(0))) as (_, ledger):
        story = Story(1)
        await story.begin(ledger)

        async def fail() -> None:
            async with ledger.unit() as unit:
                await World(unit).delivery(story.commits[0], story.targets[0])
                raise StoreError("the disk is full")

        with pytest.raises(StoreError, match="the disk is full"):
            await fail()
        assert ledger.problem == "the disk is full"
        assert ledger._touched == set()
        async with ledger.unit():
            pass
        assert ledger.problem == ""


async def test_fold_that_failed_is_made_up_for(tmp_path: Path) -> None:
    async with opened(tmp_path, StillClock(at(0))) as (store, ledger):
        story = Story(1)
        await story.begin(ledger)
        await story.step(ledger)
        await rename(store, "deliveries", "deliveries_away")
        with pytest.raises(StoreError):
            async with asyncio.timeout(10):
                await ledger.run()
        assert public(ledger) == []
        await rename(store, "deliveries_away", "deliveries")
        async with folding(ledger):
            pass
        fresh = FoldedLedger(store)
        await fresh.rebuild()
        assert public(ledger) == public(fresh) != []


async def rename(store: SqlLedger, table: str, to: str) -> None:
    async with store._engine.write() as connection:
        await connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {to}")


async def test_pruning_changes_no_figure_now_or_after_a_restart(tmp_path: Path) -> None:
    clock = StillClock(at(0))
    story = Story(7)
    async with opened(tmp_path, clock) as (store, ledger):
        await story.begin(ledger)
        async with folding(ledger):
            for _ in range(30):
                await story.step(ledger)
        before = public(ledger)
        kept = await count_deliveries(store)
        clock.time = at(0) + timedelta(days=30)
        await Retention(ledger=store, clock=clock, keep=timedelta(days=1)).prune()
        assert await count_deliveries(store) < kept
        assert public(ledger) == before
    async with opened(tmp_path, clock) as (store, ledger):
        assert public(ledger) == before
        await Retention(ledger=store, clock=clock, keep=timedelta(days=1)).prune()
        assert public(ledger) == before
    async with opened(tmp_path, clock) as (_, ledger):
        assert public(ledger) == before


async def count_deliveries(store: SqlLedger) -> int:
    return sum([len(rows) async for rows in store.delivery_facts(None)])


async def test_what_is_kept_shorter_is_still_in_metrics(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        settings = make_settings(tmp_path, cluster, retention_days=1.0)
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_applied(repository.head_commit)
            await run.until_attributed()
            for number in range(3):
                commit = await push(repository, {"apps/web.yaml": f"replicas: {number + 1}\n"})
                cluster.fetch(commit, url=repository.url)
                cluster.apply(commit)
                await run.until_verdict(commit, "deployed")
            counted = await until(lambda: three_lead_times(run), "three lead times")
        # A year later: the clock of the process runs twice as fast since a year ago.
        origin = datetime.now(UTC) - timedelta(days=365)
        environ = make_environ(tmp_path, FLUXTRAIL_CLOCK=f"{origin.isoformat()}@2")
        for _ in range(2):
            async with running(settings, environ) as run:
                await run.until_ready()

                async def is_pruned(run: Running = run) -> bool:
                    return len((await run.ask("/deliveries"))["items"]) < 3

                await until(is_pruned, "the pruning")
                assert await three_lead_times(run) == counted


async def three_lead_times(run: Running) -> tuple[float, float] | None:
    count = await run.sample("fluxtrail_lead_time_seconds_count")
    return (count, await run.sample("fluxtrail_lead_time_seconds_sum")) if count == 3 else None
