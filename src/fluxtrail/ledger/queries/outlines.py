"""What of a commit's trail costs little: its verdicts, and where only its exports have any."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import except_, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.records import CommitId, TargetId
from fluxtrail.model.standing import Outline

_C = schema.commits


async def read_outlines(session: Session, situation: Situation, ids: Sequence[CommitId]) -> dict[CommitId, Outline]:
    """Return the verdicts of these commits, without what it takes to show them: a quarter of what a trail costs.

    Of targets where only their carriers have rows nothing is worked out: those have an empty verdict.
    """
    table, exports, to = schema.deliveries.c, schema.exports.c, schema.repository_exports.c
    exporting = {row.source_repository_id for row in await session.all(select(to.source_repository_id).distinct())}
    found: dict[CommitId, Outline] = {}
    for chunk in chunks(list(dict.fromkeys(ids))):
        verdicts: dict[CommitId, list[tuple[str, str, str]]] = {id_: [] for id_ in chunk}
        own = select(table.commit_id, table.target_id, table.verdict).where(table.commit_id.in_(chunk))
        for row in await session.all(own):
            verdicts[row.commit_id].append(_outlined(situation, row.target_id, row.verdict.value))
        carriers: dict[CommitId, list[CommitId]] = {}
        for row in await session.all(select(exports.source_id, exports.carrier_id).where(exports.source_id.in_(chunk))):
            carriers.setdefault(row.source_id, []).append(row.carrier_id)
        for id_, theirs in carriers.items():
            verdicts[id_] += [_outlined(situation, target, "") for target in await only_theirs(session, id_, theirs)]
        for row in await session.all(select(_C.c.id, _C.c.repository_id, _C.c.is_carrier).where(_C.c.id.in_(chunk))):
            found[row.id] = Outline(
                repository=situation.canonical(row.repository_id),
                is_carrier=row.is_carrier,
                awaits_export=row.repository_id in exporting and not row.is_carrier and row.id not in carriers,
                verdicts=tuple(verdicts[row.id]),
            )
    return found


def _outlined(situation: Situation, target_id: TargetId, verdict: str) -> tuple[str, str, str]:
    target = situation.targets[target_id]
    return situation.cluster_name(target.cluster), str(target.key), verdict


async def only_theirs(session: Session, commit: CommitId, carriers: Sequence[CommitId]) -> list[TargetId]:
    """Return where carriers have rows and the commit has none: mostly nowhere, which two indexes tell."""
    table = schema.deliveries.c
    theirs = select(table.target_id).where(table.commit_id.in_(carriers))
    own = select(table.target_id).where(table.commit_id == commit)
    return [TargetId(row.target_id) for row in await session.all(except_(theirs, own))]
