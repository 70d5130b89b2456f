"""What runs and what does not, as it is listed and shown; and that every question takes its index."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import event
from tests.ledger.running import image, rollout, run, workload
from tests.ledger.world import NOON, ON_SQLITE, World, at, moment, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.sqlite import SqliteEngine
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.records import ExportRecord, SyncId, SyncRecord, TargetId, TargetRecord
from fluxtrail.model.rollout import RolloutCause, RolloutState, RunningState
from fluxtrail.model.running_records import WorkloadId
from fluxtrail.model.telling import TellingKey
from fluxtrail.model.views import DeliveryView, TrailView

C1 = ClusterUid("c1")
SECOND = timedelta(seconds=1)


async def _names(ledger: SqlLedger, **given: Any) -> list[str]:
    """Return the workloads of every page."""
    found, cursor = [], None
    while True:
        page = await ledger.list_workloads(limit=2, cursor=cursor, **given)
        found += [view.workload.rpartition("/")[2] for view in page.items]
        cursor = page.next
        if cursor is None:
            return found


async def test_what_does_not_run_comes_first_and_by_name(ledger: SqlLedger) -> None:
    states = {
        "a": RolloutState.ROLLED_OUT,
        "b": RolloutState.PROGRESSING,
        "c": RolloutState.BLOCKED,
        "d": RolloutState.FAILED,
        "e": RolloutState.ABSENT,
        "f": RolloutState.BLOCKED,
        "g": RolloutState.FAILED,
    }
    async with ledger.unit() as unit:
        target = await World(unit).target(None)
        await unit.put_workloads([workload(target, name, state=state) for name, state in reversed(states.items())])
        await unit.put_workloads([workload(target, "z", state=RolloutState.FAILED, deleted_at=at(1))])
    assert await _names(ledger) == ["d", "g", "c", "f", "b", "e", "a"]
    assert await _names(ledger, state="blocked") == ["c", "f"]


async def test_workloads_are_narrowed(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.put_cluster(C1, "north", NOON)
        here, there = await World(unit).target(None), await World(unit).target(None, "tools", cluster="c2")
        quota: dict[str, Any] = {"state": RolloutState.BLOCKED, "cause": RolloutCause.QUOTA}
        await unit.put_workloads(
            [
                workload(here, "a", **quota),
                workload(here, "b", key=ObjectKey("apps", "Deployment", "test", "b")),
                workload(there, "c"),
            ]
        )
    assert await _names(ledger, cluster="north") == ["a", "b"]
    assert await _names(ledger, cluster="c2") == ["c"]
    assert await _names(ledger, namespace="test") == ["b"]
    assert await _names(ledger, target="Kustomization/flux-system/tools") == ["c"]
    assert await _names(ledger, target="nothing") == []
    assert await _names(ledger, cause="quota") == ["a"]
    wrongs: list[dict[str, Any]] = [{"state": "nonsense"}, {"cause": "nonsense"}, {"cursor": "nonsense"}]
    for wrong in wrongs:
        with pytest.raises(ConfigError, match="nonsense"):
            await ledger.list_workloads(**wrong)


async def test_workload_is_shown_whole(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.put_cluster(C1, "north", NOON)
        target = await World(unit).target(None)
        given: dict[str, Any] = {
            "key": ObjectKey("argoproj.io", "Rollout", "prod", "shop"),
            "state": RolloutState.BLOCKED,
            "cause": RolloutCause.PROBE,
            "message": "Readiness probe failed",
            "pod": "shop-1",
            "container": "app",
            "rolled_generation": 3,
            "rolled": moment(4),
        }
        await unit.put_workloads([workload(target, **given)])
    [view] = (await ledger.list_workloads()).items
    assert (view.cluster, view.workload, view.target) == (
        "north",
        "Rollout.argoproj.io/prod/shop",
        "Kustomization/flux-system/apps",
    )
    assert (view.state, view.cause, view.message, view.pod, view.container) == (
        "blocked",
        "probe",
        "Readiness probe failed",
        "shop-1",
        "app",
    )
    assert (view.rolled_generation, view.rolled, view.images) == (3, moment(4), {"app": "ghcr.io/acme/shop:v1"})


async def test_what_does_not_run_is_counted_by_target_and_cause(ledger: SqlLedger) -> None:
    quota: dict[str, Any] = {"state": RolloutState.BLOCKED, "cause": RolloutCause.QUOTA}
    async with ledger.unit() as unit:
        target = await World(unit).target(None)
        gone = await World(unit).target(None, "gone", deleted_at=NOON)
        made = [workload(target, "a", **quota), workload(target, "b", **quota), workload(target, "c")]
        made += [workload(target, "d", state=RolloutState.ROLLED_OUT), workload(target, "e", state=RolloutState.ABSENT)]
        made += [workload(target, "f", deleted_at=NOON, **quota), workload(gone, "g", **quota)]
        await unit.put_workloads(made)
    counts = [(c.cluster, c.name, c.cause, c.workloads) for c in (await ledger.counts()).not_running]
    assert counts == [("c1", "apps", "progressing", 1), ("c1", "apps", "quota", 2)]


# deliveries


async def _delivered(unit: SqlUnit) -> tuple[TargetRecord, SyncRecord]:
    world = World(unit)
    repository = await world.repository()
    target = await world.target(repository)
    sync = await world.sync(target, fetched=moment(2), applied=moment(5))
    for commit in await world.commits(repository, range(1, 3)):
        await world.delivery(commit, target, applied_sync=sync.id)
    return target, sync


async def _shown(ledger: SqlLedger) -> list[DeliveryView]:
    return list((await ledger.list_deliveries(now=at(99), settle_after=SECOND)).items)


async def test_delivery_says_what_it_waits_for_what_is_worst_first(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target, sync = await _delivered(unit)
    assert {view.running for view in await _shown(ledger)} == {"unread"}
    async with ledger.unit() as unit:
        made = [workload(target, f"w{n:02}") for n in range(30)]
        made[7] = replace(made[7], state=RolloutState.BLOCKED, cause=RolloutCause.IMAGE_PULL, message="not found")
        kept = await unit.put_workloads(made)
        rollouts = [rollout(sync, one) for one in kept]
        rollouts[1] = replace(rollouts[1], running=moment(6))
        rollouts[2] = replace(rollouts[2], is_dropped=True)
        await unit.put_rollouts(rollouts)
        await unit.note_running([(sync.id, RunningState.WAITING, None)])
    for view in await _shown(ledger):
        assert (view.running, list(view.stages)) == ("waiting", ["merged", "fetched", "applied"])
        first = view.blockers[0]
        assert (first.workload, first.state, first.cause, first.message) == (
            "Deployment/prod/w07",
            "blocked",
            "image_pull",
            "not found",
        )
        rest = [blocker.workload.rpartition("/")[2] for blocker in view.blockers[1:]]
        assert rest == [f"w{n:02}" for n in range(30) if n not in (1, 2, 7)][:19]
    found = await ledger.target(target.id, now=at(99))
    assert found is not None
    assert [(view.running_state, len(view.blockers)) for view in found[1]] == [("waiting", 20)]


async def test_what_has_rolled_out_holds_up_nothing(ledger: SqlLedger) -> None:
    """A Helm upgrade that failed leaves open the roll-outs of what it did bring."""
    async with ledger.unit() as unit:
        target, sync = await _delivered(unit)
        states = (RolloutState.ROLLED_OUT, RolloutState.BLOCKED, RolloutState.ABSENT)
        kept = await unit.put_workloads([workload(target, state.value, state=state) for state in states])
        await unit.put_rollouts([rollout(sync, one) for one in kept])
        await unit.note_running([(sync.id, RunningState.WAITING, None)])
    for view in await _shown(ledger):
        assert [blocker.state for blocker in view.blockers] == ["blocked", "absent"]


async def test_delivery_has_its_last_stage_once_it_is_reached(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        target, sync = await _delivered(unit)
        await unit.note_running([(sync.id, RunningState.REACHED, moment(9))])
        [delivery, _] = await unit.applied_deliveries([sync.id])
    for view in await _shown(ledger):
        assert (view.running, view.blockers, view.stages["running"]) == ("reached", [], moment(9))
        assert list(view.stages) == ["merged", "fetched", "applied", "running"]
    key = TellingKey(delivery.commit_id, target.id, sync.id)
    assert (await ledger.delivery_tellings([key]))[key].running == moment(9)


async def test_trail_of_a_source_commit_runs_as_its_export_does(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        [source] = await world.commits(shop, range(1, 2))
        [carrier] = await world.commits(manifests, range(2, 3), is_carrier=True)
        await unit.put_exports([ExportRecord(carrier_id=carrier.id, source_id=source.id, stated_at=None)])
        target = await world.target(manifests)
        sync = await world.sync(target, applied=moment(5))
        await world.delivery(carrier, target, applied_sync=sync.id)
        await unit.note_running([(sync.id, RunningState.REACHED, moment(9))])
    trail = await ledger.find_trail(sha(1), now=at(99), settle_after=SECOND)
    assert isinstance(trail, TrailView)
    [view] = trail.deliveries
    assert (view.carrier, view.running, view.stages["running"]) == (sha(2), "reached", moment(9))


async def test_delivery_that_is_not_applied_says_nothing_of_running(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        target = await world.target(repository)
        [commit] = await world.commits(repository, range(1, 2))
        await world.delivery(commit, target)
    assert [view.running for view in await _shown(ledger)] == [""]


# plans

_READ: list[tuple[str, str, Callable[[SqlLedger], Awaitable[object]]]] = [
    ("workloads", "COVERING INDEX ix_workloads_list (state=?)", lambda ledger: ledger.list_workloads(state="failed")),
    ("workloads", "COVERING INDEX ix_workloads_list (state=? AND namespace=?)", lambda ledger: ledger.list_workloads(
        state="failed", namespace="x", cluster="c1", cause="quota")),
    ("workloads", "COVERING INDEX ix_workloads_list", lambda ledger: ledger.counts()),
    ("images", "SCAN images USING INDEX ix_images_list", lambda ledger: ledger.list_images()),
    ("images", "SEARCH images USING INDEX ix_images_state", lambda ledger: ledger.list_images(state="known")),
    ("images", "COVERING INDEX ix_image_runs_live (cluster=?", lambda ledger: ledger.list_images(cluster="c1")),
    ("image_runs", "SCAN image_runs USING COVERING INDEX ix_image_runs_counted", lambda ledger: ledger.counts()),
    ("images", "USING INDEX pk_images", lambda ledger: ledger.find_image("abcdef")),
]  # fmt: skip
_UNIT: list[tuple[str, str, Callable[[SqlUnit], Awaitable[object]]]] = [
    ("syncs", "USING INDEX ix_syncs_unread", lambda unit: unit.unread_syncs(C1, limit=9)),
    ("syncs", "USING INDEX ix_syncs_waiting", lambda unit: unit.waiting_syncs(C1)),
    ("workloads", "INDEX ix_workloads_live (cluster=? AND id>?)", lambda unit: unit.workloads(C1)),
    ("workloads", "INDEX ix_workloads_target (target_id=?)", lambda unit: unit.workloads_of([TargetId(1)])),
    ("rollouts", "INDEX ix_rollouts_open", lambda unit: unit.open_rollouts(C1)),
    ("rollouts", "INDEX ix_rollouts_untraced", lambda unit: unit.untraced_rollouts(9)),
    ("rollouts", "PRIMARY KEY (sync_id=?)", lambda unit: unit.rollouts_of([SyncId(1)])),
    ("handovers", "INDEX ix_handovers_unhanded", lambda unit: unit.unhanded(9)),
    ("handovers", "INDEX ix_handovers_release (release_id=?", lambda unit: unit.handovers_of([TargetId(1)])),
    ("syncs", "INDEX ix_syncs_target_id_id (target_id=?)", lambda unit: unit.recent_syncs(TargetId(1), limit=9)),
    ("deliveries", "INDEX ix_deliveries_applied_sync", lambda unit: unit.applied_deliveries([SyncId(1)])),
    ("images", "INDEX ix_images_due", lambda unit: unit.images_due(NOON, 9)),
    ("image_runs", "INDEX ix_image_runs_live (cluster=? AND id>?", lambda unit: unit.image_runs(C1)),
    ("image_runs", "INDEX ix_image_runs_place", lambda unit: unit.image_runs_at(C1, "n", "k", "w", 9)),
    ("workloads", "INDEX ix_workloads_deleted", lambda unit: unit.prune(NOON)),
    ("image_runs", "INDEX ix_image_runs_ended", lambda unit: unit.prune(NOON)),
    ("images", "INDEX ix_images_noted_at_digest", lambda unit: unit.prune(NOON)),
]


async def _fill(ledger: SqlLedger) -> None:
    """Put one row of each kind, so that no question ends before its time."""
    async with ledger.unit() as unit:
        target, sync = await _delivered(unit)
        kept = await unit.put_workloads([workload(target)])
        await unit.put_rollouts([rollout(sync, kept[0])])
        await unit.put_images([image()])
        await unit.put_image_runs([run()])


def _plans(ledger: SqlLedger, asked: list[tuple[str, Any]], table: str) -> str:
    steps = []
    with closing(sqlite3.connect(ledger.path)) as plain:
        for statement, parameters in asked:
            if f"FROM {table}" in statement and statement.startswith("SELECT"):
                found = plain.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
                steps.append(" | ".join(step[3] for step in found))
    return "\n".join(steps).replace("sqlite_autoindex_images_1", "pk_images")


@ON_SQLITE
@pytest.mark.parametrize(("table", "way", "ask"), _READ, ids=[f"{entry[0]}-{n}" for n, entry in enumerate(_READ)])
async def test_answer_takes_its_index(
    ledger: SqlLedger, table: str, way: str, ask: Callable[[SqlLedger], Awaitable[object]]
) -> None:
    await _fill(ledger)
    asked: list[tuple[str, Any]] = []
    assert isinstance(ledger._engine, SqliteEngine)

    @event.listens_for(ledger._engine._readers.sync_engine, "before_cursor_execute")
    def note(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: bool) -> None:
        asked.append((statement, parameters))

    await ask(ledger)
    assert way in _plans(ledger, asked, table)


@ON_SQLITE
@pytest.mark.parametrize(("table", "way", "ask"), _UNIT, ids=[f"{entry[0]}-{n}" for n, entry in enumerate(_UNIT)])
async def test_unit_takes_its_index(
    ledger: SqlLedger, table: str, way: str, ask: Callable[[SqlUnit], Awaitable[object]]
) -> None:
    await _fill(ledger)
    asked: list[tuple[str, Any]] = []
    assert isinstance(ledger._engine, SqliteEngine)
    async with ledger.unit() as unit:

        @event.listens_for(ledger._engine._writer.sync_engine, "before_cursor_execute")
        def note(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: bool) -> None:
            asked.append((statement, parameters))

        await ask(unit)
    assert way in _plans(ledger, asked, table)


async def test_workload_of_an_unknown_id_is_not_there(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        assert await unit.workloads_by_id([WorkloadId(1)]) == {}
