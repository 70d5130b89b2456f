"""What events say besides what telemetry tells: whether something was there before, and what was built of a commit."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, or_, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.records import Cause, CommitId, SyncId
from fluxtrail.model.telling import BuiltImage

_S, _I, _C, _R = schema.syncs, schema.images, schema.commits, schema.repositories
_EARLIER = schema.syncs.alias("earlier")


async def first_syncs(session: Session, ids: Sequence[SyncId]) -> set[SyncId]:
    """Return those of them before which nothing was applied on their target, as far as anybody knows."""
    was_there = or_(_EARLIER.c.applied.is_not(None), _EARLIER.c.cause == Cause.BASELINE)
    earlier = exists().where(_EARLIER.c.target_id == _S.c.target_id, _EARLIER.c.id < _S.c.id, was_there)
    found: set[SyncId] = set()
    for chunk in chunks(list(dict.fromkeys(ids))):
        wanted = select(_S.c.id).where(_S.c.id.in_(chunk), _S.c.cause != Cause.BASELINE, ~earlier)
        found.update(SyncId(row.id) for row in await session.all(wanted))
    return found


async def built_images(session: Session, ids: Sequence[CommitId]) -> dict[CommitId, BuiltImage]:
    """Return the image that was built from each commit, where there is one and not several."""
    found: dict[CommitId, list[BuiltImage]] = {}
    for chunk in chunks(list(dict.fromkeys(ids))):
        wanted = (
            select(_C.c.id, _I.c.repository, _I.c.digest)
            .join(_R, _R.c.id == _C.c.repository_id)
            .join(_I, (_I.c.revision == _C.c.sha) & (_I.c.source == _R.c.canonical))
            .where(_C.c.id.in_(chunk), _I.c.digest == _I.c.head)
        )
        for row in await session.all(wanted):
            image = BuiltImage(repository=row.repository, digest=row.digest)
            found.setdefault(CommitId(row.id), []).append(image)
    return {id_: images[0] for id_, images in found.items() if len(images) == 1}
