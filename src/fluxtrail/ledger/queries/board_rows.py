"""Which commits stand on a page of the board, and which targets it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Select, exists, func, literal, or_, select, tuple_

from fluxtrail.ledger import schema
from fluxtrail.ledger.columns import Instant, from_micros, to_micros
from fluxtrail.ledger.queries.pages import bounded, read_cursor, write_cursor
from fluxtrail.ledger.queries.resolving import repositories_named
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session
from fluxtrail.model.records import TargetId, TargetRecord
from fluxtrail.model.verdict import Verdict

LOOKED_AT = 5000
"""So many commits are gone through for one page; then it comes short, with a cursor."""

_C = schema.commits
_D = schema.deliveries


class BoardFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a board is narrowed to; None for everything."""

    repository: str | None = None
    """Its canonical name, or the end of it."""
    author: str | None = None
    """A part of the name, in any letter case."""
    service: str | None = None
    """A part of a target's name or path, in any letter case."""
    environment: str | None = None
    cluster: str | None = None
    """A name or a uid."""
    verdict: Verdict | None = None
    """That the commit has on one of the targets looked at."""
    text: str | None = None
    """A part of the subject in any letter case, or the beginning of the sha."""
    since: datetime | None = None
    until: datetime | None = None
    """Merged before this."""
    carriers: bool = False

    @property
    def names_targets(self) -> bool:
        """Whether only commits that some targets have are wanted."""
        return any(name is not None for name in (self.service, self.environment, self.cluster))

    def admits(self, target: TargetRecord, cluster: str) -> bool:
        """True for a target that is looked at, whatever its environment."""
        if self.cluster is not None and self.cluster not in (target.cluster, cluster):
            return False
        part = self.service.lower() if self.service is not None else ""
        return part in str(target.key).lower() or part in target.path.lower()


async def choose_commits(
    session: Session,
    situation: Situation,
    wanted: BoardFilter,
    targets: Sequence[TargetId] | None,
    *,
    limit: int,
    cursor: str | None,
) -> tuple[Sequence[Row[Any]], str | None]:
    """Return rows of `commits`, the last merged first, and the cursor behind them.

    Args:
        targets: only commits with a stored delivery on one of these.
    """
    limit = bounded(limit)
    looked_at = _newest(situation, wanted, cursor)
    inner = looked_at.limit(LOOKED_AT).subquery()
    statement = (
        select(_C)
        .join(inner, inner.c.id == _C.c.id)
        .where(*_conditions(wanted, session, targets))
        .order_by(inner.c.at.desc(), inner.c.id.desc())
        .limit(limit + 1)
    )
    found = await session.all(statement)
    if len(found) > limit:
        return found[:limit], write_cursor((to_micros(found[limit - 1].at), found[limit - 1].id))
    last = await session.first(looked_at.offset(LOOKED_AT - 1).limit(1))
    return found, write_cursor((to_micros(last.at), last.id)) if last is not None else None


def _newest(situation: Situation, wanted: BoardFilter, cursor: str | None) -> Select[Any]:
    """What an index answers in its order."""
    newest = select(_C.c.id, _C.c.at).order_by(_C.c.at.desc(), _C.c.id.desc())
    if cursor is not None:
        micros, last = read_cursor(cursor, tuple[int, int])
        newest = newest.where(tuple_(_C.c.at, _C.c.id) < tuple_(literal(from_micros(micros), Instant()), last))
    if wanted.repository is not None:
        newest = newest.where(_C.c.repository_id.in_(repositories_named(situation, wanted.repository)))
    if wanted.since is not None:
        newest = newest.where(_C.c.at >= wanted.since)
    if wanted.until is not None:
        newest = newest.where(_C.c.at < wanted.until)
    return newest


def _conditions(wanted: BoardFilter, session: Session, targets: Sequence[TargetId] | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if not wanted.carriers:
        conditions.append(_C.c.is_carrier.is_(False))
    if wanted.author is not None:
        conditions.append(func.lower(_C.c.author).contains(wanted.author.lower(), autoescape=True))
    if wanted.text is not None:
        text = wanted.text.lower()
        subject = func.lower(_C.c.subject).contains(text, autoescape=True)
        conditions.append(or_(subject, _C.c.sha.startswith(text, autoescape=True)))
    if targets is not None or wanted.verdict is not None:
        conditions.append(_has_delivery(wanted, session, targets))
    return conditions


def _has_delivery(wanted: BoardFilter, session: Session, targets: Sequence[TargetId] | None) -> ColumnElement[bool]:
    having = [_D.c.commit_id == _C.c.id]
    if wanted.verdict is not None:
        having.append(_D.c.verdict == wanted.verdict)
    if targets is not None:
        table = session.dialect.key_table([(0, target) for target in targets]).cte("looked_at")
        having.append(_D.c.target_id.in_(select(table.c.target_id)))
    return exists().where(*having)
