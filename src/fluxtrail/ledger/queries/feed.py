"""The history as a feed: what was written behind an id, with the names of what it is about."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, func, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.pages import bounded
from fluxtrail.ledger.session import Session
from fluxtrail.model.feed import FeedItem, FeedPage

_T, _C, _R = schema.transitions, schema.commits, schema.repositories
_G, _K, _S = schema.targets, schema.clusters, schema.syncs


async def read_feed(session: Session, *, after: int | None, limit: int) -> FeedPage:
    """Return what came behind the id `after`; for None nothing yet, and where the end is.

    An id that something was forgotten behind, or that was never given, is answered by a reset: nothing can be
    said to have been missed or not.
    """
    safe = await newest_safe_id(session)
    if after is None:
        return FeedPage(items=[], last_id=safe)
    wanted = _named().where(_T.c.id > after, _T.c.id <= safe).order_by(_T.c.id).limit(bounded(limit))
    items = [_item_of(row) for row in await session.all(wanted)]
    # Asked last: what is forgotten while we read is noticed too, whatever the engine's snapshots are like.
    if after > safe or await _is_forgotten(session, after):
        return FeedPage(items=[], last_id=safe, is_reset=True)
    return FeedPage(items=items, last_id=items[-1].id if items else after)


async def newest_safe_id(session: Session) -> int:
    """Return the newest id below which no other can appear any more; 0 in an empty history.

    Ids are committed in their order on every engine (`Dialect.reserve_ids`), so that is the largest one.
    """
    return int(await session.scalar(select(func.max(_T.c.id))) or 0)


async def _is_forgotten(session: Session, after: int) -> bool:
    """True if retention may have taken something behind `after`. Before its first bite, gaps mean nothing."""
    if await session.scalar(select(schema.meta.c.pruned_before)) is None:
        return False
    oldest = await session.scalar(select(func.min(_T.c.id)))
    return oldest is not None and after < oldest - 1


def _named() -> Select[Any]:
    return (
        select(
            _T,
            _C.c.sha,
            _C.c.subject,
            _R.c.canonical,
            _G.c.cluster.label("cluster_uid"),
            _G.c.kind.label("target_kind"),
            _G.c.namespace.label("target_namespace"),
            _G.c.name.label("target_name"),
            _K.c.name.label("cluster_name"),
            _S.c.revision,
        )
        .outerjoin(_C, _C.c.id == _T.c.commit_id)
        .outerjoin(_R, _R.c.id == _C.c.repository_id)
        .outerjoin(_G, _G.c.id == _T.c.target_id)
        .outerjoin(_K, _K.c.uid == _G.c.cluster)
        .outerjoin(_S, _S.c.id == _T.c.sync_id)
    )


def _item_of(row: Row[Any]) -> FeedItem:
    has_target = row.target_kind is not None
    return FeedItem(
        id=row.id,
        at=row.at,
        kind=row.kind.value,
        before=row.before,
        after=row.after,
        detail=row.detail,
        sha=row.sha,
        subject=row.subject,
        repository=row.canonical or row.detail.get("repository"),
        cluster=row.cluster_name or row.cluster_uid,
        cluster_uid=row.cluster_uid,
        target=f"{row.target_kind}/{row.target_namespace}/{row.target_name}" if has_target else None,
        target_id=row.target_id,
        revision=row.revision,
    )
