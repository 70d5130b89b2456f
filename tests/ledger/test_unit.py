from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.ledger.world import NOON, StillClock, World, at, moment, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import StoreError
from fluxtrail.model.moment import Evidence, Moment, Precision
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import (
    AliasKind,
    Attribution,
    BranchRecord,
    CommitId,
    DeliveryRecord,
    ExportRecord,
    FetchRecord,
    RepositoryId,
    RepositoryRecord,
    TargetId,
    Transition,
    TransitionKind,
)
from fluxtrail.model.verdict import Verdict
from fluxtrail.trail import ports


async def test_ledger_and_unit_are_what_the_trail_asks_for(ledger: SqlLedger) -> None:
    kept: ports.Ledger = ledger  # mypy holds the proof of the shapes; at run time the names must be there
    async with kept.unit() as unit:
        names = [name for name in vars(ports.Unit) if not name.startswith("_")]
        assert len(names) > 25
        assert [name for name in names if not hasattr(unit, name)] == []


async def test_clusters_marks_and_notes(ledger: SqlLedger) -> None:
    uid = ClusterUid("c1")
    async with ledger.unit() as unit:
        await unit.put_cluster(uid, "north", NOON)
        await unit.put_cluster(uid, "renamed", at(1))
        await unit.put_stream_marks({(uid, "Kustomization"): at(5)})
        await unit.put_stream_marks({(uid, "Kustomization"): at(3), (uid, "GitRepository"): at(1)})
        await unit.put_stream_marks({})
        await unit.put_note("a", "1")
        await unit.put_note("a", "2")
    async with ledger.unit() as unit:
        assert await unit.stream_marks() == {(uid, "Kustomization"): at(5), (uid, "GitRepository"): at(1)}
        assert await unit.get_note("a") == "2"
        assert await unit.get_note("b") is None


