"""Cells of the board from what is stored: the worst of a commit's deliveries in a column, and how many are how.

The verdicts of a page's commits come from one covering index, all targets of a commit in a few lines; a row of
`deliveries` itself is read only for what a cell shows, and of that only what it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any

from sqlalchemy import CTE, ColumnElement, Row, Select, Text, case, cast, func, literal_column, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.dialect import Dialect
from fluxtrail.ledger.queries.last_stage import of_last_stage
from fluxtrail.ledger.queries.rendering import Renderer, via
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.records import CommitId, TargetId
from fluxtrail.model.stage import Stage
from fluxtrail.model.verdict import PendingReason, Verdict, union
from fluxtrail.model.views import CellView

DATED = 12
"""A cell of more deliveries than this says nothing of when the last of them changed: each would be one look."""

_D = schema.deliveries
_OWN, _CARRIER = schema.commits.alias("own"), schema.commits.alias("carried_by")
_UNDOING = schema.commits.alias("undone_with")
_APPLIED, _HEALTHY = schema.syncs.alias("applied_with"), schema.syncs.alias("healthy_with")

Key = tuple[CommitId, TargetId]
Place = tuple[CommitId, int]
"""A commit and the number of a column."""


class Group:
    """Stored deliveries of one commit in one column: its own, or those of its exports."""

    def __init__(self) -> None:
        self._targets: dict[Verdict, list[tuple[CommitId, list[str]]]] = {}

    def add(self, verdict: Verdict, commit: CommitId, targets: list[str]) -> None:
        self._targets.setdefault(verdict, []).append((commit, targets))

    def merge(self, other: Group) -> None:
        for verdict, parts in other._targets.items():
            self._targets.setdefault(verdict, []).extend(parts)

    @property
    def worst(self) -> Verdict:
        return next(iter(self._targets)) if len(self._targets) == 1 else union(list(self._targets))

    @property
    def counts(self) -> dict[str, int]:
        return {verdict.value: _count(parts) for verdict, parts in self._targets.items()}

    def first(self, verdict: Verdict, number: int) -> list[Key]:
        keys = ((commit, TargetId(int(target))) for commit, targets in self._targets[verdict] for target in targets)
        return list(islice(keys, number))


class Stored:
    """What is stored of some commits, by column; reads more of them when it is asked to.

    Args:
        columns: the number of a target's column, by the target's id as text.
    """

    def __init__(self, session: Session, columns: Mapping[str, int]) -> None:
        self._session = session
        self._column_of = columns
        self.counts: dict[CommitId, dict[str, int]] = {}
        """Of all deliveries of a commit, by verdict, whatever the board looks at."""
        self.pending: dict[CommitId, list[TargetId]] = {}
        """The targets that a commit waits for, whatever the board looks at."""

    async def of(self, commits: Sequence[CommitId]) -> dict[Place, Group]:
        """Return what is stored, from the index alone: targets as a text of numbers."""
        numbers = func.aggregate_strings(cast(_D.c.target_id, Text), ",").label("targets")
        found: dict[Place, Group] = {}
        for chunk in chunks(commits):
            wanted = (
                select(_D.c.commit_id, _D.c.verdict, numbers)
                .where(self._session.dialect.among(_D.c.commit_id, chunk))
                .group_by(_D.c.commit_id, _D.c.verdict)
            )
            for row in await self._session.all(wanted):
                targets = row.targets.split(",")
                self._note(row.commit_id, row.verdict, targets)
                for column, some in self._by_column(targets).items():
                    found.setdefault((row.commit_id, column), Group()).add(row.verdict, row.commit_id, some)
        return found

    def _note(self, commit: CommitId, verdict: Verdict, targets: list[str]) -> None:
        self.counts.setdefault(commit, {})[verdict.value] = len(targets)
        if verdict is Verdict.PENDING:
            self.pending[commit] = [TargetId(int(target)) for target in targets]

    def _by_column(self, targets: Iterable[str]) -> dict[int, list[str]]:
        """Tens of thousands on one page of a large fleet: ids stay text until one of them is looked at."""
        found: dict[int, list[str]] = {}
        column_of = self._column_of
        for target in targets:
            column = column_of.get(target)
            if column is not None:
                found.setdefault(column, []).append(target)
        return found


def brief_cells(groups: Mapping[Place, Group]) -> dict[Place, CellView]:
    """Return cells that say the verdict and the numbers, and nothing that a delivery's own row is needed for."""
    cells = {}
    for place, group in groups.items():
        worst, counts = group.worst, group.counts
        cells[place] = CellView(verdict=worst.value, count=counts[worst.value], counts=counts)
    return cells


