"""A unit's syncs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import insert, select, text, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.errors import StoreError
from fluxtrail.model.records import UNSAVED, Attribution, SyncId, SyncRecord

_SYNCS = schema.syncs


class SyncPart(UnitPart):
    async def put_sync(self, record: SyncRecord) -> SyncRecord:
        """Insert (id 0) or update by id; returns it with its id."""
        values = rows.values_of(record)
        del values["id"]
        values["started_at"] = record.started.at
        if record.id == UNSAVED:
            return msgspec.structs.replace(record, id=SyncId(await self._session.insert(insert(_SYNCS), values)))
        if not await self._session.run(update(_SYNCS).where(_SYNCS.c.id == record.id).values(values)):
            raise StoreError(f"there is no sync {record.id} to update; it was pruned or never kept")
        return record

    async def syncs(self, ids: Sequence[SyncId]) -> dict[SyncId, SyncRecord]:
        found: dict[SyncId, SyncRecord] = {}
        for chunk in chunks(list(dict.fromkeys(ids))):
            wanted = select(_SYNCS).where(_SYNCS.c.id.in_(chunk))
            found.update((SyncId(row.id), rows.sync_of(row)) for row in await self._session.all(wanted))
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
