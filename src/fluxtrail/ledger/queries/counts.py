"""Counts what is on its way, and how attribution stands."""

from sqlalchemy import func, select, text

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.images import count_images
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.queries.targets import on_its_way
from fluxtrail.ledger.queries.workloads import count_not_running
from fluxtrail.ledger.session import Session
from fluxtrail.model.counts import Counts, Inflight
from fluxtrail.model.records import Attribution


async def count(session: Session, situation: Situation) -> Counts:
    syncs = schema.syncs
    waiting = await on_its_way(session, situation, None)
    inflight = []
    for target in situation.targets.values():
        if target.deleted_at is not None:
            continue
        entry = waiting.get(target.id)
        inflight.append(
            Inflight(
                cluster=situation.cluster_name(target.cluster),
                namespace=target.key.namespace,
                name=target.key.name,
                kind=target.key.kind,
                commits=entry.pending if entry else 0,
                failed=entry.failed if entry else 0,
                oldest_since=entry.oldest_since if entry else None,
            )
        )
    behind = select(func.count()).select_from(syncs).where(text("attributed_version < version"))
    gaps = select(func.count()).select_from(syncs).where(text("attribution = 'gap'"))
    return Counts(
        not_running=await count_not_running(session, situation),
        images=await count_images(session, situation),
        inflight=inflight,
        attribution_pending=await session.scalar(behind.where(syncs.c.attribution != Attribution.GAP)) or 0,
        attribution_gaps=await session.scalar(gaps) or 0,
    )
