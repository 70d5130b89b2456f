"""Which deliveries were written, by whatever process: only kept where several may write."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import func, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.session import Session
from fluxtrail.model.records import CommitId, TargetId

FORGOTTEN_NOTE = "touches_forgotten"
"""The newest id that retention has taken."""

_T = schema.touches


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    keys: Sequence[tuple[CommitId, TargetId]]
    """(commit, target), the oldest write first."""
    last_id: int
    """Where to go on."""
    is_reset: bool = False
    """Some behind the id asked with are forgotten: look at everything anew, and go on from `last_id`."""


async def newest_touch(session: Session) -> int:
    """Return the id of the newest write, 0 for none that is remembered."""
    return int(await session.scalar(select(func.max(_T.c.id))) or 0) or await _forgotten(session)


async def read_touches(session: Session, *, after: int, limit: int) -> Touched:
    """Return what was written behind the id `after`."""
    if after < await _forgotten(session):
        return Touched(keys=[], last_id=await newest_touch(session), is_reset=True)
    found = await session.all(select(_T).where(_T.c.id > after).order_by(_T.c.id).limit(limit))
    return Touched(
        keys=[(CommitId(row.commit_id), TargetId(row.target_id)) for row in found],
        last_id=found[-1].id if found else after,
    )


async def _forgotten(session: Session) -> int:
    notes = schema.notes
    return int(await session.scalar(select(notes.c.value).where(notes.c.name == FORGOTTEN_NOTE)) or 0)
