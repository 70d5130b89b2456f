"""A unit's sources, what they fetched, and targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import Table, bindparam, insert, select, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.errors import StoreError
from fluxtrail.model.moment import Moment
from fluxtrail.model.records import UNSAVED, FetchRecord, SourceId, SourceRecord, TargetRecord

R = TypeVar("R", SourceRecord, TargetRecord)

_TABLES = (schema.sources, schema.targets)
_INSERTS = {table.name: insert(table) for table in _TABLES}
_UPDATES = {
    table.name: update(table)
    .where(table.c.id == bindparam("id_"))
    .values({column.name: bindparam(column.name) for column in table.columns if not column.primary_key})
    for table in _TABLES
}
"""Made once: to build a statement of thirty columns takes longer than to run it."""


class ObjectPart(UnitPart):
    async def put_source(self, record: SourceRecord) -> SourceRecord:
        """Insert or update by id, or, where that is not known, by (cluster, key, uid); returns it with its id."""
        return await self._put(schema.sources, record)

    async def sources(self) -> list[SourceRecord]:
        return list((await self._catalog.sources(self._session)).values())

    async def put_target(self, record: TargetRecord) -> TargetRecord:
        """As `put_source`."""
        return await self._put(schema.targets, record)

    async def targets(self) -> list[TargetRecord]:
        return list((await self._catalog.targets(self._session)).values())

    async def note_fetch(self, record: FetchRecord) -> FetchRecord:
        """Keep the earliest moment ever seen for (source, revision, digest); returns what is kept."""
        table, fetched = schema.fetches, record.fetched
        held = await self._session.first(
            select(table).where(
                table.c.source_id == record.source_id,
                table.c.revision == record.revision,
                table.c.digest == record.digest,
            )
        )
        if held is not None and held.fetched.at <= fetched.at:
            return rows.fetch_of(held)
        statement = self._session.dialect.upsert(table).values(rows.values_of(record) | {"at": fetched.at})
        await self._session.run(
            statement.on_conflict_do_update(
                index_elements=["source_id", "revision", "digest"], set_={"fetched": fetched, "at": fetched.at}
            )
        )
        return record if held is None else msgspec.structs.replace(rows.fetch_of(held), fetched=fetched)

    async def fetches(self, sources: Sequence[SourceId], *, revision: str | None = None) -> list[FetchRecord]:
        """Return what these sources ever fetched, earliest first; only one revision's where it is given."""
        table = schema.fetches
        found: list[FetchRecord] = []
        for chunk in chunks(list(sources)):
            wanted = select(table).where(table.c.source_id.in_(chunk))
            if revision is not None:
                wanted = wanted.where(table.c.revision == revision)
            found += [rows.fetch_of(row) for row in await self._session.all(wanted)]
        return sorted(found, key=lambda item: (item.fetched.at, item.source_id))

    async def find_fetch(self, source_id: SourceId, revision: str) -> Moment | None:
        table = schema.fetches
        wanted = select(table.c.fetched).where(table.c.source_id == source_id, table.c.revision == revision)
        found: Moment | None = await self._session.scalar(wanted.order_by(table.c.at).limit(1))
        return found

    async def _put(self, table: Table, record: R) -> R:
        known = record.id or await self._find(table, record)
        values = rows.object_values(record)
        del values["id"]
        if not known:
            return msgspec.structs.replace(record, id=await self._session.insert(_INSERTS[table.name], values))
        if not await self._session.run(_UPDATES[table.name], values | {"id_": known}):
            raise StoreError(f"there is no row {known} in {table.name} to update; it was pruned or never kept")
        return record if record.id != UNSAVED else msgspec.structs.replace(record, id=known)

    async def _find(self, table: Table, record: SourceRecord | TargetRecord) -> int:
        key = record.key
        found = await self._session.scalar(
            select(table.c.id).where(
                table.c.cluster == record.cluster,
                table.c.namespace == key.namespace,
                table.c.name == key.name,
                table.c.kind == key.kind,
                table.c.api_group == key.group,
                table.c.uid == record.uid,
            )
        )
        return found or UNSAVED
