"""The board: commits × clusters or environments, each cell what became of the commit there.

One page must cost about the same with millions of rows. The verdicts of its commits come from one covering index, all
targets of a commit in a few lines; a row of `deliveries` itself is read only for what a cell shows. Cells without a
stored delivery follow from where the commit stands, as in a trail (`board_gaps.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import CTE, ColumnElement, Row, Text, cast, func, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.board_gaps import Carriers, Gaps
from fluxtrail.ledger.queries.board_rows import BoardFilter, choose_commits
from fluxtrail.ledger.queries.commits import commit_views
from fluxtrail.ledger.queries.rendering import Renderer, stored
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.environments import Grouping
from fluxtrail.model.records import CommitId, TargetId, TargetRecord
from fluxtrail.model.stage import STAGES
from fluxtrail.model.verdict import Verdict, union
from fluxtrail.model.views import BoardColumn, BoardRow, BoardView, CellView, DeliveryView

COLUMNS = 40
"""The most that one board shows."""
DATED = 12
"""A cell of more deliveries than this says nothing of when the last of them changed: each would be one look."""

_D = schema.deliveries

Key = tuple[CommitId, TargetId]
Place = tuple[CommitId, int]
"""A commit and the number of a column."""


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a board, and which targets stand in which."""

    names: list[str]
    members: list[list[TargetRecord]]
    hidden: int

    @property
    def by_target(self) -> dict[str, int]:
        """By a target's id, as the text that the index's answer has."""
        return {str(target.id): index for index, targets in enumerate(self.members) for target in targets}


async def read_board(
    session: Session,
    renderer: Renderer,
    wanted: BoardFilter,
    *,
    grouping: Grouping,
    by_environment: bool,
    is_brief: bool,
    now: datetime,
    limit: int,
    cursor: str | None,
) -> BoardView:
    situation = renderer.situation
    columns = choose_columns(situation, wanted, grouping, by_environment=by_environment)
    targets = [target.id for members in columns.members for target in members] if wanted.names_targets else None
    found, after = await choose_commits(session, situation, wanted, targets, limit=limit, cursor=cursor)
    cells = await _Cells(session, renderer, columns, is_brief=is_brief).of(found)
    views = await commit_views(session, situation, found, now=now)
    return BoardView(
        columns=[
            BoardColumn(name=name, targets=len(members))
            for name, members in zip(columns.names, columns.members, strict=True)
        ],
        items=[
            BoardRow(commit=view, cells=[cells.get((row.id, index)) for index in range(len(columns.names))])
            for row, view in zip(found, views, strict=True)
        ],
        hidden_columns=columns.hidden,
        next=after,
    )


def choose_columns(situation: Situation, wanted: BoardFilter, grouping: Grouping, *, by_environment: bool) -> Columns:
    """Return the live targets that the board looks at, by cluster or by environment."""
    order = {environment.name: number for number, environment in enumerate(grouping.environments)}
    members: dict[str, list[TargetRecord]] = {}
    for target in situation.targets.values():
        cluster = situation.cluster_name(target.cluster)
        if target.deleted_at is not None or not wanted.admits(target, cluster):
            continue
        environment = grouping.environment_of(cluster, str(target.key))
        if wanted.environment is None or wanted.environment == environment:
            members.setdefault(environment if by_environment else cluster, []).append(target)
    names = sorted(members, key=lambda name: (order.get(name, len(order)), name))
    shown = names[:COLUMNS]
    return Columns(names=shown, members=[members[name] for name in shown], hidden=len(names) - len(shown))


