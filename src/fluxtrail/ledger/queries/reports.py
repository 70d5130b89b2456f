"""Reports as they are counted and listed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Table, and_, func, or_, select

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.queries.pages import Page, bounded, read_cursor, write_cursor
from fluxtrail.ledger.session import Session
from fluxtrail.model.report import ReportState, ReportView, SinkCounts

_R = schema.reports
_ABOUT = re.compile(r"(?P<transition>t)?(?P<id>[0-9]{1,18})(?:\.|$)")
"""Keys begin with the commit's id, or are that of the transition that tells of it: see `reports.plan`."""
MOST_OF_ONE = 1000
"""Reports of one commit that are looked through."""


async def count_reports(session: Session) -> dict[str, SinkCounts]:
    """Return what has not been sent, by sink."""
    wanted = (
        select(_R.c.sink, _R.c.state, func.count().label("number"), func.min(_R.c.created_at).label("oldest_at"))
        .where(_R.c.ended_at.is_(None))
        .group_by(_R.c.sink, _R.c.state)
        .order_by(_R.c.sink)
    )
    counts: dict[str, SinkCounts] = {}
    for row in await session.all(wanted):
        told = {"dead": row.number}
        if row.state is ReportState.WAITING:
            told = {"waiting": row.number, "oldest_at": row.oldest_at}
        counts[row.sink] = msgspec.structs.replace(counts.get(row.sink, SinkCounts()), **told)
    return counts


async def list_reports(
    session: Session, *, state: ReportState | None, sink: str | None, sha: str | None, limit: int, cursor: str | None
) -> Page[ReportView]:
    """Return reports, the last planned first.

    Args:
        sha: whole, of the commit that they are about. Those that only say that it was seen are not found by it.
    """
    limit = bounded(limit)
    columns = (_R.c[name] for name in rows.REPORT_VIEWED)
    wanted = select(*columns).order_by(_R.c.id.desc()).limit(limit + 1)
    if state is not None:
        wanted = wanted.where(_R.c.state == state)
    if state in (ReportState.WAITING, ReportState.DEAD):
        wanted = wanted.where(_R.c.ended_at.is_(None))  # what the index is about
    if sink is not None:
        wanted = wanted.where(_R.c.sink == sink)
    if sha is not None:
        wanted = wanted.where(_R.c.id.in_(await _about(session, sha)))
    if cursor is not None:
        wanted = wanted.where(_R.c.id < read_cursor(cursor, tuple[int])[0])
    found = await session.all(wanted)
    shown = await _with_commits(session, [rows.report_view_of(row) for row in found[:limit]])
    return Page(items=shown, next=write_cursor((shown[-1].id,)) if len(found) > limit else None)


async def _about(session: Session, sha: str) -> list[int]:
    """Return the newest reports whose keys begin with the commit's id: a range of the index for each sink."""
    commits = schema.commits
    sinks = select(func.min(_R.c.sink).label("sink")).cte("sinks", recursive=True)
    following = select(func.min(_R.c.sink)).where(_R.c.sink > sinks.c.sink).scalar_subquery()
    sinks = sinks.union_all(select(following).where(sinks.c.sink.is_not(None)))
    found: list[int] = []
    # `+ 0`: not by the ids' own order, which would be a walk through all reports.
    for row in await session.all(select(commits.c.id).where(commits.c.sha == sha)):
        wanted = select(_R.c.id).join(sinks, _R.c.sink == sinks.c.sink).where(_begins_with(session, str(row.id)))
        found += [report.id for report in await session.all(wanted.order_by((_R.c.id + 0).desc()).limit(MOST_OF_ONE))]
    return sorted(found, reverse=True)[:MOST_OF_ONE]


def _begins_with(session: Session, number: str) -> ColumnElement[bool]:
    """Word for word `7` or `7.…`.

    SQLite compares by bytes, where a slash comes next after the dot, and takes the index for a range. PostgreSQL
    compares as its database's language does: there a pattern is right, and takes the index where that is C.
    """
    is_part = and_(_R.c.key > f"{number}.", _R.c.key < f"{number}/")
    return or_(_R.c.key == number, _R.c.key.like(f"{number}.%") if session.dialect.is_shared else is_part)


async def _with_commits(session: Session, shown: Sequence[ReportView]) -> list[ReportView]:
    """Say of each which commit it is about."""
    found = [_ABOUT.match(item.key) for item in shown]
    lines = {int(match["id"]) for match in found if match and match["transition"]}
    commit_of = await _by_id(session, schema.transitions, "commit_id", lines)
    ids = [
        None if match is None else commit_of.get(int(match["id"])) if match["transition"] else int(match["id"])
        for match in found
    ]
    sha_of = await _by_id(session, schema.commits, "sha", {id_ for id_ in ids if id_ is not None})
    return [
        msgspec.structs.replace(item, sha=sha_of.get(id_) if id_ else None)
        for item, id_ in zip(shown, ids, strict=True)
    ]


async def _by_id(session: Session, table: Table, column: str, ids: Iterable[int]) -> dict[int, Any]:
    wanted = sorted(ids)
    if not wanted:
        return {}
    statement = select(table.c.id, table.c[column].label("found")).where(table.c.id.in_(wanted))
    return {row.id: row.found for row in await session.all(statement)}
