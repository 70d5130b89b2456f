"""Commits that meet conditions which no index answers in the order of a list.

One page must cost about the same with millions of rows, whatever it is narrowed to. Where only a few deliveries can be
meant their commits are looked up, and the page is exact. Else commits are gone through from the newest, so many for one
page; then it comes short, with a cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Row, Select, Subquery, func, literal, literal_column, select, tuple_, type_coerce
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from fluxtrail.ledger import schema
from fluxtrail.ledger.columns import Instant, from_micros, to_micros
from fluxtrail.ledger.queries.pages import bounded, read_cursor, write_cursor
from fluxtrail.ledger.queries.resolving import begins
from fluxtrail.ledger.session import Session
from fluxtrail.model.commit import is_sha_prefix
from fluxtrail.model.records import CommitId, RepositoryId
from fluxtrail.model.verdict import Verdict

LOOKED_AT = 5000
"""So many commits are gone through for one page."""
FEW = 5000
"""Deliveries whose commits are looked up one by one: about what it costs to go through as many commits."""
SHORT_SHA = 7
"""Fewer digits are a word as well."""
_LOOK_FIRST = 4
"""At first only as many pages of commits are gone through: mostly one is full then."""

_C, _D = schema.commits, schema.deliveries

Key = tuple[datetime, CommitId]
Rows = ReadOnlyColumnCollection[str, Any]
"""The columns of `commits`, or of the rows of it that are gone through."""
Condition = Callable[[Rows], ColumnElement[bool]]


async def walk_commits(
    session: Session,
    conditions: Sequence[ColumnElement[bool]],
    costly: Sequence[Condition],
    *,
    among: Subquery | None = None,
    limit: int,
    cursor: str | None,
) -> tuple[Sequence[Row[Any]], str | None]:
    """Return rows of `commits`, the last merged first, and the cursor behind them.

    Args:
        conditions: of columns that an index has in the order of the list.
        costly: all others, each asked of a row at a time.
        among: only these are looked at; see `commits_with_few`.
    """
    limit = bounded(limit)
    after = _read(cursor)
    if among is not None or not costly:
        every = [*conditions, *(condition(_C.c) for condition in costly)]
        found = await session.all(_straight(every, among, after, limit + 1))
        return found[:limit], _write(_key(found[limit - 1])) if len(found) > limit else None
    rows: list[Row[Any]] = []
    first = min(_LOOK_FIRST * limit, LOOKED_AT)
    for window in (first, LOOKED_AT - first):
        if not window:
            break
        looked_at = _newest(conditions, after)
        rows += await session.all(_within(looked_at, costly, window, limit + 1 - len(rows)))
        if len(rows) > limit:
            return rows[:limit], _write(_key(rows[limit - 1]))
        last = await session.first(looked_at.with_only_columns(_C.c.id, _C.c.at).offset(window - 1).limit(1))
        if last is None:
            return rows, None
        after = _key(last)
    return rows, _write(after) if after is not None else None


async def commits_with_few(
    session: Session,
    verdict: Verdict,
    repositories: Sequence[RepositoryId] | None,
    *such_too: ColumnElement[bool],
) -> Subquery | None:
    """Return the commits that have a delivery of this verdict, as a table of `commit_id`; None where there are many.

    Args:
        such_too: what the delivery must meet besides; whether there are many goes by the verdict alone.
    """
    such = [_D.c.verdict == verdict]
    if repositories is not None:
        such.append(_D.c.repository_id.in_(repositories))
    first = select(literal(1).label("one")).select_from(_D).where(*such).limit(FEW + 1).subquery()
    if int(await session.scalar(select(func.count()).select_from(first)) or 0) > FEW:
        return None
    return select(_D.c.commit_id).where(*such, *such_too).distinct().subquery("few")


async def commits_named(session: Session, text: str) -> Subquery | None:
    """Return the commits whose sha begins so, as a table of `commit_id`; None where the text can be no sha, or is none.

    However old they are: whoever has a sha looks for that commit, and not for words.
    """
    prefix = text.strip().lower()
    if not is_sha_prefix(prefix) or len(prefix) < SHORT_SHA:
        return None
    such = select(_C.c.id.label("commit_id")).where(*begins(_C.c.sha, prefix))
    return None if await session.first(such.limit(1)) is None else such.subquery("named")


def by_author(name: str, of: Rows) -> ColumnElement[bool]:
    return func.lower(of.author).contains(name.lower(), autoescape=True)


def is_no_carrier(of: Rows) -> ColumnElement[bool]:
    return cast("ColumnElement[bool]", of.is_carrier.is_(False))


def has_delivery(of: Rows, *such: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a commit has such a delivery.

    By a question for each row. PostgreSQL makes a join of `EXISTS`, and then reads all deliveries that there are for
    the few commits that are looked at.
    """
    wanted = select(literal(1)).select_from(_D).where(_D.c.commit_id == of.id, *such).limit(1)
    return wanted.correlate_except(_D).scalar_subquery().is_not(None)


def _straight(
    conditions: Sequence[ColumnElement[bool]], among: Subquery | None, after: Key | None, limit: int
) -> Select[Any]:
    if among is None:
        return select(_C).where(*conditions, *_behind(after)).order_by(_C.c.at.desc(), _C.c.id.desc()).limit(limit)
    at = type_coerce(_C.c.at + literal_column("0"), Instant())  # or else SQLite goes through all commits in this order
    wanted = select(_C).join(among, among.c.commit_id == _C.c.id).where(*conditions, *_behind(after))
    return wanted.order_by(at.desc(), _C.c.id.desc()).limit(limit)


def _newest(conditions: Sequence[ColumnElement[bool]], after: Key | None) -> Select[Any]:
    """What an index answers in its order."""
    wanted = select(_C).where(*conditions, *_behind(after))
    return wanted.order_by(_C.c.at.desc(), _C.c.id.desc())


def _within(looked_at: Select[Any], costly: Sequence[Condition], window: int, limit: int) -> Select[Any]:
    """Ask of whole rows: to join them to their ids, PostgreSQL would look for what is wanted in all commits first."""
    inner = looked_at.limit(window).subquery("looked_at")
    wanted = select(inner).where(*(condition(inner.c) for condition in costly))
    return wanted.order_by(inner.c.at.desc(), inner.c.id.desc()).limit(limit)


def _behind(after: Key | None) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    return [tuple_(_C.c.at, _C.c.id) < tuple_(literal(after[0], Instant()), after[1])]


def _key(row: Row[Any]) -> Key:
    return row.at, CommitId(row.id)


def _read(cursor: str | None) -> Key | None:
    if cursor is None:
        return None
    micros, last = read_cursor(cursor, tuple[int, int])
    return from_micros(micros), CommitId(last)


def _write(key: Key) -> str:
    return write_cursor((to_micros(key[0]), key[1]))
