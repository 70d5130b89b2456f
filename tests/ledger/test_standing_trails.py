"""What telling standings needs of a trail besides the trail itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from tests.ledger.world import World, at, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.records import Attribution, CommitId, ExportRecord
from fluxtrail.model.standing import CommitTrail
from fluxtrail.model.verdict import Verdict


async def trail_of(ledger: SqlLedger, commit: CommitId, *, seconds: float = 100) -> CommitTrail:
    found = await ledger.trails([commit], now=at(seconds), settle_after=timedelta(hours=1), is_whole=True)
    return found[commit]


async def make(ledger: SqlLedger, verdict: Verdict, *, is_cut: bool = True, **sync: Any) -> tuple[CommitId, int]:
    """Return a commit with this verdict, on the branch or cut off, and its target that has a sync."""
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        one, two = await world.commits(repository, range(1, 3))
        target = await world.target(repository, baseline_sha=sha(1), awaits_baseline=False)
        await world.delivery(two, target, verdict)
        made = await world.sync(target, 2, **sync)
        if sync.get("attribution") is Attribution.DONE:
            await unit.put_sync(replace(made, attributed_version=made.version))
        if is_cut:
            await unit.cut_chain(repository.id, "main", after=one.id)
    return two.id, target.id


@pytest.mark.parametrize("verdict", [Verdict.LOST, Verdict.DEPLOYED])
async def test_off_its_branch_it_is_not_sure_until_syncs_are_attributed(ledger: SqlLedger, verdict: Verdict) -> None:
    commit, target = await make(ledger, verdict)
    assert (await trail_of(ledger, commit)).unsure == {target}


@pytest.mark.parametrize(
    ("verdict", "given"),
    [
        (Verdict.LOST, {"attribution": Attribution.DONE}),
        (Verdict.LOST, {"attribution_problem": "the repository cannot be read"}),
        (Verdict.DEPLOYED, {"is_cut": False}),
        (Verdict.PENDING, {}),
        (Verdict.ROLLED_BACK, {}),
    ],
    ids=["attributed", "cannot be attributed now", "on its branch", "under way", "rolled back"],
)
async def test_all_else_is_sure(ledger: SqlLedger, verdict: Verdict, given: dict[str, Any]) -> None:
    commit, _ = await make(ledger, verdict, **given)
    assert (await trail_of(ledger, commit)).unsure == frozenset()


async def test_a_sync_that_nobody_attributes_is_not_waited_for_for_ever(ledger: SqlLedger) -> None:
    commit, target = await make(ledger, Verdict.LOST)
    assert (await trail_of(ledger, commit, seconds=601)).unsure == {target}
    assert (await trail_of(ledger, commit, seconds=603)).unsure == frozenset()


async def test_what_an_export_carries_is_sure_while_the_export_stands(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        [source] = await world.commits(shop, range(9, 10), branch=None)
        one, two = await world.commits(manifests, range(1, 3), is_carrier=True)
        await unit.put_exports([ExportRecord(carrier_id=two.id, source_id=source.id, stated_at=None)])
        target = await world.target(manifests, baseline_sha=sha(1), awaits_baseline=False)
        await world.delivery(source, target, carrier_id=two.id)
        await world.sync(target, 2)
    assert (await trail_of(ledger, source.id)).unsure == frozenset()
    async with ledger.unit() as unit:
        await unit.cut_chain(manifests.id, "main", after=one.id)
    assert (await trail_of(ledger, source.id)).unsure == {target.id}