class _Cells:
    """Makes the cells of one page."""

    def __init__(self, session: Session, renderer: Renderer, columns: Columns, *, is_brief: bool) -> None:
        self._session = session
        self._renderer = renderer
        self._columns = columns
        self._is_brief = is_brief
        self._column_of = columns.by_target

    async def of(self, commits: Sequence[Row[Any]]) -> dict[Place, CellView]:
        """Return what is known of these commits; a place without a cell has nothing to do with its commit."""
        if not commits or not self._column_of:
            return {}
        groups = await self._stored([row.id for row in commits])
        gaps = Gaps(self._session, self._renderer.situation, self._columns.members)
        carriers = await gaps.carriers_of(self._with_gaps(commits, groups))
        await self._add_carried(groups, carriers)
        cells = (
            {place: _brief(group) for place, group in groups.items()} if self._is_brief else await self._show(groups)
        )
        filled = await gaps.fill(self._with_gaps(commits, groups), carriers, known=cells.keys())
        return {**filled, **cells}

    def _with_gaps(self, commits: Sequence[Row[Any]], groups: Mapping[Place, _Group]) -> list[Row[Any]]:
        numbers = range(len(self._columns.names))
        return [row for row in commits if any((row.id, column) not in groups for column in numbers)]

    async def _add_carried(self, groups: dict[Place, _Group], carriers: Carriers) -> None:
        """A source commit also goes wherever its exports go."""
        theirs = await self._stored(sorted({carrier.id for some in carriers.values() for carrier in some}))
        own = set(groups)
        for commit, some in carriers.items():
            for carrier in some:
                for column in range(len(self._columns.names)):
                    group = theirs.get((carrier.id, column))
                    if group is not None and (commit, column) not in own:
                        groups.setdefault((commit, column), _Group()).merge(group)

    async def _stored(self, commits: Sequence[CommitId]) -> dict[Place, _Group]:
        """Return the stored deliveries of commits by column, from the index alone: targets as a text of numbers."""
        numbers = func.aggregate_strings(cast(_D.c.target_id, Text), ",").label("targets")
        found: dict[Place, _Group] = {}
        for chunk in chunks(commits):
            wanted = (
                select(_D.c.commit_id, _D.c.verdict, numbers)
                .where(_D.c.commit_id.in_(chunk))
                .group_by(_D.c.commit_id, _D.c.verdict)
            )
            for row in await self._session.all(wanted):
                for column, targets in self._by_column(row.targets).items():
                    found.setdefault((row.commit_id, column), _Group()).add(row.verdict, row.commit_id, targets)
        return found

    def _by_column(self, targets: str) -> dict[int, list[str]]:
        """Tens of thousands on one page of a large fleet: ids stay text until one of them is looked at."""
        found: dict[int, list[str]] = {}
        column_of = self._column_of
        for target in targets.split(","):
            column = column_of.get(target)
            if column is not None:
                found.setdefault(column, []).append(target)
        return found

    async def _show(self, groups: Mapping[Place, _Group]) -> dict[Place, CellView]:
        counts = {place: group.count for place, group in groups.items()}
        looked_at = {place: group.first_of_worst(DATED) for place, group in groups.items()}
        dated = {place for place, count in counts.items() if 1 < count <= DATED}
        since = await self._since([key for place in dated for key in looked_at[place]])
        chosen: dict[Place, Key] = {}
        for place, keys in looked_at.items():
            chosen[place] = max((key for key in keys if key in since), key=since.__getitem__, default=keys[0])
        views = await self._views(list(chosen.values()))
        return {
            place: _cell(groups[place], views[key], views[key].since if counts[place] == 1 else since.get(key))
            for place, key in chosen.items()
            if key in views
        }

    async def _since(self, keys: Sequence[Key]) -> dict[Key, datetime]:
        found: dict[Key, datetime] = {}
        for chunk in chunks(list(dict.fromkeys(keys))):
            table = self._session.dialect.key_table(chunk).cte("wanted")
            wanted = select(_D.c.commit_id, _D.c.target_id, _D.c.since).join(table, _is_key(table))
            found.update({(row.commit_id, row.target_id): row.since for row in await self._session.all(wanted)})
        return found

    async def _views(self, keys: Sequence[Key]) -> dict[Key, DeliveryView]:
        found: dict[Key, DeliveryView] = {}
        for chunk in chunks(list(dict.fromkeys(keys))):
            table = self._session.dialect.key_table(chunk).cte("wanted")
            rows = await self._session.all(stored().join(table, _is_key(table)))
            for row, view in zip(rows, await self._renderer.render(rows), strict=True):
                found[row.commit_id, row.target_id] = view
        return found


def _is_key(table: CTE) -> ColumnElement[bool]:
    return (table.c.target_id == _D.c.target_id) & (table.c.commit_id == _D.c.commit_id)


class _Group:
    """Stored deliveries of one commit in one column: its own, or those of its exports."""

    def __init__(self) -> None:
        self._targets: dict[Verdict, list[tuple[CommitId, list[str]]]] = {}

    def add(self, verdict: Verdict, commit: CommitId, targets: list[str]) -> None:
        self._targets.setdefault(verdict, []).append((commit, targets))

    def merge(self, other: _Group) -> None:
        for verdict, parts in other._targets.items():
            self._targets.setdefault(verdict, []).extend(parts)

    @property
    def worst(self) -> Verdict:
        return union(list(self._targets))

    @property
    def count(self) -> int:
        return _count(self._targets[self.worst])

    @property
    def counts(self) -> dict[str, int]:
        return {verdict.value: _count(parts) for verdict, parts in self._targets.items()}

    def first_of_worst(self, number: int) -> list[Key]:
        parts = self._targets[self.worst]
        keys = ((commit, TargetId(int(target))) for commit, targets in parts for target in targets)
        return list(islice(keys, number))


def _count(parts: Sequence[tuple[CommitId, list[str]]]) -> int:
    return sum(len(targets) for _, targets in parts)


def _brief(group: _Group) -> CellView:
    return CellView(verdict=group.worst.value, count=group.count, counts=group.counts)


def _cell(group: _Group, view: DeliveryView, since: datetime | None) -> CellView:
    reached = [stage.value for stage in STAGES if stage.value in view.stages]
    return CellView(
        verdict=view.verdict,
        reason=view.reason,
        count=group.count,
        counts=group.counts,
        stage=reached[-1] if reached else "",
        since=since,
        via=view.via,
        undone_by=view.undone_by,
        is_before_baseline=view.is_before_baseline,
        is_scope_unknown=view.is_scope_unknown,
        target=view.target,
        target_id=view.target_id,
    )
