"""Commits that are exported to each environment by itself: what has not had its own export waits for it."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from tests.ledger.world import World, at, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.records import BranchRecord, CommitId, ExportRecord, RepositoryRecord, TargetRecord
from fluxtrail.model.views import TrailView

CARRIERS = 100
"""The export to the first target of source commit n is n + CARRIERS, that to the second n + 2 × CARRIERS."""


class Pipeline:
    """A source repository with commits 1 to 4, and clusters `staging` and `prod` with a target each."""

    def __init__(self, unit: SqlUnit) -> None:
        self.unit = unit
        self.world = World(unit)

    async def begin(self, *, repositories: int = 1, branches: tuple[str, str] = ("main", "main")) -> None:
        self.shop = await self.world.repository("shop")
        self.sources = await self.world.commits(self.shop, range(1, 5))
        await self.unit.put_branch(
            BranchRecord(repository_id=self.shop.id, name="main", head=sha(4), looked_at=at(0), baseline=None)
        )
        first = await self.world.repository("manifests")
        second = await self.world.repository("manifests-prod") if repositories == 2 else first
        self.homes = [(first, branches[0]), (second, branches[1])]
        await self.unit.put_repository_exports(self.shop.id, [first.id, second.id])
        self.staging = await self._target("staging", *self.homes[0])
        self.prod = await self._target("prod", *self.homes[1])

    async def _target(self, cluster: str, repository: RepositoryRecord, branch: str) -> TargetRecord:
        [base] = await self.world.commits(repository, range(50 + len(branch), 51 + len(branch)), branch=branch)
        return await self.world.target(
            repository, cluster=cluster, branch=branch, baseline_sha=base.sha, awaits_baseline=False
        )

    async def export(self, number: int, *targets: TargetRecord) -> None:
        """Export source commit `number` once, to these targets."""
        source = self.sources[number - 1]
        which = 0 if self.staging in targets else 1
        repository, branch = self.homes[which]
        name = number + CARRIERS * (which + 1)
        [carrier] = await self.world.commits(repository, range(name, name + 1), branch=branch, is_carrier=True)
        await self.unit.put_exports([ExportRecord(carrier_id=carrier.id, source_id=source.id, stated_at=None)])
        for target in targets:
            await self.world.delivery(carrier, target)
            await self.world.delivery(source, target, carrier_id=carrier.id)

    async def export_apart(self, *numbers: int) -> None:
        for number in numbers:
            await self.export(number, self.staging)
            await self.export(number, self.prod)


async def found(ledger: SqlLedger, number: int) -> dict[str, tuple[str, str]]:
    """Verdict and reason of a source commit by cluster; the same for every route and everybody who asks."""
    view = await ledger.find_trail(f"acme/shop@{sha(number)}", now=at(900), settle_after=timedelta(hours=1))
    assert isinstance(view, TrailView), view
    seen = {item.cluster: (item.verdict, item.reason) for item in view.deliveries}
    commit = next(iter(await ids_of(ledger, number)))
    for is_whole in (True, False):
        trail = (await ledger.trails([commit], now=at(900), settle_after=timedelta(hours=1), is_whole=is_whole))[commit]
        told = {item.cluster: (item.verdict, item.reason) for item in trail.view.deliveries}
        assert {name: it for name, it in told.items() if it[0] != "unaffected"} == {
            name: it for name, it in seen.items() if it[0] != "unaffected"
        }
    return seen


async def ids_of(ledger: SqlLedger, number: int) -> list[CommitId]:
    async with ledger.unit() as unit:
        [shop] = [item for item in await unit.repositories() if item.canonical == "github.com/acme/shop"]
        commits = await unit.commits_by_sha(shop.id, [sha(number)])
    return [item.id for item in commits.values()]


AWAITS, DEPLOYED, OUT = ("pending", "awaiting_export"), ("deployed", ""), ("unaffected", "")


async def test_with_an_export_for_each_environment_each_waits_for_its_own(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        pipeline = Pipeline(unit)
        await pipeline.begin()
        await pipeline.export_apart(1)
        await pipeline.export(2, pipeline.staging)
    assert await found(ledger, 2) == {"staging": DEPLOYED, "prod": AWAITS}
    async with ledger.unit() as unit:
        pipeline.unit = pipeline.world.unit = unit
        await pipeline.export(2, pipeline.prod)
    assert await found(ledger, 2) == {"staging": DEPLOYED, "prod": DEPLOYED}


async def test_an_export_for_all_that_leaves_one_out_is_the_last_word(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        pipeline = Pipeline(unit)
        await pipeline.begin()
        await pipeline.export(1, pipeline.staging, pipeline.prod)
        await pipeline.export(2, pipeline.staging)
    assert await found(ledger, 2) == {"staging": DEPLOYED, "prod": OUT}


async def test_what_a_later_commit_passed_over_is_not_waited_for(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        pipeline = Pipeline(unit)
        await pipeline.begin()
        await pipeline.export_apart(1)
        await pipeline.export(2, pipeline.staging)
        await pipeline.export_apart(3)
        await pipeline.export(4, pipeline.staging)
    assert await found(ledger, 2) == {"staging": DEPLOYED, "prod": OUT}
    assert await found(ledger, 4) == {"staging": DEPLOYED, "prod": AWAITS}


async def test_commits_that_wait_themselves_do_not_hide_how_exports_come(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        pipeline = Pipeline(unit)
        await pipeline.begin()
        await pipeline.export_apart(1)
        for number in (2, 3, 4):
            await pipeline.export(number, pipeline.staging)
    assert [(await found(ledger, number))["prod"] for number in (2, 3, 4)] == [AWAITS, AWAITS, AWAITS]


async def test_several_manifests_repositories_each_have_their_export(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        pipeline = Pipeline(unit)
        await pipeline.begin(repositories=2)
        await pipeline.export_apart(1)
        await pipeline.export(2, pipeline.staging)
    assert await found(ledger, 2) == {"staging": DEPLOYED, "prod": AWAITS}


async def test_a_branch_for_each_environment_has_its_export(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        pipeline = Pipeline(unit)
        await pipeline.begin(branches=("staging", "prod"))
        await pipeline.export_apart(1)
        await pipeline.export(2, pipeline.staging)
    assert await found(ledger, 2) == {"staging": DEPLOYED, "prod": AWAITS}


async def test_the_first_that_is_exported_waits_where_the_settings_say(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        pipeline = Pipeline(unit)
        await pipeline.begin(repositories=2)
        await pipeline.export(1, pipeline.staging)
    assert await found(ledger, 1) == {"staging": DEPLOYED, "prod": AWAITS}
    async with ledger.unit() as unit:
        pipeline.unit = pipeline.world.unit = unit
        await pipeline.export(2, pipeline.staging)
    assert await found(ledger, 1) == {"staging": DEPLOYED}
    assert await found(ledger, 2) == {"staging": DEPLOYED}


async def test_a_target_that_is_gone_and_a_commit_that_left_its_branch_wait_for_nothing(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        pipeline = Pipeline(unit)
        await pipeline.begin()
        await pipeline.export_apart(1)
        await pipeline.export(2, pipeline.staging)
        await pipeline.export(4, pipeline.staging)
        await unit.cut_chain(pipeline.shop.id, "main", after=pipeline.sources[2].id)
    assert (await found(ledger, 4))["prod"] == OUT
    assert (await found(ledger, 2))["prod"] == AWAITS
    async with ledger.unit() as unit:
        await unit.put_target(msgspec.structs.replace(pipeline.prod, deleted_at=at(800)))
    assert await found(ledger, 2) == {"staging": DEPLOYED}


async def test_what_stood_there_when_the_branch_was_first_read_is_history(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        pipeline = Pipeline(unit)
        await pipeline.begin()
        await unit.put_branch(
            BranchRecord(repository_id=pipeline.shop.id, name="main", head=sha(4), looked_at=at(0), baseline=sha(2))
        )
        await pipeline.export_apart(1)
        await pipeline.export(2, pipeline.staging)
        await pipeline.export(3, pipeline.staging)
    assert (await found(ledger, 2))["prod"] == OUT
    assert (await found(ledger, 3))["prod"] == AWAITS
