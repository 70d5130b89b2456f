"""A unit's last stage: workloads as last judged, what syncs changed of them, and when all of that ran."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec
from sqlalchemy import bindparam, func, insert, literal_column, select, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.dialect import Dialect, Upsert
from fluxtrail.ledger.running_rows import (
    ROLLOUT_COLUMNS,
    WORKLOAD_COLUMNS,
    rollout_of,
    workload_of,
    workload_values,
)
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.errors import StoreError
from fluxtrail.model.moment import Moment
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.records import UNSAVED, DeliveryRecord, SyncId, TargetId
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.running_records import RolloutRecord, WorkloadId, WorkloadRecord

_W, _R, _S, _D = schema.workloads, schema.rollouts, schema.syncs, schema.deliveries

_Object = tuple[ClusterUid, ObjectUid, ObjectKey]

_INSERT = insert(_W)
_UPDATED = [column.name for column in _W.columns if not column.primary_key]
_UPDATE = update(_W).where(_W.c.id == bindparam("id_")).values({name: bindparam(name) for name in _UPDATED})
_FOUND = select(_W.c.id, _W.c.uid, _W.c.api_group, _W.c.kind, _W.c.namespace, _W.c.name).where(
    _W.c.cluster == bindparam("cluster_"), _W.c.uid.in_(bindparam("uids", expanding=True))
)
_BY_ID = select(*WORKLOAD_COLUMNS).where(_W.c.id.in_(bindparam("ids", expanding=True)))
_LIVE = (
    select(*WORKLOAD_COLUMNS)
    .where(_W.c.cluster == bindparam("cluster_"), literal_column(schema.ALIVE))
    .where(_W.c.id > bindparam("after"))
    .order_by(_W.c.id)
    .limit(bindparam("limit_"))
)
_OF_TARGETS = select(*WORKLOAD_COLUMNS).where(
    _W.c.target_id.in_(bindparam("ids", expanding=True)), _W.c.deleted_at.is_(None)
)
_OPEN = (
    select(*ROLLOUT_COLUMNS)
    .join(_W, _W.c.id == _R.c.workload_id)
    .where(_W.c.cluster == bindparam("cluster_"), literal_column(schema.OPEN_ROLLOUT))
)
_OF_SYNCS = select(*ROLLOUT_COLUMNS).where(_R.c.sync_id.in_(bindparam("ids", expanding=True)))
_UNTRACED = (
    select(*ROLLOUT_COLUMNS)
    .where(literal_column(schema.UNTRACED))
    .order_by(_R.c.sync_id, _R.c.workload_id)
    .limit(bindparam("limit_"))
)
_TRACE = update(_R).where(_R.c.sync_id == bindparam("sync"), _R.c.workload_id == bindparam("workload"))
_TRACE = _TRACE.values(is_traced=True)
_NOT_REACHED = select(_S.c.id).where(
    _S.c.id.in_(bindparam("ids", expanding=True)), _S.c.running_state != RunningState.REACHED
)
_NOTE = (
    update(_S)
    .where(_S.c.id == bindparam("id_"))
    .values(running=bindparam("running"), running_state=bindparam("running_state"))
)
_APPLIED_WITH = (
    select(_D)
    .where(_D.c.applied_sync.in_(bindparam("ids", expanding=True)), _D.c.applied_sync.is_not(None))
    .order_by(_D.c.applied_sync, _D.c.target_id, _D.c.commit_id)
)
_BROUGHT_ANEW = (
    select(_D)
    .join(_S, _S.c.id == _D.c.applied_sync)
    .where(_D.c.healthy_sync.in_(bindparam("ids", expanding=True)), literal_column(schema.HEALED_LATER))
    .where(_S.c.is_remediated, _S.c.running.is_(None))
    .order_by(_D.c.healthy_sync, _D.c.target_id, _D.c.commit_id)
)
"""What another sync had applied, and was taken back: see `queries/last_stage.py`."""
_BATCH = 2000


class RunningPart(UnitPart):
    async def put_workloads(self, records: Sequence[WorkloadRecord]) -> list[WorkloadRecord]:
        """Insert or update by id, or, where that is 0, by (cluster, key, uid); returns them with ids, in this order.

        Raises:
            StoreError: one with an id is not in the ledger.
        """
        known = await self._known_workloads([record for record in records if record.id == UNSAVED])
        unsaved = dict.fromkeys(_object_of(record) for record in records if record.id == UNSAVED)
        fresh = [object_ for object_ in unsaved if object_ not in known]
        ids = await self._session.dialect.reserve_ids(self._session, _W, len(fresh)) if fresh else []
        known.update((object_, WorkloadId(id_)) for id_, object_ in zip(ids, fresh, strict=True))
        made = set(ids)
        kept = [
            msgspec.structs.replace(record, id=record.id if record.id != UNSAVED else known[_object_of(record)])
            for record in records
        ]
        newest = {record.id: workload_values(record) for record in kept}
        await self._session.run(_INSERT, [values for id_, values in sorted(newest.items()) if id_ in made])
        await self._update_workloads({id_: values for id_, values in newest.items() if id_ not in made})
        return kept

    async def workloads(self, cluster: ClusterUid) -> list[WorkloadRecord]:
        """Return those of a cluster that are not deleted, by id; read in batches."""
        found: list[WorkloadRecord] = []
        after = 0
        while True:
            batch = await self._session.all(_LIVE, {"cluster_": cluster, "after": after, "limit_": _BATCH})
            found += map(workload_of, batch)
            if len(batch) < _BATCH:
                return found
            after = found[-1].id

    async def workloads_by_id(self, ids: Sequence[WorkloadId]) -> dict[WorkloadId, WorkloadRecord]:
        found: dict[WorkloadId, WorkloadRecord] = {}
        for chunk in chunks(list(dict.fromkeys(ids))):
            batch = map(workload_of, await self._session.all(_BY_ID, {"ids": chunk}))
            found.update((record.id, record) for record in batch)
        return found

    async def workloads_of(self, targets: Sequence[TargetId]) -> list[WorkloadRecord]:
        """Return what is in the inventories of these targets and not deleted, by id."""
        found: list[WorkloadRecord] = []
        for chunk in chunks(list(dict.fromkeys(targets))):
            found += map(workload_of, await self._session.all(_OF_TARGETS, {"ids": chunk}))
        return sorted(found, key=lambda record: record.id)

    async def put_rollouts(self, records: Sequence[RolloutRecord]) -> None:
        """Insert or update by (sync, workload).

        When one ran is kept once it is known, whatever the record says; `is_traced` is written by `note_traced` alone.
        """
        stated = {(record.sync_id, record.workload_id): rows.values_of(record) for record in records}
        await self._session.run(_put_rollout(self._session.dialect), [stated[key] for key in sorted(stated)])

    async def open_rollouts(self, cluster: ClusterUid) -> list[RolloutRecord]:
        """Return those of a cluster's workloads that have neither run nor been dropped, by sync and workload."""
        found = map(rollout_of, await self._session.all(_OPEN, {"cluster_": cluster}))
        return sorted(found, key=lambda record: (record.sync_id, record.workload_id))

    async def rollouts_of(self, sync_ids: Sequence[SyncId]) -> list[RolloutRecord]:
        """Return what these syncs changed, by sync and workload."""
        found: list[RolloutRecord] = []
        for chunk in chunks(list(dict.fromkeys(sync_ids))):
            found += map(rollout_of, await self._session.all(_OF_SYNCS, {"ids": chunk}))
        return sorted(found, key=lambda record: (record.sync_id, record.workload_id))

    async def untraced_rollouts(self, limit: int) -> list[RolloutRecord]:
        """Return those whose images are not traced, by sync and workload."""
        return [rollout_of(row) for row in await self._session.all(_UNTRACED, {"limit_": limit})]

    async def note_traced(self, keys: Sequence[tuple[SyncId, WorkloadId]]) -> None:
        stated = [{"sync": sync_id, "workload": workload_id} for sync_id, workload_id in sorted(set(keys))]
        await self._session.run(_TRACE, stated)

    async def applied_deliveries(self, syncs: Sequence[SyncId]) -> list[DeliveryRecord]:
        """Return the deliveries whose commits these syncs first applied, by sync, target and commit."""
        return [
            rows.delivery_of(row)
            for chunk in chunks(sorted(set(syncs)))
            for row in await self._session.all(_APPLIED_WITH, {"ids": chunk})
        ]

    async def note_running(self, changes: Sequence[tuple[SyncId, RunningState, Moment | None]]) -> list[DeliveryRecord]:
        """Keep how the last stage of syncs stands, except where it was reached before: that is never withdrawn.

        The figures look again at what these syncs applied, where it runs now. Of a sync given twice the last counts.

        Args:
            changes: with the moment where it is REACHED; else it is not kept.

        Returns:
            The deliveries that a sync applied which has reached it now, by sync, target and commit; behind them those
            that it brought anew, after what had applied them first was taken back.

        Raises:
            StoreError: one is REACHED without a moment.
        """
        wanted = {sync_id: (state, moment) for sync_id, state, moment in changes}
        undated = next((id_ for id_, change in wanted.items() if change == (RunningState.REACHED, None)), None)
        if undated is not None:
            raise StoreError(f"sync {undated} is said to run and not since when; give the moment")
        open_ids: list[SyncId] = []
        for chunk in chunks(sorted(wanted)):
            open_ids += [SyncId(row.id) for row in await self._session.all(_NOT_REACHED, {"ids": chunk})]
        stated = [(id_, *wanted[id_]) for id_ in sorted(open_ids)]
        await self._session.run(
            _NOTE,
            [
                {"id_": id_, "running_state": state, "running": moment if state is RunningState.REACHED else None}
                for id_, state, moment in stated
            ],
        )
        reached = [id_ for id_, state, _ in stated if state is RunningState.REACHED]
        deliveries = await self.applied_deliveries(reached)
        for chunk in chunks(reached):
            deliveries += [rows.delivery_of(row) for row in await self._session.all(_BROUGHT_ANEW, {"ids": chunk})]
        await self._touch((record.commit_id, record.target_id) for record in deliveries)
        return deliveries

    async def _known_workloads(self, records: Sequence[WorkloadRecord]) -> dict[_Object, WorkloadId]:
        uids: dict[ClusterUid, dict[ObjectUid, None]] = {}
        for record in records:
            uids.setdefault(record.cluster, {})[record.uid] = None
        known: dict[_Object, WorkloadId] = {}
        for cluster, wanted in uids.items():
            for chunk in chunks(list(wanted)):
                for row in await self._session.all(_FOUND, {"cluster_": cluster, "uids": chunk}):
                    key = ObjectKey(row.api_group, row.kind, row.namespace, row.name)
                    known[cluster, ObjectUid(row.uid), key] = WorkloadId(row.id)
        return known

    async def _update_workloads(self, wanted: dict[WorkloadId, rows.Values]) -> None:
        stated = [{name: values[name] for name in _UPDATED} | {"id_": id_} for id_, values in sorted(wanted.items())]
        if await self._session.run(_UPDATE, stated) != len(stated):
            held = await self.workloads_by_id(list(wanted))
            missing = next(id_ for id_ in wanted if id_ not in held)
            raise StoreError(f"there is no workload {missing} to update; it was pruned or never kept")


def _object_of(record: WorkloadRecord) -> _Object:
    return record.cluster, record.uid, record.key


@cache
def _put_rollout(dialect: Dialect) -> Upsert:
    statement = dialect.upsert(_R)
    new = statement.excluded
    replaced = ("generation", "images_before", "images", "digests_before", "is_dropped")
    return statement.on_conflict_do_update(
        index_elements=["sync_id", "workload_id"],
        set_={name: new[name] for name in replaced} | {"running": func.coalesce(_R.c.running, new.running)},
    )
