"""Targets and sources as a whole, decoded once for each version of a row.

Every answer needs them all (a target's state tells what a commit waits for), and they are wide: 1,000 targets
cost 40 ms to decode and 1 ms to compare stamps with. Each write gives a row a new stamp, so a copy is
right exactly as long as its stamp is, whoever wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from sqlalchemy import Row, Table, select

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.records import SourceId, SourceRecord, TargetId, TargetRecord

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

Stamps = Mapping[Any, int]
"""By the row's id."""


class _Copies(Generic[I, R]):
    def __init__(self, table: Table, decode: Callable[[Row[Any]], R]) -> None:
        self._table = table
        self._decode = decode
        self._held: dict[I, tuple[int, R]] = {}

    async def stamps(self, session: Session) -> Stamps:
        table = self._table
        return {row.id: row.stamp for row in await session.all(select(table.c.id, table.c.stamp).order_by(table.c.id))}

    async def all(self, session: Session, stamps: Stamps) -> dict[I, R]:
        """Return every row that has a stamp as the session's snapshot has it, by id."""
        table, held = self._table, self._held
        fresh = {id_: held[id_] for id_, stamp in stamps.items() if id_ in held and held[id_][0] == stamp}
        missing = [id_ for id_ in stamps if id_ not in fresh]
        for chunk in chunks(missing):
            for row in await session.all(select(table).where(table.c.id.in_(chunk))):
                fresh[row.id] = row.stamp, self._decode(row)
        self._held = fresh
        return {id_: fresh[id_][1] for id_ in stamps}


class Catalog:
    """Copies of what is wide and few. Safe to share: answers that overlap may both decode, never mix."""

    def __init__(self) -> None:
        self._targets: _Copies[TargetId, TargetRecord] = _Copies(schema.targets, rows.target_of)
        self._sources: _Copies[SourceId, SourceRecord] = _Copies(schema.sources, rows.source_of)

    async def targets(self, session: Session, stamps: Stamps | None = None) -> Mapping[TargetId, TargetRecord]:
        """Return all targets by id, deleted ones too.

        Args:
            stamps: of this snapshot, in the order of ids; read where none are given.
        """
        return await self._targets.all(session, await self._targets.stamps(session) if stamps is None else stamps)

    async def sources(self, session: Session, stamps: Stamps | None = None) -> Mapping[SourceId, SourceRecord]:
        """Return all sources by id, deleted ones too; see `targets`."""
        return await self._sources.all(session, await self._sources.stamps(session) if stamps is None else stamps)
