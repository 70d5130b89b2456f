"""What retention takes of the last stage, and what it never does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.ledger.deployments import digest
from tests.ledger.running import image, rollout, run, workload
from tests.ledger.world import NOON, ON_POSTGRES, ON_SQLITE, NewPlace, StillClock, World, at, moment, opened

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import Attribution
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.running_records import HandoverRecord

BOUND = 50
C1 = ClusterUid("c1")


async def _prune_all(ledger: SqlLedger, *, limit: int) -> None:
    for _ in range(100):
        async with ledger.unit() as unit:
            pruned = await unit.prune(at(BOUND), limit=limit)
        assert max(pruned.workloads, pruned.image_runs, pruned.images, pruned.syncs) <= limit
        if pruned.is_complete:
            return
    raise AssertionError("it never ends")


_SYNCS = st.lists(
    st.fixed_dictionaries(
        {
            "started": st.sampled_from([1, 99]),
            "target": st.sampled_from(["live", "gone"]),
            "state": st.sampled_from(list(RunningState)),
            "rollout": st.sampled_from(["none", "open", "ran", "dropped"]),
            "handover": st.sampled_from(["none", "waits", "done", "to_gone"]),
            "is_gap": st.booleans(),
            "deleted": st.sampled_from([None, 1, 99]),
        }
    ),
    max_size=8,
)
_PROPERTY: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@ON_SQLITE
@pytest.mark.timeout(90)
@settings(max_examples=15, **_PROPERTY)
@given(plans=_SYNCS, limit=st.integers(1, 4))
async def test_what_is_open_on_a_live_target_is_never_taken(
    new_place: NewPlace, plans: list[dict[str, Any]], limit: int
) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check(ledger, plans, limit)


@ON_POSTGRES
@pytest.mark.timeout(90)
@pytest.mark.requires("postgres")
@settings(max_examples=6, **_PROPERTY)
@given(plans=_SYNCS, limit=st.integers(1, 4))
async def test_what_is_open_is_never_taken_from_a_database(
    new_place: NewPlace, plans: list[dict[str, Any]], limit: int
) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check(ledger, plans, limit)


async def _check(ledger: SqlLedger, plans: list[dict[str, Any]], limit: int) -> None:
    """Each plan is a sync with a workload of its own."""
    async with ledger.unit() as unit:
        world = World(unit)
        targets = {"live": await world.target(None, "live"), "gone": await world.target(None, "gone", deleted_at=NOON)}
        release = await world.target(None, "release")
        releases = {"waits": release, "done": release, "to_gone": await world.target(None, "r", deleted_at=NOON)}
        made = []
        for number, plan in enumerate(plans):
            target = targets[plan["target"]]
            attribution = Attribution.GAP if plan["is_gap"] else Attribution.DONE
            given: dict[str, Any] = {"attribution": attribution, "attributed_version": 0, "applied": moment(2)}
            sync = await world.sync(target, number, started=moment(plan["started"]), **given)
            deleted_at = None if plan["deleted"] is None else at(plan["deleted"])
            [of] = await unit.put_workloads([workload(target, f"w{number}", deleted_at=deleted_at)])
            if plan["state"] is not RunningState.REACHED:
                await unit.note_running([(sync.id, plan["state"], None)])
            if plan["rollout"] != "none":
                running = moment(3) if plan["rollout"] == "ran" else None
                await unit.put_rollouts([rollout(sync, of, running=running, is_dropped=plan["rollout"] == "dropped")])
            if plan["handover"] != "none":
                release, is_handed = releases[plan["handover"]], plan["handover"] == "done"
                record = HandoverRecord(sync_id=sync.id, release_id=release.id, generation=1, is_handed=is_handed)
                await unit.put_handovers([record])
            made.append((plan, sync, of))
    await _prune_all(ledger, limit=limit)
    async with ledger.unit() as unit:
        kept = await unit.syncs([sync.id for _, sync, _ in made])
        rollouts = {(one.sync_id, one.workload_id) for one in await unit.rollouts_of([s.id for _, s, _ in made])}
        workloads = await unit.workloads_by_id([of.id for _, _, of in made])
        handed = {one.sync_id for one in await unit.handovers_of([one.id for one in releases.values()])}
    for plan, sync, of in made:
        waits = plan["target"] == "live" and plan["state"] is RunningState.WAITING and plan["rollout"] == "open"
        hands = plan["handover"] == "waits" and not plan["is_gap"]
        is_kept = plan["started"] > BOUND or waits or hands
        assert (sync.id in kept) is is_kept
        assert ((sync.id, of.id) in rollouts) is (is_kept and plan["rollout"] != "none")
        assert (sync.id in handed) is (is_kept and plan["handover"] != "none")
        is_over = plan["deleted"] is not None and plan["deleted"] < BOUND
        assert (of.id in workloads) is not (is_over and (sync.id, of.id) not in rollouts)


async def test_runs_go_when_they_ended_long_ago_and_images_with_their_last_run(
    ledger: SqlLedger, clock: StillClock
) -> None:
    ended = [run(2, "b", until=at(1)), run(3, "c", until=at(99)), run(6, "f", until=at(1))]
    async with ledger.unit() as unit:
        await unit.put_images([*(image(n) for n in (1, 2, 3, 4, 5)), image(6, index_digest=digest(5))])
        await unit.put_image_runs([run(1), *(replace(one, until=None) for one in ended), run(5, "f")])
        await unit.put_image_runs(ended)
        clock.time = at(BOUND)
        await unit.put_images([image(7)])  # young, and nothing runs it yet
    await _prune_all(ledger, limit=1)
    async with ledger.unit() as unit:
        assert set(await unit.images([digest(n) for n in range(9)])) == {digest(n) for n in (1, 3, 5, 6, 7)}
        assert await unit.image_runs_at(C1, "prod", "Deployment", "b", 9) == []
        assert len(await unit.image_runs_at(C1, "prod", "Deployment", "c", 9)) == 1
    assert {view.digest for view in (await ledger.list_images()).items} == {digest(n) for n in (1, 3, 5)}