async def test_repository_is_one_by_its_canonical_name_and_keeps_its_url(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        first = await world.repository("shop")
        other = await world.repository("blog")
        known_from_exports = msgspec.structs.replace(first, id=0, url="", default_branch=None)
        assert await unit.put_repository(known_from_exports) == first
        moved = await unit.put_repository(msgspec.structs.replace(first, id=0, default_branch="trunk"))
        assert moved == msgspec.structs.replace(first, default_branch="trunk")
        assert await unit.repositories() == [moved, other]


async def test_branches_are_replaced_by_repository_and_name(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        repository = await World(unit).repository()
        branch = BranchRecord(repository_id=repository.id, name="main", head=None, looked_at=None)
        later = msgspec.structs.replace(branch, head=sha(1), looked_at=at(2), problem="refused")
        await unit.put_branch(branch)
        await unit.put_branch(later)
        assert await unit.branches() == [later]


async def test_commits_come_back_whole_and_in_order(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        made = await world.commits(repository, range(2500))
        assert [commit.sha for commit in made] == [sha(n) for n in range(2500)]
        assert len({commit.id for commit in made}) == 2500
        again = await unit.commits_by_sha(repository.id, [sha(n) for n in range(2400, 2600)])
        assert again == {commit.sha: commit for commit in made[2400:]}
        assert await unit.commits_by_id([made[7].id, CommitId(10**9)]) == {made[7].id: made[7]}


async def test_put_commits_never_forgets_and_never_touches_a_final_moment(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        [held] = await world.commits(repository, range(1, 2), is_carrier=True)
        bare = msgspec.structs.replace(
            held, id=0, subject="", author="", committed_at=None, merged=None, is_carrier=False, reverts=(sha(9),)
        )
        [known] = await unit.put_commits([bare])
        assert known == msgspec.structs.replace(held, reverts=(sha(9),))

        better = msgspec.structs.replace(bare, merged=moment(99, Evidence.PULL_REQUEST), merged_is_final=True)
        [final] = await unit.put_commits([better])
        assert final.merged == moment(99, Evidence.PULL_REQUEST)
        [frozen] = await unit.put_commits([msgspec.structs.replace(bare, merged=moment(5))])
        assert frozen == final
        assert await unit.commits_by_id([held.id]) == {held.id: final}


async def test_put_commits_takes_one_sha_twice_and_several_repositories(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        [one] = await world.commits(await world.repository("shop"), range(1, 2))
        blog = await world.repository("blog")
        twin = msgspec.structs.replace(one, id=0, repository_id=blog.id)
        known = await unit.put_commits([twin, msgspec.structs.replace(twin, pull_request=7), one])
        assert known[0] == known[1]
        assert known[0].pull_request == 7
        assert known[2] == one
        assert known[0].id != one.id


async def test_chain_extends_cuts_and_takes_a_commit_back_at_a_new_position(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        made = await world.commits(repository, range(1, 6))
        first = await unit.chain_position(repository.id, "main", sha(1))
        assert first is not None
        assert await unit.cut_chain(repository.id, "main", after=made[2].id) == [made[3].id, made[4].id]
        assert await unit.chain_position(repository.id, "main", sha(4)) is None
        [new] = await world.commits(repository, range(10, 11))
        await unit.extend_chain(repository.id, "main", [made[4].id])
        assert await unit.chain_position(repository.id, "main", sha(10)) == first + 5
        assert await unit.chain_position(repository.id, "main", sha(5)) == first + 6
        assert await unit.chain_position(repository.id, "other", sha(5)) is None
        whole = await unit.chain_slice(repository.id, "main", after=None, through=None, limit=100)
        assert whole == [*made[:3], new, made[4]]
        assert await unit.chain_slice(repository.id, "main", after=first, through=first + 5, limit=2) == made[1:3]


async def test_chain_extended_with_what_stands_there_stays_as_it_is(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        made = await world.commits(repository, range(1, 4))
        before = await unit.chain_position(repository.id, "main", sha(2))
        await unit.extend_chain(repository.id, "main", [commit.id for commit in made])
        assert await unit.chain_position(repository.id, "main", sha(2)) == before
        assert await unit.chain_slice(repository.id, "main", after=None, through=None, limit=9) == made


async def test_chain_cut_to_nothing_and_behind_a_stranger(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        made = await world.commits(repository, range(1, 4))
        assert await unit.cut_chain(repository.id, "main", after=None) == [commit.id for commit in made]
        assert await unit.cut_chain(repository.id, "main", after=None) == []
        with pytest.raises(StoreError, match="does not stand on branch 'main'"):
            await unit.cut_chain(repository.id, "main", after=made[0].id)
        await unit.extend_chain(repository.id, "main", [made[0].id])
        assert await unit.chain_position(repository.id, "main", sha(1)) == 4


async def test_exports_and_aliases_are_kept_once(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        one, two = await world.commits(shop, range(1, 3))
        [carrier] = await world.commits(manifests, range(10, 11), is_carrier=True)
        first = ExportRecord(carrier_id=carrier.id, source_id=one.id, stated_at=at(1))
        second = ExportRecord(carrier_id=carrier.id, source_id=two.id, stated_at=None, build_link="https://ci/7")
        await unit.put_exports([first, second])
        await unit.put_exports([msgspec.structs.replace(first, stated_at=at(2))])
        expected = [msgspec.structs.replace(first, stated_at=at(2)), second]
        assert await unit.exports_of([carrier.id, one.id]) == expected
        await unit.put_aliases(shop.id, one.id, AliasKind.PULL_REQUEST, [sha(70), sha(71)])
        await unit.put_aliases(shop.id, one.id, AliasKind.MERGED, [sha(70)])
        await unit.put_aliases(shop.id, one.id, AliasKind.MERGED, [])


async def test_sources_and_targets_are_updated_by_id_or_by_what_they_are(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        source = await world.source(repository, sparse_checkout=("a", "b"), ignore="*.md")
        target = await world.target(repository, components=("../c",), baseline_sha=sha(1))
        assert await unit.sources() == [source]
        assert await unit.targets() == [target]
        unsaved = msgspec.structs.replace(target, id=TargetId(0), message="later")
        assert await unit.put_target(unsaved) == msgspec.structs.replace(target, message="later")
        again = await unit.put_target(msgspec.structs.replace(target, uid="another", deleted_at=at(4)))
        assert again.id == target.id
        gone = await unit.put_source(msgspec.structs.replace(source, deleted_at=at(3)))
        assert await unit.sources() == [gone]
        assert await unit.targets() == [again]
        with pytest.raises(StoreError, match="there is no row 999 in targets"):
            await unit.put_target(msgspec.structs.replace(target, id=TargetId(999)))


async def test_copies_of_targets_are_right_after_a_rollback(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target = await World(unit).target(None)

    async def fail() -> None:
        async with ledger.unit() as unit:
            await unit.put_target(msgspec.structs.replace(target, message="never kept"))
            assert (await unit.targets())[0].message == "never kept"
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        await fail()
    async with ledger.unit() as unit:
        assert await unit.targets() == [target]


async def test_fetch_keeps_the_earliest_moment(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        source = await world.source(await world.repository())
        revision = f"main@sha1:{sha(1)}"
        told = FetchRecord(
            source_id=source.id, revision=revision, digest="d1", fetched=moment(5), origin="o", inputs={"a": "b"}
        )
        for fetched, kept in ((5, 5), (9, 5), (2, 2)):
            assert await unit.note_fetch(
                msgspec.structs.replace(told, fetched=moment(fetched))
            ) == msgspec.structs.replace(told, fetched=moment(kept))
        other = msgspec.structs.replace(told, digest="d2", fetched=moment(3), origin=None)
        assert await unit.note_fetch(other) == other
        assert await unit.fetches([source.id]) == [msgspec.structs.replace(told, fetched=moment(2)), other]
        assert await unit.fetches([source.id], revision="other") == []
        assert await unit.find_fetch(source.id, revision) == moment(2)
        assert await unit.find_fetch(source.id, "other") is None


async def test_syncs_keep_every_moment_exactly(ledger: SqlLedger) -> None:
    late = Moment(
        at=at(7.654321),
        evidence=Evidence.BRACKET,
        precision=Precision.ESTIMATED,
        not_before=at(1.000001),
        not_after=at(7.654321),
    )
    async with ledger.unit() as unit:
        world = World(unit)
        target = await world.target(await world.repository())
        sync = await world.sync(target, fetched=moment(1), applied=late, message="ça marche")
        again = await unit.put_sync(msgspec.structs.replace(sync, healthy=moment(9), version=1))
        assert await unit.syncs([sync.id]) == {sync.id: again}
        with pytest.raises(StoreError, match="no sync 77"):
            await unit.put_sync(msgspec.structs.replace(sync, id=77))


async def test_unattributed_syncs_are_those_behind_and_no_gap(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        target = await world.target(await world.repository())
        fresh = await world.sync(target, 1)
        await world.sync(target, 2, version=3, attributed_version=3, attribution=Attribution.DONE)
        grown = await world.sync(target, 3, version=4, attributed_version=3, attribution=Attribution.DONE)
        await world.sync(target, 4, attribution=Attribution.GAP)
        assert await unit.unattributed_syncs(limit=9) == [fresh, grown]
        assert await unit.unattributed_syncs(limit=1) == [fresh]


async def test_deliveries_are_replaced_and_remembered_as_touched(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        one, two = await world.commits(repository, range(1, 3))
        target, other = await world.target(repository, "a"), await world.target(repository, "b")
        first = await world.delivery(one, target, Verdict.PENDING)
        failed = await world.delivery(one, target, Verdict.FAILED, reason="BuildFailed", since=at(50))
        elsewhere = await world.delivery(one, other, undone_by=two.id, is_scope_unknown=True)
        assert first != failed
        assert await unit.deliveries(target.id, [one.id, two.id]) == {one.id: failed}
        assert await unit.deliveries_of([one.id, two.id]) == [failed, elsewhere]
        assert unit.touched_deliveries == {(one.id, target.id), (one.id, other.id)}
        with pytest.raises(StoreError, match="no commit 999"):
            await unit.put_deliveries([msgspec.structs.replace(first, commit_id=CommitId(999))])


async def test_delivery_on_an_unknown_target_is_refused_and_undoes_the_unit(ledger: SqlLedger) -> None:
    async def write() -> None:
        async with ledger.unit() as unit:
            world = World(unit)
            [commit] = await world.commits(await world.repository(), range(1, 2))
            record = DeliveryRecord(commit_id=commit.id, target_id=TargetId(5), verdict=Verdict.PENDING, since=NOON)
            await unit.put_deliveries([record])

    with pytest.raises(StoreError, match="contradicts what is kept"):
        await write()
    async with ledger.unit() as unit:
        assert await unit.repositories() == []


async def test_open_deliveries_go_by_the_deciding_commit_and_the_branch_of_the_target(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        sources = await world.commits(shop, range(1, 4))
        carriers = await world.commits(manifests, range(11, 14), is_carrier=True)
        target = await world.target(manifests)
        tagged = await world.target(manifests, "tagged", branch=None, follows_tags=True)
        for commit, carrier in zip(sources, carriers, strict=True):
            for place in (target, tagged):
                await world.delivery(carrier, place, Verdict.PENDING)
                await world.delivery(commit, place, Verdict.PENDING, carrier_id=carrier.id)
        await world.delivery(carriers[2], target, Verdict.DEPLOYED)
        low = await unit.chain_position(manifests.id, "main", carriers[0].sha)
        assert low is not None
        for place in (target, tagged):
            found = await unit.open_deliveries(place.id, verdicts=[Verdict.PENDING], after=low, through=low + 1)
            assert {delivery.commit_id for delivery in found} == {sources[1].id, carriers[1].id}
        everything = await unit.open_deliveries(target.id, verdicts=[Verdict.PENDING, Verdict.DEPLOYED])
        assert len(everything) == 6
        assert len(await unit.open_deliveries(target.id, verdicts=[Verdict.PENDING])) == 5
        await unit.cut_chain(manifests.id, "main", after=carriers[0].id)
        assert await unit.open_deliveries(target.id, verdicts=[Verdict.PENDING], after=low) == []


async def test_transitions_get_growing_ids(ledger: SqlLedger) -> None:
    lines = [
        Transition(at=at(n), kind=TransitionKind.VERDICT, before="pending", after="deployed", detail={"n": str(n)})
        for n in range(3)
    ]
    async with ledger.unit() as unit:
        await unit.add_transitions(lines)
        await unit.add_transitions([])
    kept = await ledger.transitions(after_id=0, limit=10)
    assert [line.id for line in kept] == sorted(line.id for line in kept)
    assert [msgspec.structs.replace(line, id=0) for line in kept] == lines


async def test_unit_is_rolled_back_when_cancelled_and_the_next_one_goes_on(ledger: SqlLedger) -> None:
    inside = asyncio.Event()

    async def stuck() -> None:
        async with ledger.unit() as unit:
            await unit.put_note("cancelled", "yes")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(stuck())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with ledger.unit() as unit:
        assert await unit.get_note("cancelled") is None


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_unit_is_kept_whole_or_not_at_all_wherever_it_is_cancelled(ledger: SqlLedger, steps: int) -> None:
    async def write() -> None:
        async with ledger.unit() as unit:
            await unit.put_note("a", "1")
            await unit.put_note("b", "1")

    task = asyncio.ensure_future(write())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    async with ledger.unit() as unit:
        assert await unit.get_note("a") == await unit.get_note("b")


async def test_units_wait_for_each_other(ledger: SqlLedger) -> None:
    async def add() -> None:
        async with ledger.unit() as unit:
            held = int(await unit.get_note("sum") or 0)
            await asyncio.sleep(0)
            await unit.put_note("sum", str(held + 1))

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(add())
    async with ledger.unit() as unit:
        assert await unit.get_note("sum") == "50"


async def test_identity_outlives_the_process_object(ledger: SqlLedger, where: Path | str, clock: StillClock) -> None:
    await ledger.close()
    clock.time = NOON + timedelta(days=1)
    again = await SqlLedger.open(where, clock=clock)
    try:
        assert again.instance_id == ledger.instance_id
        assert again.created_at == ledger.created_at == NOON
    finally:
        await again.close()


async def test_repository_record_without_anything(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        empty = await unit.put_repository(RepositoryRecord(id=RepositoryId(0), canonical="github.com/x/y", url=""))
        assert await unit.put_repository(msgspec.structs.replace(empty, id=0, url="https://github.com/x/y")) == (
            msgspec.structs.replace(empty, url="https://github.com/x/y")
        )