async def full_cells(session: Session, renderer: Renderer, groups: Mapping[Place, Group]) -> dict[Place, CellView]:
    """Return cells that say all of the one delivery they show: of those with the worst verdict the last to change."""
    worst = {place: group.worst for place, group in groups.items()}
    counts = {place: group.counts for place, group in groups.items()}
    looked_at = {place: group.first(worst[place], DATED) for place, group in groups.items()}
    dated = {place for place, verdict in worst.items() if 1 < counts[place][verdict.value] <= DATED}
    since = await _since(session, [key for place in dated for key in looked_at[place]])
    chosen: dict[Place, Key] = {}
    for place, keys in looked_at.items():
        chosen[place] = max((key for key in keys if key in since), key=since.__getitem__, default=keys[0])
    shown = await _shown(session, list(chosen.values()))
    reasons = await renderer.reasons(list(shown.values()))
    cells = {}
    for place, key in chosen.items():
        row = shown.get(key)
        if row is not None:
            count = counts[place][worst[place].value]
            changed = row.since if count == 1 else since.get(key)
            cells[place] = _cell(renderer, row, reasons.get(key), count=count, counts=counts[place], since=changed)
    return cells


async def _since(session: Session, keys: Sequence[Key]) -> dict[Key, datetime]:
    found: dict[Key, datetime] = {}
    for chunk in chunks(list(dict.fromkeys(keys))):
        rows = await session.all(_changed(session.dialect), {"keys": session.dialect.pack_keys(chunk)})
        found.update({(row.commit_id, row.target_id): row.since for row in rows})
    return found


async def _shown(session: Session, keys: Sequence[Key]) -> dict[Key, Row[Any]]:
    found: dict[Key, Row[Any]] = {}
    for chunk in chunks(list(dict.fromkeys(keys))):
        for row in await session.all(_wanted(session.dialect), {"keys": session.dialect.pack_keys(chunk)}):
            found[row.commit_id, row.target_id] = row
    return found


@cache
def _changed(dialect: Dialect) -> Select[Any]:
    """Select when deliveries, named by `keys`, became what they are."""
    table = dialect.key_table().cte("wanted")
    return select(_D.c.commit_id, _D.c.target_id, _D.c.since).join(table, _is_key(table))


@cache
def _wanted(dialect: Dialect) -> Select[Any]:
    """Select what a cell shows of deliveries, named by `keys`."""
    table = dialect.key_table().cte("wanted")
    reached = (
        (Stage.RUNNING, of_last_stage("running", _APPLIED, _HEALTHY)),
        (Stage.HEALTHY, _HEALTHY.c.healthy),
        (Stage.APPLIED, _APPLIED.c.applied),
        (Stage.FETCHED, _APPLIED.c.fetched),
        (Stage.EXPORTED, _CARRIER.c.merged),
        (Stage.BUILT, _OWN.c.built),
        (Stage.MERGED, _OWN.c.merged),
    )
    last = case(*((at.is_not(None), literal_column(f"'{stage.value}'", Text)) for stage, at in reached), else_="")
    return (
        select(
            *(_D.c.commit_id, _D.c.target_id, _D.c.carrier_id, _D.c.verdict, _D.c.reason, _D.c.since),
            _D.c.is_scope_unknown,
            _OWN.c.sha,
            _CARRIER.c.sha.label("carrier_sha"),
            _UNDOING.c.sha.label("undone_sha"),
            _APPLIED.c.sha.label("applied_sha"),
            _HEALTHY.c.sha.label("healthy_sha"),
            *(_APPLIED.c.fetched, _APPLIED.c.applied),
            last.label("stage"),
        )
        .join(table, _is_key(table))
        .join(_OWN, _OWN.c.id == _D.c.commit_id)
        .outerjoin(_CARRIER, _CARRIER.c.id == _D.c.carrier_id)
        .outerjoin(_UNDOING, _UNDOING.c.id == _D.c.undone_by)
        .outerjoin(_APPLIED, _APPLIED.c.id == _D.c.applied_sync)
        .outerjoin(_HEALTHY, _HEALTHY.c.id == _D.c.healthy_sync)
    )


def _is_key(table: CTE) -> ColumnElement[bool]:
    return (table.c.target_id == _D.c.target_id) & (table.c.commit_id == _D.c.commit_id)


def _count(parts: Sequence[tuple[CommitId, list[str]]]) -> int:
    return sum([len(targets) for _, targets in parts])


def _cell(
    renderer: Renderer,
    row: Row[Any],
    reason: PendingReason | None,
    *,
    count: int,
    counts: dict[str, int],
    since: datetime | None,
) -> CellView:
    return CellView(
        verdict=row.verdict.value,
        reason=reason.value if reason else row.reason,
        count=count,
        counts=counts,
        stage=row.stage,
        since=since,
        via=via(row),
        undone_by=row.undone_sha,
        is_scope_unknown=row.is_scope_unknown,
        target=str(renderer.situation.targets[row.target_id].key),
        target_id=row.target_id,
    )
