"""`/board`: commits × clusters or environments. The question behind it: is my change live, where, and since when?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.params import QueryParameter

from fluxtrail.model.stage import Stage
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import BoardColumn, BoardView, CellView, CommitView
from fluxtrail.web.api import Cursor, OneVerdict, Text
from fluxtrail.web.board import BOARD_LIMIT, BoardLimit, By
from fluxtrail.web.pages.filters import AGES, narrowing, read_instant
from fluxtrail.web.pages.formats import repository_name, words
from fluxtrail.web.pages.rendering import AnyRequest, feed_end, one_instant, page

Instant = Annotated[str | None, QueryParameter(max_length=64, description="`24h`, or RFC 3339.")]
_REACHED = {Stage.APPLIED.value, Stage.HEALTHY.value, Stage.RUNNING.value}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell says."""

    tone: str
    """The verdict that gives it its colour and icon."""
    word: str
    share: str
    """`3/5`: how many of its deliveries are so, where they are not all."""
    note: str
    """Why it waits or failed."""
    others: str
    """`21 pending`: what became of the others there, where not all are alike."""
    at: datetime | None
    view: CellView


class Row(msgspec.Struct, frozen=True, kw_only=True):
    commit: CommitView
    cells: list[Cell | None]
    at: datetime | None


class Board(msgspec.Struct, frozen=True, kw_only=True):
    columns: Sequence[BoardColumn]
    rows: list[Row]
    has_builds: bool
    """The builds of some are known."""
    hidden_columns: int
    next: str | None
    repositories: list[str]
    """Of what is shown: for the form to propose."""
    authors: list[str]


@get("/board", include_in_schema=False)
async def show_board(
    request: AnyRequest,
    *,
    by: Annotated[By | None, QueryParameter()] = None,
    repository: Text = None,
    author: Text = None,
    service: Text = None,
    environment: Text = None,
    cluster: Text = None,
    verdict: OneVerdict = None,
    text: Text = None,
    since: Instant = None,
    until: Instant = None,
    carriers: Annotated[bool, QueryParameter()] = False,
    limit: BoardLimit = BOARD_LIMIT,
    cursor: Cursor = None,
) -> Response[str]:
    async with one_instant(request) as context:
        live_after = await feed_end(context)
        now = context.now()
        environments = [item.name for item in context.grouping.environments]
        chosen = by or (By.ENVIRONMENT if environments else By.CLUSTER)
        found = await context.answers.board(
            now=now,
            settle_after=context.settle_after,
            grouping=context.grouping,
            by=chosen.value,
            repository=repository,
            author=author,
            service=service,
            environment=environment,
            cluster=cluster,
            verdict=verdict,
            text=text,
            since=read_instant(since, now=now, parameter="since"),
            until=read_instant(until, now=now, parameter="until"),
            carriers=carriers,
            limit=limit,
            cursor=cursor,
        )
        clusters = await context.answers.cluster_names()
    return page(
        request,
        "board.html",
        title="Board",
        section="board",
        live_after=live_after,
        view=summarise(found),
        by=chosen.value,
        filters=narrowing(request, api="/api/v1/board", now=now),
        ages=AGES,
        verdicts=[each.value for each in Verdict],
        environments=environments,
        clusters=clusters,
    )


def summarise(found: BoardView) -> Board:
    rows = [
        Row(
            commit=row.commit,
            cells=[None if cell is None else cell_of(cell, row.commit) for cell in row.cells],
            at=merged_at(row.commit),
        )
        for row in found.items
    ]
    return Board(
        columns=found.columns,
        rows=rows,
        has_builds=any(row.commit.build_state for row in found.items),
        hidden_columns=found.hidden_columns,
        next=found.next,
        repositories=sorted({repository_name(row.commit.repository) for row in rows}),
        authors=sorted({row.commit.author for row in rows if row.commit.author}),
    )


def cell_of(view: CellView, commit: CommitView) -> Cell:
    """Return what a cell says: a deployed one how far it has come, another one its verdict and why."""
    total = sum(view.counts.values())
    word, note, at = words(view.verdict), "", view.since
    if view.verdict == Verdict.DEPLOYED:
        word = view.stage if view.stage in _REACHED else "deployed"
        if view.is_before_baseline:
            word, note = "deployed", "before we came"
        if view.undone_by:
            note = "reverted since"
    elif view.verdict == Verdict.UNAFFECTED:
        word, at = "not affected", None
    elif view.verdict == Verdict.PENDING:
        note, at = words(view.reason), merged_at(commit)
    elif view.verdict == Verdict.FAILED:
        note = words(view.reason)
    return Cell(
        tone=view.verdict,
        word=word,
        share=f"{view.count}/{total}" if total > 1 else "",
        note=note,
        others=", ".join(
            f"{count:,} {words(verdict)}" for verdict, count in view.counts.items() if verdict != view.verdict
        ),
        at=at,
        view=view,
    )


def merged_at(commit: CommitView) -> datetime | None:
    return commit.merged.at if commit.merged else commit.committed_at
