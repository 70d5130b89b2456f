"""A unit's commits, their aliases and exports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, insert, select, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.records import AliasKind, CommitId, CommitRecord, ExportRecord, RepositoryId

FIRST = 8
"""Commits that are looked at of those whose shas begin alike."""
_Key = tuple[RepositoryId, str]
_C, _A, _E = schema.commits, schema.aliases, schema.exports


class CommitPart(UnitPart):
    async def put_commits(self, records: Sequence[CommitRecord]) -> list[CommitRecord]:
        """Insert or update by (repository, sha); returns what is known now, in the same order.

        Nothing known is replaced by None or "", a final `merged` stays, a carrier stays one (see `clear_carriers`).
        """
        held = await self._held(records)
        known: dict[_Key, CommitRecord] = dict(held)
        for record in records:
            key = record.repository_id, record.sha
            known[key] = rows.merge_commits(known[key], record) if key in known else record
        await self._insert_commits([record for key, record in known.items() if key not in held])
        await self._update_commits([known[key] for key, record in held.items() if known[key] != record])
        fresh = await self._held([record for key, record in known.items() if key not in held])
        known.update(fresh)
        return [known[record.repository_id, record.sha] for record in records]

    async def commits_by_sha(self, repository_id: RepositoryId, shas: Sequence[str]) -> dict[str, CommitRecord]:
        table = schema.commits
        found: dict[str, CommitRecord] = {}
        for chunk in chunks(list(dict.fromkeys(shas))):
            wanted = select(table).where(table.c.repository_id == repository_id, table.c.sha.in_(chunk))
            found.update((row.sha, rows.commit_of(row)) for row in await self._session.all(wanted))
        return found

    async def commits_by_id(self, ids: Sequence[CommitId]) -> dict[CommitId, CommitRecord]:
        table = schema.commits
        found: dict[CommitId, CommitRecord] = {}
        for chunk in chunks(list(dict.fromkeys(ids))):
            wanted = select(table).where(table.c.id.in_(chunk))
            found.update((CommitId(row.id), rows.commit_of(row)) for row in await self._session.all(wanted))
        return found

    async def put_aliases(
        self, repository_id: RepositoryId, commit_id: CommitId, kind: AliasKind, shas: Sequence[str]
    ) -> None:
        """Let `shas` lead to the commit; what leads there already keeps its kind."""
        stated = [
            {"repository_id": repository_id, "commit_id": commit_id, "kind": kind, "sha": sha}
            for sha in dict.fromkeys(shas)
        ]
        await self._session.run(self._session.dialect.upsert(schema.aliases).on_conflict_do_nothing(), stated)

    async def commits_beginning(self, repositories: Sequence[str], beginning: str) -> list[tuple[str, CommitRecord]]:
        """Return the first commits of these (canonical) repositories whose sha, or an alias's, begins so; by that sha.

        Args:
            beginning: hex digits in lower case.
        """
        canonical = schema.repositories.c.canonical
        found: list[tuple[str, CommitRecord]] = []
        for chunk in chunks(list(dict.fromkeys(repositories))):
            of_them = select(_C).join(schema.repositories, schema.repositories.c.id == _C.c.repository_id)
            of_them = of_them.where(canonical.in_(chunk))
            own = of_them.add_columns(_C.c.sha.label("named")).where(*_begins(_C.c.sha, beginning))
            others = of_them.join(_A, _A.c.commit_id == _C.c.id).add_columns(_A.c.sha.label("named"))
            for wanted in (own, others.where(*_begins(_A.c.sha, beginning))):
                told = await self._session.all(wanted.order_by(_C.c.id).limit(FIRST))
                found += [(row.named, rows.commit_of(row)) for row in told]
        return found

    async def commits_named(self, repositories: Sequence[str], shas: Sequence[str]) -> list[tuple[str, CommitRecord]]:
        """Return the commits of these (canonical) repositories that these whole shas are, or are aliases of; each
        behind that sha.
        """
        canonical = schema.repositories.c.canonical
        homes = select(schema.repositories.c.id).where(canonical.in_(list(dict.fromkeys(repositories))))
        ids = [row.id for row in await self._session.all(homes)]
        found: list[tuple[str, CommitRecord]] = []
        for chunk in chunks(list(dict.fromkeys(shas))) if ids else ():
            own = select(_C, _C.c.sha.label("named")).where(_C.c.repository_id.in_(ids), _C.c.sha.in_(chunk))
            others = select(_C, _A.c.sha.label("named")).join(_A, _A.c.commit_id == _C.c.id)
            others = others.where(_A.c.repository_id.in_(ids), _A.c.sha.in_(chunk))
            for wanted in (own, others):
                told = await self._session.all(wanted.order_by(_C.c.id))
                found += [(row.named, rows.commit_of(row)) for row in told]
        return found

    async def clear_carriers(self, commits: Sequence[CommitId]) -> None:
        """Let these be commits like others; those of which figures were made stay what they are."""
        for chunk in chunks(list(dict.fromkeys(commits))):
            chosen = update(_C).where(_C.c.id.in_(chunk), _C.c.merged_is_final.is_(False))
            await self._session.run(chosen.values(is_carrier=False))

    async def drop_exports(self, links: Sequence[ExportRecord]) -> None:
        """Forget that these carriers were made from these source commits."""
        same = (_E.c.carrier_id == bindparam("carrier_"), _E.c.source_id == bindparam("source_"))
        stated = [{"carrier_": link.carrier_id, "source_": link.source_id} for link in links]
        await self._session.run(delete(_E).where(*same), stated)

    async def put_exports(self, records: Sequence[ExportRecord]) -> None:
        statement = self._session.dialect.upsert(schema.exports)
        statement = statement.on_conflict_do_update(
            index_elements=["carrier_id", "source_id"],
            set_={name: statement.excluded[name] for name in ("stated_at", "build_link", "evidence")},
        )
        await self._session.run(statement, [rows.values_of(record) for record in records])

    async def exports_of(self, carriers: Sequence[CommitId]) -> list[ExportRecord]:
        table = schema.exports
        found: list[ExportRecord] = []
        for chunk in chunks(list(dict.fromkeys(carriers))):
            wanted = select(table).where(table.c.carrier_id.in_(chunk))
            wanted = wanted.order_by(table.c.carrier_id, table.c.source_id)
            found.extend(rows.export_of(row) for row in await self._session.all(wanted))
        return found

    async def exports_from(self, sources: Sequence[CommitId]) -> list[ExportRecord]:
        """Return what was made from these source commits."""
        found: list[ExportRecord] = []
        for chunk in chunks(list(dict.fromkeys(sources))):
            wanted = select(_E).where(_E.c.source_id.in_(chunk)).order_by(_E.c.source_id, _E.c.carrier_id)
            found.extend(rows.export_of(row) for row in await self._session.all(wanted))
        return found

    async def _held(self, records: Sequence[CommitRecord]) -> dict[_Key, CommitRecord]:
        by_repository: dict[RepositoryId, list[str]] = {}
        for record in records:
            by_repository.setdefault(record.repository_id, []).append(record.sha)
        held: dict[_Key, CommitRecord] = {}
        for repository_id, shas in by_repository.items():
            found = await self.commits_by_sha(repository_id, shas)
            held.update(((repository_id, sha), record) for sha, record in found.items())
        return held

    async def _insert_commits(self, records: Sequence[CommitRecord]) -> None:
        now = self._now()
        stated = []
        for record in records:
            values = rows.values_of(record)
            del values["id"]
            stated.append(values | {"at": _ordering_time(record) or now})
        await self._session.run(insert(schema.commits), stated)

    async def _update_commits(self, records: Sequence[CommitRecord]) -> None:
        table = schema.commits
        names = [name for name in CommitRecord.__struct_fields__ if name not in ("id", "repository_id", "sha")]
        for has_time in (True, False):
            group = [record for record in records if (_ordering_time(record) is not None) is has_time]
            stated = [
                {"id_": record.id, **{f"{name}_": getattr(record, name) for name in names}}
                | ({"at_": _ordering_time(record)} if has_time else {})
                for record in group
            ]
            columns: dict[str, Any] = {name: bindparam(f"{name}_") for name in [*names, *(["at"] if has_time else [])]}
            await self._session.run(update(table).where(table.c.id == bindparam("id_")).values(columns), stated)


def _ordering_time(record: CommitRecord) -> datetime | None:
    return record.merged.at if record.merged else record.committed_at


def _begins(column: ColumnElement[str], beginning: str) -> tuple[ColumnElement[bool], ...]:
    """`g` follows the last hex digit: a range that every engine's index serves."""
    return (column >= beginning, column < beginning + "g")
