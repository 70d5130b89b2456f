"""Cells of the board where nothing is stored: what follows from where the commit stands, as in a trail.

Of a column's targets on one branch two facts decide: how far the newest baseline reaches, and since when the youngest
of those without a baseline is known. So a cell costs the same however many targets its column has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.situation import Branch, Situation
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.records import CommitId, RepositoryId, TargetRecord
from fluxtrail.model.verdict import PendingReason, Verdict, union
from fluxtrail.model.views import CellView

_C = schema.commits

Carriers = Mapping[CommitId, Sequence[Row[Any]]]


class _Standing(msgspec.Struct, kw_only=True):
    """What the targets of one column that follow one branch say of a commit they have no row of."""

    baseline: int = -1
    """The position of the newest baseline that is known."""
    unbased_since: datetime | None = None
    """When the last target without a baseline was first seen."""


class Gaps:
    """Args:
    members: the targets of each column.
    """

    def __init__(self, session: Session, situation: Situation, members: Sequence[Sequence[TargetRecord]]) -> None:
        self._session = session
        self._situation = situation
        self._members = members
        self._history: dict[Branch, int] = {}

    async def carriers_of(self, commits: Sequence[Row[Any]]) -> dict[CommitId, list[Row[Any]]]:
        """Return the exports that carry source commits, the oldest first."""
        exports = schema.exports
        found: dict[CommitId, list[Row[Any]]] = {}
        for chunk in chunks([row.id for row in commits if not row.is_carrier]):
            wanted = (
                select(_C.c.id, _C.c.at, exports.c.source_id)
                .join(exports, exports.c.carrier_id == _C.c.id)
                .where(self._session.dialect.among(exports.c.source_id, chunk))
                .order_by(_C.c.at, _C.c.id)
            )
            for row in await self._session.all(wanted):
                found.setdefault(row.source_id, []).append(row)
        return found

    async def fill(
        self, commits: Sequence[Row[Any]], carriers: Carriers, *, known: Collection[tuple[CommitId, int]]
    ) -> dict[tuple[CommitId, int], CellView]:
        """Return cells of these commits for every other column that says anything of them.

        Args:
            known: cells that are there already.
        """
        if not commits:
            return {}
        standings = await self._standings()
        theirs = [carrier.id for row in commits for carrier in carriers.get(row.id, ())]
        places = await self._situation.standing([*(row.id for row in commits), *theirs])
        manifests = await self._manifests()
        cells: dict[tuple[CommitId, int], CellView] = {}
        for row in commits:
            awaited = await self._awaited(row, carriers, places, manifests)
            parts = [row, *carriers.get(row.id, ())]
            for column, standing in enumerate(standings):
                if (row.id, column) in known:
                    continue
                said = [self._cell(parts, places, standing), self._awaiting(column, awaited)]
                cell = _worst([one for one in said if one is not None])
                if cell is not None:
                    cells[row.id, column] = cell
        return cells

    async def _standings(self) -> list[dict[Branch, _Standing]]:
        await self._situation.locate_baselines(target for members in self._members for target in members)
        return [self._standing_of(members) for members in self._members]

    def _standing_of(self, members: Sequence[TargetRecord]) -> dict[Branch, _Standing]:
        found: dict[Branch, _Standing] = {}
        for target in members:
            branch = self._situation.branch_of(target)
            if branch is None:
                continue
            standing = found.setdefault(branch, _Standing())
            if target.baseline_sha is None or target.awaits_baseline:
                known = standing.unbased_since
                standing.unbased_since = target.first_seen_at if known is None else max(known, target.first_seen_at)
                continue
            position = self._situation.position(target, target.baseline_sha)
            standing.baseline = max(standing.baseline, -1 if position is None else position)
        return found

    def _cell(
        self,
        parts: Sequence[Row[Any]],
        places: Mapping[CommitId, Mapping[Branch, int]],
        standing: dict[Branch, _Standing],
    ) -> CellView | None:
        """Return the worst of what a commit's own place and those of its exports say of a column."""
        said = [
            self._absent(standing[branch], position, part.at)
            for part in parts
            for branch, position in places.get(part.id, {}).items()
            if branch in standing
        ]
        return _worst([cell for cell in said if cell is not None])

    def _absent(self, standing: _Standing, position: int, at: datetime) -> CellView | None:
        """As `model/derive.absent_verdict` of each of the targets, and the worst of them."""
        if standing.unbased_since is not None and at < standing.unbased_since:
            return CellView(verdict=Verdict.PENDING.value, reason=PendingReason.SCOPING.value)
        if position <= standing.baseline:
            return CellView(verdict=Verdict.DEPLOYED.value, is_before_baseline=True)
        pruned = self._situation.pruned_before
        return None if pruned is not None and at < pruned else CellView(verdict=Verdict.UNAFFECTED.value)

    async def _manifests(self) -> dict[RepositoryId, set[RepositoryId]]:
        """By source repository: those that it is exported to."""
        table = schema.repository_exports
        found: dict[RepositoryId, set[RepositoryId]] = {}
        for row in await self._session.all(select(table)):
            found.setdefault(row.source_repository_id, set()).add(row.manifests_repository_id)
        return found

    async def _awaited(
        self,
        row: Row[Any],
        carriers: Carriers,
        places: Mapping[CommitId, Mapping[Branch, int]],
        manifests: Mapping[RepositoryId, set[RepositoryId]],
    ) -> tuple[set[RepositoryId], bool] | None:
        """Return where no export has brought a commit yet, and whether nothing is claimed of it there."""
        there = manifests.get(row.repository_id)
        own = places.get(row.id)
        if row.is_carrier or row.id in carriers or not there or not own:
            return None
        is_history = any(position <= self._history.get(branch, -1) for branch, position in own.items())
        if not is_history and await self._situation.is_history(dict(own)):
            is_history = True
            self._history.update({b: max(p, self._history.get(b, -1)) for b, p in own.items()})
        return there, is_history

    def _awaiting(self, column: int, awaited: tuple[set[RepositoryId], bool] | None) -> CellView | None:
        if awaited is None or not any(target.repository_id in awaited[0] for target in self._members[column]):
            return None
        if awaited[1]:
            return CellView(verdict=Verdict.DEPLOYED.value, is_before_baseline=True)
        return CellView(verdict=Verdict.PENDING.value, reason=PendingReason.AWAITING_EXPORT.value)


def _worst(cells: Sequence[CellView]) -> CellView | None:
    by_verdict = {Verdict(cell.verdict): cell for cell in reversed(cells)}
    return by_verdict[union(list(by_verdict))] if cells else None
