"""What a unit keeps of the last stage."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import event
from tests.ledger.running import rollout, workload
from tests.ledger.world import NOON, ON_SQLITE, NewPlace, World, at, moment, opened, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.sqlite import SqliteEngine
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.errors import StoreError
from fluxtrail.model.moment import Moment
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.records import Attribution, DeliveryRecord, SyncRecord, TargetRecord
from fluxtrail.model.rollout import RolloutCause, RolloutState, RunningState
from fluxtrail.model.running_records import HandoverRecord, WorkloadId, WorkloadRecord
from fluxtrail.trail.images.ports import ImageUnit
from fluxtrail.trail.rollouts.ports import RunningUnit

C1 = ClusterUid("c1")
_Applied = tuple[TargetRecord, SyncRecord, list[DeliveryRecord]]


async def _applied(
    unit: SqlUnit, numbers: range = range(1, 3)
) -> tuple[TargetRecord, SyncRecord, list[DeliveryRecord]]:
    """Put a sync that applied some commits."""
    world = World(unit)
    repository = await world.repository()
    target = await world.target(repository)
    sync = await world.sync(target, applied=moment(5))
    commits = await world.commits(repository, range(1, 3))
    return target, sync, [await world.delivery(commit, target, applied_sync=sync.id) for commit in commits]


async def test_unit_is_what_following_roll_outs_and_images_asks_for(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        of_running: RunningUnit = unit
        of_images: ImageUnit = unit
        for kept, protocol in ((of_running, RunningUnit), (of_images, ImageUnit)):
            names = [name for name in vars(protocol) if not name.startswith("_")]
            assert len(names) > 5
            assert [name for name in names if not hasattr(kept, name)] == []


# the state of a sync


async def test_new_sync_is_unread_once_it_is_applied_and_waits_when_told_so(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target, sync, _ = await _applied(unit)
        await World(unit).sync(target, 2)  # not applied yet
        elsewhere = await World(unit).target(None, cluster="c2")
        other = await World(unit).sync(elsewhere, applied=moment(5))
        gone = await World(unit).target(None, "gone", deleted_at=NOON)
        await World(unit).sync(gone, applied=moment(5))
        assert await unit.unread_syncs(C1, limit=9) == [sync]
        assert await unit.unread_syncs(ClusterUid("c2"), limit=9) == [other]
        assert await unit.waiting_syncs(C1) == []
        assert await unit.note_running([(sync.id, RunningState.WAITING, None)]) == []
        assert await unit.unread_syncs(C1, limit=9) == []
        assert await unit.waiting_syncs(C1) == [replace(sync, running_state=RunningState.WAITING)]


async def test_unread_syncs_come_oldest_first_and_no_more_than_wanted(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target = await World(unit).target(None)
        made = [await World(unit).sync(target, number, applied=moment(number)) for number in range(4)]
        assert await unit.unread_syncs(C1, limit=3) == made[:3]


async def test_running_is_noted_once_and_gives_the_deliveries_that_the_sync_applied(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target, sync, deliveries = await _applied(unit)
        later = await World(unit).sync(target, 2, applied=moment(8))
    async with ledger.unit() as unit:
        changes = [(sync.id, RunningState.REACHED, moment(7)), (later.id, RunningState.ABSENT, None)]
        assert await unit.note_running(changes) == deliveries
        assert unit.touched_deliveries == {(d.commit_id, d.target_id) for d in deliveries}
    async with ledger.unit() as unit:
        assert await unit.note_running([(sync.id, RunningState.REACHED, moment(99))]) == []
        assert await unit.note_running([(sync.id, RunningState.WAITING, None)]) == []
        assert unit.touched_deliveries == set()
        found = await unit.syncs([sync.id, later.id])
        assert found[sync.id] == replace(sync, running=moment(7), running_state=RunningState.REACHED)
        assert found[later.id] == replace(later, running_state=RunningState.ABSENT)
        assert await unit.applied_deliveries([later.id, sync.id]) == deliveries


async def _brought_anew(unit: SqlUnit) -> tuple[list[SyncRecord], DeliveryRecord]:
    """Put a commit that a release applied first and took back, and deployed with its next sync."""
    target, sync, [delivery, _] = await _applied(unit)
    failed = replace(sync, is_remediated=True)
    await unit.put_sync(failed)
    await unit.note_running([(sync.id, RunningState.ABSENT, None)])
    again = await World(unit).sync(target, 2, applied=moment(8))
    row = replace(delivery, healthy_sync=again.id)
    await unit.put_deliveries([row])
    return [failed, again], row


async def test_what_was_taken_back_runs_with_the_sync_that_brought_it_anew(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        [_, again], row = await _brought_anew(unit)
    async with ledger.unit() as unit:
        assert await unit.note_running([(again.id, RunningState.REACHED, moment(9))]) == [row]
        touched = sorted(unit.touched_deliveries)
    facts = [fact async for batch in ledger.delivery_facts(touched) for fact in batch]
    assert [(fact.applied, fact.running) for fact in facts] == [(moment(5), moment(9))]
    page = await ledger.list_deliveries(now=NOON, settle_after=timedelta(), verdict="deployed")
    [view] = [item for item in page.items if item.stages.get("running")]
    assert (view.running, view.stages["running"]) == ("reached", moment(9))


async def test_what_ran_before_it_was_taken_back_had_run_then(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target, sync, [delivery, _] = await _applied(unit)
        await unit.note_running([(sync.id, RunningState.REACHED, moment(6))])
        await unit.put_sync(replace(sync, is_remediated=True))
        again = await World(unit).sync(target, 2, applied=moment(8))
        await unit.put_deliveries([replace(delivery, healthy_sync=again.id)])
        assert await unit.note_running([(again.id, RunningState.REACHED, moment(9))]) == []
    facts = [fact.running async for batch in ledger.delivery_facts() for fact in batch]
    assert facts == [moment(6), moment(6)]


async def test_sync_that_runs_must_say_since_when(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        _, sync, _ = await _applied(unit)
        with pytest.raises(StoreError, match=f"sync {sync.id} is said to run"):
            await unit.note_running([(sync.id, RunningState.REACHED, None)])


async def test_writer_of_a_stale_sync_leaves_the_last_stage_as_it_is(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        _, sync, _ = await _applied(unit)
        await unit.note_running([(sync.id, RunningState.REACHED, moment(7))])
        stale = replace(sync, version=3, action="upgrade", is_remediated=True)
        await unit.put_sync(stale)
        await unit.put_syncs([replace(stale, running=moment(50), running_state=RunningState.WAITING)])
        kept = (await unit.syncs([sync.id]))[sync.id]
        assert kept == replace(stale, running=moment(7), running_state=RunningState.REACHED)


async def test_figures_have_when_the_sync_that_applied_it_ran(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        _, sync, deliveries = await _applied(unit)
    before = [fact.running async for batch in ledger.delivery_facts() for fact in batch]
    async with ledger.unit() as unit:
        await unit.note_running([(sync.id, RunningState.REACHED, moment(7))])
        touched = sorted(unit.touched_deliveries)
    after = [fact.running async for batch in ledger.delivery_facts(touched) for fact in batch]
    assert (before, after) == ([None] * len(deliveries), [moment(7)] * len(deliveries))


# workloads and roll-outs


async def test_workloads_are_known_by_object_and_keep_their_ids(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target = await World(unit).target(None)
        first, second = await unit.put_workloads([workload(target, "a"), workload(target, "b")])
        again = workload(target, "a", generation=4, state=RolloutState.BLOCKED, cause=RolloutCause.QUOTA)
        reborn = workload(target, "a", uid=ObjectUid("another"))
        changed, new = await unit.put_workloads([again, reborn])
        assert changed == replace(again, id=first.id)
        assert new.id not in (first.id, second.id)
        [gone] = await unit.put_workloads([replace(second, deleted_at=at(3))])
        assert await unit.workloads(C1) == [changed, new]
        assert await unit.workloads_of([target.id]) == [changed, new]
        assert await unit.workloads(ClusterUid("c2")) == []
        found = await unit.workloads_by_id([second.id, first.id, WorkloadId(999)])
        assert found == {first.id: changed, second.id: gone}
        with pytest.raises(StoreError, match="no workload 999"):
            await unit.put_workloads([replace(new, id=WorkloadId(999))])


async def test_workload_comes_back_whole(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target = await World(unit).target(None)
        whole = workload(
            target,
            key=ObjectKey("argoproj.io", "Rollout", "prod", "x"),
            touched_at=at(1),
            digests={"app": "sha256:1"},
            state=RolloutState.BLOCKED,
            cause=RolloutCause.PROBE,
            message="Readiness probe failed",
            pod="x-1",
            container="app",
            rolled_generation=3,
            rolled=moment(4),
        )
        [kept] = await unit.put_workloads([whole])
        assert await unit.workloads(C1) == [kept] == [replace(whole, id=kept.id)]


async def test_same_object_twice_in_a_batch_is_one_row_as_said_last(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target = await World(unit).target(None)
        one, two = await unit.put_workloads([workload(target), workload(target, generation=2)])
        assert one.id == two.id
        assert await unit.workloads(C1) == [two]


async def test_rollout_that_ran_stays_so_whatever_is_written(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target, sync, _ = await _applied(unit)
        one, two, three = await unit.put_workloads([workload(target, name) for name in "abc"])
        made = [rollout(sync, of, images_before={"app": "x:1"}, images={"app": "x:2"}) for of in (one, two, three)]
        await unit.put_rollouts(made)
        assert await unit.open_rollouts(C1) == await unit.rollouts_of([sync.id]) == made
        assert await unit.open_rollouts(ClusterUid("c2")) == []
        ran, dropped = replace(made[0], running=moment(3)), replace(made[1], is_dropped=True)
        await unit.put_rollouts([ran, dropped])
        await unit.put_rollouts([made[0], replace(ran, running=moment(9))])
        assert await unit.open_rollouts(C1) == [made[2]]
        assert await unit.rollouts_of([sync.id]) == [ran, dropped, made[2]]


async def test_rollouts_are_traced_once(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target, sync, _ = await _applied(unit)
        one, two = await unit.put_workloads([workload(target, "a"), workload(target, "b")])
        made = [rollout(sync, one), rollout(sync, two)]
        await unit.put_rollouts(made)
        assert await unit.untraced_rollouts(1) == made[:1]
        await unit.note_traced([(sync.id, one.id)])
        await unit.put_rollouts([replace(made[0], running=moment(3))])
        assert await unit.untraced_rollouts(9) == made[1:]
        assert (await unit.rollouts_of([sync.id]))[0] == replace(made[0], running=moment(3), is_traced=True)


_STEPS = st.lists(
    st.tuples(st.sampled_from(["note", "write", "apply"]), st.integers(0, 2), st.sampled_from(list(RunningState))),
    max_size=12,
)


@ON_SQLITE
@pytest.mark.timeout(60)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=_STEPS)
async def test_last_stage_is_reached_once_whatever_the_order_of_writers(
    new_place: NewPlace, steps: list[tuple[str, int, RunningState]]
) -> None:
    """The follower writes syncs from copies of any age; what was reached first stays, and is handed out once."""
    async with new_place() as place, opened(place) as ledger:
        async with ledger.unit() as unit:
            target = await World(unit).target(None)
            syncs = [await World(unit).sync(target, number) for number in range(3)]
        expected: dict[int, tuple[RunningState, Moment | None]] = dict.fromkeys(range(3), (RunningState.UNREAD, None))
        for second, (step, number, state) in enumerate(steps):
            async with ledger.unit() as unit:
                if step == "note":
                    when = moment(second) if state is RunningState.REACHED else None
                    await unit.note_running([(syncs[number].id, state, when)])
                    if expected[number][0] is not RunningState.REACHED:
                        expected[number] = state, when
                else:
                    await unit.put_sync(replace(syncs[number], applied=moment(second), running_state=state))
        async with ledger.unit() as unit:
            found = await unit.syncs([sync.id for sync in syncs])
        assert {n: (found[sync.id].running_state, found[sync.id].running) for n, sync in enumerate(syncs)} == expected


# handovers


async def test_commits_of_a_sync_are_handed_once_it_is_attributed(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target, sync, _ = await _applied(unit)
        release = await World(unit).target(None, "release", parent=target.key)
        other = await World(unit).target(None, "other")
        early, late = (HandoverRecord(sync_id=sync.id, release_id=one.id, generation=2) for one in (release, other))
        await unit.put_handovers([early, late])
        assert await unit.unhanded(9) == []
        await unit.put_sync(replace(sync, attribution=Attribution.DONE, attributed_version=sync.version))
        assert await unit.unhanded(9) == [early, late]
        await unit.mark_handed([early])
        await unit.put_handovers([replace(early, generation=3)])
        assert await unit.unhanded(9) == [late]
        assert await unit.handovers_of([release.id, other.id]) == [replace(early, generation=3, is_handed=True), late]
        live = [one for one in await unit.targets() if one.deleted_at is None]
        assert [one for one in live if one.parent == target.key] == [release]


# many at once


@ON_SQLITE
async def test_statements_do_not_grow_with_the_number_of_records(ledger: SqlLedger) -> None:
    async def write(number: int) -> int:
        asked: list[str] = []
        assert isinstance(ledger._engine, SqliteEngine)
        sync_engine = ledger._engine._writer.sync_engine

        def note(_c: object, _cursor: object, statement: str, *_: Any) -> None:
            asked.append(statement)

        async with ledger.unit() as unit:
            target = await World(unit).target(None, f"t{number}")
            syncs = [await World(unit).sync(target, n, applied=moment(n)) for n in range(number)]
            event.listen(sync_engine, "before_cursor_execute", note)
            kept = await unit.put_workloads([workload(target, f"{number}-{n}") for n in range(number)])
            kept = await unit.put_workloads([replace(one, generation=2) for one in kept])
            await unit.put_rollouts([rollout(sync, one) for sync, one in zip(syncs, kept, strict=True)])
            await unit.note_running([(sync.id, RunningState.REACHED, moment(1)) for sync in syncs])
            event.remove(sync_engine, "before_cursor_execute", note)
        return len(asked)

    assert await write(3) == await write(500) < 12


async def test_many_workloads_are_read_whole(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target = await World(unit).target(None)
        kept: list[WorkloadRecord] = await unit.put_workloads([workload(target, f"w{n}") for n in range(4100)])
        assert await unit.workloads(C1) == kept
        assert len(await unit.workloads_by_id([one.id for one in kept])) == 4100


async def test_sync_keeps_what_a_release_says_of_it(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target = await World(unit).target(None)
        given: dict[str, Any] = {
            "action": "rollback",
            "is_remediated": True,
            "running": moment(3),
            "running_state": RunningState.REACHED,
        }
        made = await World(unit).sync(target, **given)
        assert (await unit.syncs([made.id]))[made.id] == made
        assert (made.sha, made.action, made.running) == (sha(1), "rollback", moment(3))
