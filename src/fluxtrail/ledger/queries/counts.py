"""The numbers behind the gauges."""

from datetime import datetime

import msgspec
from sqlalchemy import func, select, text

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.queries.targets import on_its_way
from fluxtrail.ledger.session import Session
from fluxtrail.model.records import Attribution


class Inflight(msgspec.Struct, frozen=True, kw_only=True):
    """What is on its way to one live target now; there is one for every target, so that a series can return to 0."""

    cluster: str
    namespace: str
    name: str
    kind: str
    commits: int
    """Pending deliveries that are stored, whatever they wait for."""
    failed: int
    oldest_since: datetime | None
    """When the oldest pending commit was merged; what waits by somebody's will does not count."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    inflight: list[Inflight]
    attribution_pending: int
    attribution_gaps: int


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
        inflight=inflight,
        attribution_pending=await session.scalar(behind.where(syncs.c.attribution != Attribution.GAP)) or 0,
        attribution_gaps=await session.scalar(gaps) or 0,
    )
