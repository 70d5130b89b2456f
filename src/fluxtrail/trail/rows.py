"""Deliveries as they begin, and what is kept of a commit or a delivery that is there already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.records import (
    CommitId,
    CommitRecord,
    DeliveryRecord,
    SyncRecord,
    TargetId,
    Transition,
    TransitionKind,
)
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.merged import better
from fluxtrail.trail.ports import Unit

replace = msgspec.structs.replace

REPLACEABLE = frozenset({Verdict.LOST, Verdict.UNAFFECTED, Verdict.ABANDONED})
"""Verdicts that a commit which comes (back) into scope leaves behind."""


def pending_rows(
    commit: CommitRecord, target_id: TargetId, sources: Sequence[CommitId], now: datetime
) -> list[DeliveryRecord]:
    """Return the deliveries of a commit and of the source commits that it carries to a target, as they begin."""
    since = commit.merged.at if commit.merged else now
    own = DeliveryRecord(commit_id=commit.id, target_id=target_id, verdict=Verdict.PENDING, since=since)
    carried = [replace(own, commit_id=source, carrier_id=commit.id) for source in sources if source != commit.id]
    return [own, *carried]


def reconcile(there: CommitRecord | None, found: CommitRecord) -> CommitRecord:
    """Return a commit with the best of what was known and what was found; a merge time never gets worse."""
    if there is None:
        return found
    return replace(
        found,
        id=there.id,
        merged=there.merged if there.merged_is_final else better(there.merged, found.merged),
        merged_is_final=there.merged_is_final,
        is_carrier=there.is_carrier or found.is_carrier,
    )


async def keep_rows(unit: Unit, rows: Sequence[DeliveryRecord], *, only_known: bool = False) -> None:
    """Keep new pending rows; a row that is there already stays, unless its end no longer holds."""
    by_target: defaultdict[TargetId, list[DeliveryRecord]] = defaultdict(list)
    for row in rows:
        by_target[row.target_id].append(row)
    fresh: list[DeliveryRecord] = []
    for target_id, mine in by_target.items():
        there = await unit.deliveries(target_id, [row.commit_id for row in mine])
        for row in mine:
            known = there.get(row.commit_id)
            if known is None:
                fresh += [] if only_known else [row]
            elif known.verdict in REPLACEABLE or (known.carrier_id != row.carrier_id and known.verdict in OPEN):
                fresh.append(replace(known, verdict=Verdict.PENDING, since=row.since, carrier_id=row.carrier_id))
    await unit.put_deliveries(fresh)


def verdict_transition(row: DeliveryRecord, after: Verdict, at: datetime, **detail: str) -> Transition:
    return Transition(
        at=at,
        kind=TransitionKind.VERDICT,
        target_id=row.target_id,
        commit_id=row.commit_id,
        before=row.verdict.value,
        after=after.value,
        detail=detail,
    )


def running_transition(row: DeliveryRecord, sync: SyncRecord, at: datetime) -> Transition:
    """Say that what a sync applied of a commit runs.

    Args:
        sync: `row.applied_sync`.
    """
    return Transition(
        at=at,
        kind=TransitionKind.RUNNING,
        target_id=row.target_id,
        commit_id=row.commit_id,
        sync_id=sync.id,
        after=sync.revision,
    )
