"""A unit's syncs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import bindparam, insert, select, text, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.errors import StoreError
from fluxtrail.model.records import UNSAVED, Attribution, SyncId, SyncRecord

_SYNCS = schema.syncs
_INSERT = insert(_SYNCS)
_UPDATE = (
    update(_SYNCS)
    .where(_SYNCS.c.id == bindparam("id_"))
    .values({column.name: bindparam(column.name) for column in _SYNCS.columns if not column.primary_key})
)
_BY_ID = select(_SYNCS).where(_SYNCS.c.id.in_(bindparam("ids", expanding=True))).order_by(_SYNCS.c.id)


class SyncPart(UnitPart):
    async def put_sync(self, record: SyncRecord) -> SyncRecord:
        """Insert (id 0) or update by id; returns it with its id."""
        if record.id == UNSAVED:
            values = _values_of(record)
            del values["id"]
            return msgspec.structs.replace(record, id=SyncId(await self._session.insert(_INSERT, values)))
        await self.put_syncs([record])
        return record

    async def put_syncs(self, records: Sequence[SyncRecord]) -> None:
        """Update many by id.

        Raises:
            StoreError: one of them is not in the ledger.
        """
        stated = []
        for record in records:
            values = _values_of(record)
            stated.append(values | {"id_": values.pop("id")})
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


def _values_of(record: SyncRecord) -> rows.Values:
    return rows.values_of(record) | {"started_at": record.started.at}
