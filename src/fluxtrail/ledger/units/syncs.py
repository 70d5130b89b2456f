"""A unit's syncs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, bindparam, func, insert, literal_column, select, text, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.errors import StoreError
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import UNSAVED, Attribution, SyncId, SyncRecord, TargetId

_SYNCS, _TARGETS = schema.syncs, schema.targets
_LATCHED = ("running", "running_state")
"""Written by `note_running` alone: who writes a sync may have read it before that."""
_INSERT = insert(_SYNCS)
_UPDATED = [column.name for column in _SYNCS.columns if not column.primary_key and column.name not in _LATCHED]
_UPDATE = update(_SYNCS).where(_SYNCS.c.id == bindparam("id_")).values({name: bindparam(name) for name in _UPDATED})
_BY_ID = select(_SYNCS).where(_SYNCS.c.id.in_(bindparam("ids", expanding=True))).order_by(_SYNCS.c.id)
# Without the `+` SQLite goes through all syncs of all targets: it cannot know how few are open.
_LIVE = (
    select(_SYNCS)
    .select_from(_SYNCS)
    .join(_TARGETS, _TARGETS.c.id == literal_column("+syncs.target_id"))
    .where(_TARGETS.c.cluster == bindparam("cluster_"), _TARGETS.c.deleted_at.is_(None))
    .order_by(_SYNCS.c.id)
)
_IS_UNREAD: ColumnElement[bool] = literal_column("syncs.running_state = 'unread' AND syncs.applied IS NOT NULL")
_IS_WAITING: ColumnElement[bool] = literal_column("syncs.running_state = 'waiting'")
"""Word for word as the partial indexes say it, or SQLite does not take them."""
_FROM = (
    select(_SYNCS)
    .where(_SYNCS.c.target_id == bindparam("target"), _SYNCS.c.generation >= bindparam("generation_"))
    .order_by(_SYNCS.c.id)
)
_RECENT = (
    select(_SYNCS)
    .where(_SYNCS.c.target_id == bindparam("target"))
    .order_by(_SYNCS.c.id.desc())
    .limit(bindparam("limit_"))
)
_UNREAD = _LIVE.where(_IS_UNREAD).limit(bindparam("limit_"))
_WAITING = _LIVE.where(_IS_WAITING)


class SyncPart(UnitPart):
    async def put_sync(self, record: SyncRecord) -> SyncRecord:
        """Insert (id 0) or update by id; returns it with its id.

        An update leaves `running` and `running_state` as they are, whatever the record says: see `note_running`.
        """
        if record.id == UNSAVED:
            values = _values_of(record)
            del values["id"]
            return msgspec.structs.replace(record, id=SyncId(await self._session.insert(_INSERT, values)))
        await self.put_syncs([record])
        return record

    async def put_syncs(self, records: Sequence[SyncRecord]) -> None:
        """Update many by id, as `put_sync`.

        Raises:
            StoreError: one of them is not in the ledger.
        """
        stated = []
        for record in records:
            values = _values_of(record)
            stated.append({name: values[name] for name in _UPDATED} | {"id_": record.id})
        if await self._session.run(_UPDATE, stated) != len(stated):
            known = await self.syncs([record.id for record in records])
            missing = next(record.id for record in records if record.id not in known)
            raise StoreError(f"there is no sync {missing} to update; it was pruned or never kept")

    async def syncs(self, ids: Sequence[SyncId]) -> dict[SyncId, SyncRecord]:
        found: dict[SyncId, SyncRecord] = {}
        for chunk in chunks(list(dict.fromkeys(ids))):
            for row in await self._session.all(_BY_ID, {"ids": chunk}):
                found[SyncId(row.id)] = rows.sync_of(row)
        return found

    async def unattributed_syncs(self, *, limit: int) -> list[SyncRecord]:
        """Return syncs whose present version attribution has not dealt with, oldest first, gaps left out."""
        wanted = (
            select(_SYNCS)
            .where(text("attributed_version < version"), _SYNCS.c.attribution != Attribution.GAP)
            .order_by(_SYNCS.c.id)
            .limit(limit)
        )
        return [rows.sync_of(row) for row in await self._session.all(wanted)]

    async def syncs_from(self, target_id: TargetId, *, generation: int) -> list[SyncRecord]:
        """Return a target's syncs of this or a later generation of its spec, oldest first."""
        found = await self._session.all(_FROM, {"target": target_id, "generation_": generation})
        return [rows.sync_of(row) for row in found]

    async def recent_syncs(self, target_id: TargetId, *, limit: int) -> list[SyncRecord]:
        """Return a target's newest syncs, oldest first."""
        found = await self._session.all(_RECENT, {"target": target_id, "limit_": limit})
        return [rows.sync_of(row) for row in reversed(found)]

    async def recent_syncs_of(self, targets: Sequence[TargetId], *, limit: int) -> dict[TargetId, list[SyncRecord]]:
        """Return the newest syncs of each of these targets, oldest first."""
        earlier = _SYNCS.alias("earlier")
        first = (
            select(earlier.c.id)
            .where(earlier.c.target_id == _TARGETS.c.id)
            .order_by(earlier.c.id.desc())
            .offset(limit - 1)
            .limit(1)
            .correlate(_TARGETS)
            .scalar_subquery()
        )
        found: dict[TargetId, list[SyncRecord]] = {}
        for chunk in chunks(list(dict.fromkeys(targets))):
            wanted = (
                select(_SYNCS)
                .select_from(_TARGETS)
                .join(_SYNCS, _SYNCS.c.target_id == _TARGETS.c.id)
                .where(_TARGETS.c.id.in_(chunk), _SYNCS.c.id >= func.coalesce(first, 0))
                .order_by(_SYNCS.c.target_id, _SYNCS.c.id)
            )
            for row in await self._session.all(wanted):
                found.setdefault(TargetId(row.target_id), []).append(rows.sync_of(row))
        return found

    async def unread_syncs(self, cluster: ClusterUid, *, limit: int) -> list[SyncRecord]:
        """Return applied syncs of a cluster's live targets whose workloads are to be read again, oldest first."""
        return [rows.sync_of(row) for row in await self._session.all(_UNREAD, {"cluster_": cluster, "limit_": limit})]

    async def waiting_syncs(self, cluster: ClusterUid) -> list[SyncRecord]:
        """Return syncs of a cluster's live targets that wait for a workload, oldest first."""
        return [rows.sync_of(row) for row in await self._session.all(_WAITING, {"cluster_": cluster})]


def _values_of(record: SyncRecord) -> rows.Values:
    return rows.values_of(record) | {"started_at": record.started.at}
