"""A unit's repositories and branches."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import delete, insert, select, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.records import BranchRecord, RepositoryId, RepositoryRecord


class RepositoryPart(UnitPart):
    async def put_repository(self, record: RepositoryRecord) -> RepositoryRecord:
        """Insert or update by `canonical`; an empty URL or branch does not replace a known one."""
        table = schema.repositories
        row = await self._session.first(select(table).where(table.c.canonical == record.canonical))
        if row is None:
            values = rows.values_of(record)
            del values["id"]
            given = await self._session.insert(insert(table), values)
            return msgspec.structs.replace(record, id=RepositoryId(given))
        held = rows.repository_of(row)
        merged = msgspec.structs.replace(
            held, url=record.url or held.url, default_branch=record.default_branch or held.default_branch
        )
        if merged != held:
            await self._session.run(update(table).where(table.c.id == held.id).values(rows.values_of(merged)))
        return merged

    async def repositories(self) -> list[RepositoryRecord]:
        found = await self._session.all(select(schema.repositories).order_by(schema.repositories.c.id))
        return [rows.repository_of(row) for row in found]

    async def put_repository_exports(self, source: RepositoryId, manifests: Sequence[RepositoryId]) -> None:
        """State which manifests repositories a source repository is exported to; replaces what was stated."""
        table = schema.repository_exports
        await self._session.run(delete(table).where(table.c.source_repository_id == source))
        stated = [
            {"source_repository_id": source, "manifests_repository_id": repository_id}
            for repository_id in dict.fromkeys(manifests)
        ]
        await self._session.run(insert(table), stated)

    async def exports_to(self, canonical: str) -> list[str]:
        """Return the manifests repositories that the settings say a repository is exported to."""
        table, manifests = schema.repository_exports, schema.repositories.alias("manifests")
        wanted = (
            select(manifests.c.canonical)
            .join(table, table.c.manifests_repository_id == manifests.c.id)
            .join(schema.repositories, schema.repositories.c.id == table.c.source_repository_id)
            .where(schema.repositories.c.canonical == canonical)
            .order_by(manifests.c.canonical)
        )
        return [row.canonical for row in await self._session.all(wanted)]

    async def applied_repositories(self) -> list[str]:
        """Return those that the manifests of live targets come from, by their canonical names."""
        table, targets = schema.repositories.c, schema.targets.c
        live = select(targets.repository_id).where(targets.deleted_at.is_(None))
        found = await self._session.all(select(table.canonical).where(table.id.in_(live)).order_by(table.id))
        return [row.canonical for row in found]

    async def is_exported_to(self, repository_id: RepositoryId) -> bool:
        """Whether the settings say that any repository is exported to this one."""
        table = schema.repository_exports.c
        wanted = select(table.source_repository_id).where(table.manifests_repository_id == repository_id).limit(1)
        return await self._session.first(wanted) is not None

    async def put_branch(self, record: BranchRecord) -> None:
        values = rows.values_of(record)
        statement = self._session.dialect.upsert(schema.branches).values(values)
        await self._session.run(statement.on_conflict_do_update(index_elements=["repository_id", "name"], set_=values))

    async def branches(self) -> list[BranchRecord]:
        found = await self._session.all(
            select(schema.branches).order_by(schema.branches.c.repository_id, schema.branches.c.name)
        )
        return [rows.branch_of(row) for row in found]
