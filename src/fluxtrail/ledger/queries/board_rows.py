"""Which commits stand on a page of the board, and which targets it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Subquery, func, or_, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.commit_walks import (
    Condition,
    Rows,
    by_author,
    commits_named,
    commits_with_few,
    has_delivery,
    is_no_carrier,
    walk_commits,
)
from fluxtrail.ledger.queries.resolving import repositories_named
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session
from fluxtrail.model.records import TargetId, TargetRecord
from fluxtrail.model.verdict import Verdict

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
        if self.service is None:
            return True
        part = self.service.lower()
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
    within = None if wanted.repository is None else repositories_named(situation, wanted.repository)
    conditions: list[ColumnElement[bool]] = [] if within is None else [_C.c.repository_id.in_(within)]
    if wanted.since is not None:
        conditions.append(_C.c.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(_C.c.at < wanted.until)
    there = [] if targets is None else [_is_on(session, targets)]
    few = None if wanted.verdict is None else await commits_with_few(session, wanted.verdict, within, *there)
    named = None if wanted.text is None else await commits_named(session, wanted.text)
    costly = _costly(wanted, there, few if named is None else None)
    among = few if named is None else named
    return await walk_commits(session, conditions, costly, among=among, limit=limit, cursor=cursor)


def _costly(wanted: BoardFilter, there: Sequence[ColumnElement[bool]], among: Subquery | None) -> list[Condition]:
    """Args:
    there: what says that a delivery is on one of the targets looked at; nothing for all of them.
    among: commits with such deliveries, where they are few.
    """
    conditions: list[Condition] = []
    if not wanted.carriers:
        conditions.append(is_no_carrier)
    if wanted.author is not None:
        conditions.append(partial(by_author, wanted.author))
    if wanted.text is not None:
        conditions.append(partial(_holds, wanted.text.lower()))
    such = [*there, *([] if wanted.verdict is None else [_D.c.verdict == wanted.verdict])]
    if such and among is None:
        conditions.append(lambda of: has_delivery(of, *such))
    return conditions


def _holds(text: str, of: Rows) -> ColumnElement[bool]:
    subject = func.lower(of.subject).contains(text, autoescape=True)
    return or_(subject, of.sha.startswith(text, autoescape=True))


def _is_on(session: Session, targets: Sequence[TargetId]) -> ColumnElement[bool]:
    table = session.dialect.key_table([(0, target) for target in targets]).cte("looked_at_targets")
    return _D.c.target_id.in_(select(table.c.target_id))
