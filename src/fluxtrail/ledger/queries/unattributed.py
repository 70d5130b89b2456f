"""Syncs of which it will be known in a moment what they carried: until then, what seems lost may have arrived."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, text

from fluxtrail.ledger import schema
from fluxtrail.ledger.session import Session

ATTRIBUTED_WITHIN = timedelta(minutes=10)


async def find_unattributed(session: Session, now: datetime) -> frozenset[int]:
    """Return the targets with syncs of which it will be known in a moment what they carried.

    What cannot be read now, or waits for longer than `ATTRIBUTED_WITHIN`, is not waited for.
    """
    return frozenset(
        row.target_id for row in await session.all(_UNATTRIBUTED.where(_S.started_at > now - ATTRIBUTED_WITHIN))
    )


async def find_all_unattributed(session: Session) -> frozenset[int]:
    """The same, however long they have waited."""
    return frozenset(row.target_id for row in await session.all(_UNATTRIBUTED))


_S = schema.syncs.c
_UNATTRIBUTED = (
    select(_S.target_id).distinct().where(text("attributed_version < version"), _S.attribution_problem.is_(None))
)
