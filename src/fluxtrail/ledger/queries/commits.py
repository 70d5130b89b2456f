"""Commits as they are shown, and the list of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Row, exists, func, literal, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.commit_walks import (
    Condition,
    Rows,
    by_author,
    commits_with_few,
    has_delivery,
    is_no_carrier,
    walk_commits,
)
from fluxtrail.ledger.queries.pages import Page
from fluxtrail.ledger.queries.resolving import repositories_named
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import CHUNK, Session
from fluxtrail.model.records import CommitId, TargetId
from fluxtrail.model.verdict import WAITING_BY_WILL, Verdict
from fluxtrail.model.views import CommitView

_C = schema.commits
_D = schema.deliveries


async def list_commits(
    session: Session,
    situation: Situation,
    *,
    now: datetime,
    repository: str | None,
    branch: str | None,
    author: str | None,
    verdict: Verdict | None,
    since: datetime | None,
    carriers: bool,
    limit: int,
    cursor: str | None,
) -> Page[CommitView]:
    """Return commits, the last merged first; so many are gone through for one page (`commit_walks.py`)."""
    within = None if repository is None else repositories_named(situation, repository)
    conditions: list[ColumnElement[bool]] = [] if within is None else [_C.c.repository_id.in_(within)]
    if since is not None:
        conditions.append(_C.c.at >= since)
    costly: list[Condition] = []
    if branch is not None:
        costly.append(partial(_stands_on, branch))
    if author is not None:
        costly.append(partial(by_author, author))
    if not carriers:
        costly.append(is_no_carrier)
    among = None if verdict is None else await commits_with_few(session, verdict, within)
    if verdict is not None and among is None:
        costly.append(lambda of: has_delivery(of, _D.c.verdict == verdict))
    found, following = await walk_commits(session, conditions, costly, among=among, limit=limit, cursor=cursor)
    return Page(items=await commit_views(session, situation, found, now=now), next=following)


def _stands_on(branch: str, of: Rows) -> ColumnElement[bool]:
    links, chains = schema.links, schema.chains
    wanted = select(literal(1)).select_from(links.join(chains, chains.c.id == links.c.chain_id))
    wanted = wanted.where(
        links.c.commit_id == of.id,
        links.c.cut_at.is_(None),
        chains.c.repository_id == of.repository_id,
        chains.c.branch == branch,
    )
    return wanted.correlate_except(links, chains).limit(1).scalar_subquery().is_not(None)


class Tally(Protocol):
    """How many deliveries of commits are how, where somebody has counted them already."""

    counts: dict[CommitId, dict[str, int]]
    pending: dict[CommitId, list[TargetId]]


async def commit_views(
    session: Session, situation: Situation, found: Sequence[Row[Any]], *, now: datetime, tally: Tally | None = None
) -> list[CommitView]:
    """Return the views of rows of `commits`, in their order."""
    counts = tally.counts if tally else await _counts(session, [row.id for row in found])
    pending = [row.id for row in found if counts.get(row.id, {}).get(Verdict.PENDING.value)]
    waiting = await _waiting(session, situation, pending, tally.pending if tally else None)
    return [
        CommitView(
            sha=row.sha,
            repository=situation.canonical(row.repository_id),
            subject=row.subject,
            author=row.author,
            committed_at=row.committed_at,
            merged=row.merged,
            pull_request=row.pull_request,
            is_carrier=row.is_carrier,
            web_url=situation.commit_url(row.repository_id, row.sha),
            verdicts=counts.get(row.id, {}),
            oldest_pending_seconds=max((now - row.at).total_seconds(), 0.0) if row.id in waiting else None,
            build_state=row.build_state.value if row.build_state else None,
        )
        for row in found
    ]


async def _counts(session: Session, commits: Sequence[CommitId]) -> Mapping[CommitId, dict[str, int]]:
    wanted = (
        select(_D.c.commit_id, _D.c.verdict, func.count().label("number"))
        .where(session.dialect.among(_D.c.commit_id, commits))
        .group_by(_D.c.commit_id, _D.c.verdict)
    )
    counts: dict[CommitId, dict[str, int]] = {}
    for row in await session.all(wanted):
        counts.setdefault(row.commit_id, {})[row.verdict.value] = row.number
    return counts


async def _waiting(
    session: Session,
    situation: Situation,
    commits: Sequence[CommitId],
    pending: Mapping[CommitId, Sequence[TargetId]] | None,
) -> set[CommitId]:
    """The commits that are pending somewhere though nobody wants them to wait.

    Args:
        pending: where they are; None where that was not read.
    """
    if not commits:
        return set()
    by_will = {target.id: situation.waits_by_will(target) for target in situation.targets.values()}
    if pending is None:
        special = [id_ for id_, wills in by_will.items() if wills is not False]
        waiting = await _waiting_outside(session, commits, special)
    else:
        waiting = {commit for commit in commits if any(by_will[target] is False for target in pending[commit])}
    left = [commit for commit in commits if commit not in waiting]
    wanted = select(_D.c.commit_id, _D.c.carrier_id, _D.c.target_id).where(
        _D.c.commit_id.in_(left), _D.c.verdict == Verdict.PENDING
    )
    unclear = [row for row in (await session.all(wanted) if left else ()) if by_will[row.target_id] is None]
    await situation.locate(situation.targets[row.target_id] for row in unclear)
    places = await situation.standing([row.carrier_id or row.commit_id for row in unclear])
    for row in unclear:
        target = situation.targets[row.target_id]
        branch = situation.branch_of(target)
        position = places.get(row.carrier_id or row.commit_id, {}).get(branch) if branch else None
        if situation.reason(target, position=position, sha="") not in WAITING_BY_WILL:
            waiting.add(row.commit_id)
    return waiting


async def _waiting_outside(session: Session, commits: Sequence[CommitId], special: list[TargetId]) -> set[CommitId]:
    """Those of `commits` that are pending on a target that is none of `special`."""
    pending = exists().where(_D.c.commit_id == _C.c.id, _D.c.verdict == Verdict.PENDING)
    if len(special) <= CHUNK:
        pending = pending.where(_D.c.target_id.not_in(special))
        found = await session.all(select(_C.c.id).where(_C.c.id.in_(commits), pending))
        return {row.id for row in found}
    wanted = select(_D.c.commit_id, _D.c.target_id).where(_D.c.commit_id.in_(commits), _D.c.verdict == Verdict.PENDING)
    apart = set(special)
    return {row.commit_id for row in await session.all(wanted) if row.target_id not in apart}
