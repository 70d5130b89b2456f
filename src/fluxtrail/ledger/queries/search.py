"""A search for whatever a text may mean: what people type where they do not know which list it is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.board_rows import BoardFilter, choose_commits
from fluxtrail.ledger.queries.resolving import resolve
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session
from fluxtrail.model.records import TargetRecord
from fluxtrail.model.views import FoundView

_C = schema.commits


async def search(session: Session, situation: Situation, text: str, *, limit: int) -> list[FoundView]:
    """Return commits, targets and clusters, so many of each at most, in this order and the best first in each.

    A commit is meant by all that a trail understands, then by a part of its subject; targets and clusters by a part of
    their names, in any letter case.
    """
    wanted = text.strip()
    if not wanted:
        return []
    commits = [_commit(situation, row) for row in await _commits(session, situation, wanted, limit)]
    return commits + _targets(situation, wanted.lower(), limit) + _clusters(situation, wanted.lower(), limit)


async def _commits(session: Session, situation: Situation, text: str, limit: int) -> Sequence[Row[Any]]:
    meant = [match.commit_id for match in await resolve(session, situation, text)][:limit]
    exact = await session.all(select(_C).where(_C.c.id.in_(meant))) if meant else []
    named = BoardFilter(text=text, carriers=True)
    found, _ = await choose_commits(session, situation, named, None, limit=limit, cursor=None)
    rows = {row.id: row for row in [*sorted(exact, key=lambda row: meant.index(row.id)), *found]}
    return list(rows.values())[:limit]


def _commit(situation: Situation, row: Row[Any]) -> FoundView:
    return FoundView(kind="commit", name=row.subject, where=situation.canonical(row.repository_id), key=row.sha)


def _targets(situation: Situation, text: str, limit: int) -> list[FoundView]:
    def order(target: TargetRecord) -> tuple[bool, str, str, str]:
        name = target.key.name.lower()
        return not name.startswith(text), name, target.key.namespace, situation.cluster_name(target.cluster)

    live = (target for target in situation.targets.values() if target.deleted_at is None)
    found = sorted((target for target in live if text in str(target.key).lower()), key=order)[:limit]
    return [
        FoundView(kind="target", name=str(target.key), where=situation.cluster_name(target.cluster), key=str(target.id))
        for target in found
    ]


def _clusters(situation: Situation, text: str, limit: int) -> list[FoundView]:
    found = []
    for uid, name in sorted(situation.names.items(), key=lambda entry: entry[1]):
        if text in name.lower() or text == uid:
            live = sum(target.cluster == uid and target.deleted_at is None for target in situation.targets.values())
            found.append(FoundView(kind="cluster", name=name, where=f"{live} targets", key=name))
    return found[:limit]
