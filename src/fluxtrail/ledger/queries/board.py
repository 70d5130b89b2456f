"""The board: commits × clusters or environments, each cell what became of the commit there.

One page must cost about the same with millions of rows: what is stored is read as `board_cells.py` tells. Cells without
a stored delivery follow from where the commit stands, as in a trail (`board_gaps.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row

from fluxtrail.ledger.queries.board_cells import Group, Place, Stored, brief_cells, full_cells
from fluxtrail.ledger.queries.board_gaps import Carriers, Gaps
from fluxtrail.ledger.queries.board_rows import BoardFilter, choose_commits
from fluxtrail.ledger.queries.commits import commit_views
from fluxtrail.ledger.queries.rendering import Renderer
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session
from fluxtrail.model.environments import Grouping
from fluxtrail.model.records import TargetRecord
from fluxtrail.model.views import BoardColumn, BoardRow, BoardView

COLUMNS = 40
"""The most that one board shows."""


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
    stored, gaps = Stored(session, columns.by_target), Gaps(session, situation, columns.members)
    groups, carriers = await _groups(stored, gaps, found, columns)
    cells = await gaps.fill(_with_gaps(found, groups, columns), carriers, known=groups.keys())
    cells |= brief_cells(groups) if is_brief else await full_cells(session, renderer, groups)
    views = await commit_views(session, situation, found, now=now, tally=stored)
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


async def _groups(
    stored: Stored, gaps: Gaps, commits: Sequence[Row[Any]], columns: Columns
) -> tuple[dict[Place, Group], Carriers]:
    """Return what is stored of these commits, and the exports that were looked at for what is not.

    A source commit also goes wherever its exports go.
    """
    groups = await stored.of([row.id for row in commits])
    carriers = await gaps.carriers_of(_with_gaps(commits, groups, columns))
    theirs = await stored.of(sorted({carrier.id for some in carriers.values() for carrier in some}))
    own = set(groups)
    for commit, some in carriers.items():
        for carrier in some:
            for column in range(len(columns.names)):
                group = theirs.get((carrier.id, column))
                if group is not None and (commit, column) not in own:
                    groups.setdefault((commit, column), Group()).merge(group)
    return groups, carriers


def _with_gaps(commits: Sequence[Row[Any]], groups: Mapping[Place, Group], columns: Columns) -> list[Row[Any]]:
    numbers = range(len(columns.names))
    return [row for row in commits if any((row.id, column) not in groups for column in numbers)]
