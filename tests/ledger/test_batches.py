"""What a unit reads and writes for a crowd of syncs at once."""

from __future__ import annotations

import msgspec
import pytest
from tests.ledger.world import World, moment, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import StoreError
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Attribution, ExportRecord, SyncId
from fluxtrail.model.verdict import Verdict

replace = msgspec.structs.replace


async def test_positions_of_many_commits_leave_out_what_does_not_stand_on_the_branch(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, other = await world.repository("shop"), await world.repository("other")
        made = await world.commits(shop, range(1, 5))
        await world.commits(other, range(1, 3))
        await unit.cut_chain(shop.id, "main", after=made[2].id)
        found = await unit.chain_positions(shop.id, "main", [sha(3), sha(1), sha(4), sha(9), sha(3)])
        assert found == {
            sha(1): await unit.chain_position(shop.id, "main", sha(1)),
            sha(3): await unit.chain_position(shop.id, "main", sha(3)),
        }
        assert await unit.chain_positions(shop.id, "other", [sha(1)]) == {}
        assert await unit.chain_positions(shop.id, "main", []) == {}


async def test_standing_deliveries_go_by_the_deciding_commit(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        sources = await world.commits(shop, range(1, 4))
        carriers = await world.commits(manifests, range(11, 14), is_carrier=True)
        first, second, third = [await world.target(manifests, name) for name in ("a", "b", "c")]
        for target in (first, third):
            for commit, carrier in zip(sources, carriers, strict=True):
                await world.delivery(carrier, target, Verdict.PENDING)
                await world.delivery(commit, target, Verdict.PENDING, carrier_id=carrier.id)
        await world.delivery(carriers[0], first, Verdict.DEPLOYED)
        await world.delivery(carriers[1], second, Verdict.FAILED)
        await world.delivery(sources[2], second, Verdict.PENDING)
        await unit.cut_chain(manifests.id, "main", after=carriers[1].id)
        low = await unit.chain_position(manifests.id, "main", carriers[0].sha)
        assert low is not None
        found = await unit.standing_deliveries(
            manifests.id, "main", [second.id, first.id, second.id], verdicts=[Verdict.PENDING, Verdict.FAILED]
        )
        assert [(position, row.target_id, row.commit_id) for position, row in found] == [
            (low, first.id, sources[0].id),
            (low + 1, first.id, sources[1].id),
            (low + 1, first.id, carriers[1].id),
            (low + 1, second.id, carriers[1].id),
        ]
        assert found[0][1] == (await unit.deliveries(first.id, [sources[0].id]))[sources[0].id]
        assert await unit.standing_deliveries(manifests.id, "dev", [first.id], verdicts=[Verdict.PENDING]) == []
        assert await unit.standing_deliveries(manifests.id, "main", [], verdicts=[Verdict.PENDING]) == []


async def test_many_syncs_are_updated_at_once_or_not_at_all(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        target = await world.target(await world.repository())
        made = [await world.sync(target, number) for number in range(1, 4)]
    changed = [
        replace(sync, outcome=Outcome.SUCCEEDED, fetched=moment(5), attribution=Attribution.DONE) for sync in made[:2]
    ]
    async with ledger.unit() as unit:
        await unit.put_syncs([])
        await unit.put_syncs(changed)
    async with ledger.unit() as unit:
        found = await unit.syncs([sync.id for sync in made])
    assert list(found.values()) == [*changed, made[2]]
    with pytest.raises(StoreError, match="there is no sync 99"):
        async with ledger.unit() as unit:
            await unit.put_syncs([replace(made[2], reason="changed"), replace(made[0], id=SyncId(99))])
    async with ledger.unit() as unit:
        assert (await unit.syncs([made[2].id]))[made[2].id] == made[2]


async def test_reverters_are_those_that_stand_in_a_range_or_were_exported_by_what_does(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        sources = await world.commits(shop, range(1, 4))
        carriers = await world.commits(manifests, range(11, 15))
        reverting = [replace(sources[1], reverts=(sources[0].sha,)), replace(carriers[3], reverts=(carriers[0].sha,))]
        await unit.put_commits(reverting)
        await unit.put_exports([ExportRecord(carrier_id=carriers[2].id, source_id=sources[1].id, stated_at=None)])
        places = await unit.chain_positions(manifests.id, "main", [carrier.sha for carrier in carriers])
        first, third, last = (places[carriers[index].sha] for index in (0, 2, 3))
        found = await unit.reverters(manifests.id, "main", after=first, through=last)
        assert [(position, commit.sha) for position, commit in found] == [
            (third, sources[1].sha),
            (last, carriers[3].sha),
        ]
        assert await unit.reverters(manifests.id, "main", after=first, through=third - 1) == []
        assert await unit.reverters(manifests.id, "main", after=last, through=last) == []
