"""Source commits of which it is learnt late what carries them: they came wherever their carrier is, and when it did.

Their deliveries become what they would be, had it been known when the carrier came. The history, and with it the
reports, tell of how they stand now, with the moments at which the carrier came there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from fluxtrail.model.moment import Moment
from fluxtrail.model.records import CommitId, CommitRecord, DeliveryRecord, SyncId, SyncRecord, TargetId
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.outcomes import Change, keep_changes
from fluxtrail.trail.ports import Unit
from fluxtrail.trail.rows import REPLACEABLE, verdict_transition

replace = msgspec.structs.replace

EARLIER_SYNCS = 16
"""Of a target, among which the one is looked for that failed, or rolled back."""


class _Step(NamedTuple):
    """What becomes of one delivery, and by which sync."""

    before: DeliveryRecord
    after: DeliveryRecord
    ended: SyncRecord | None
    """The sync that gave the verdict, where one did."""


async def deliver_all_late(
    unit: Unit, carried: Sequence[tuple[CommitRecord, Sequence[CommitRecord]]], *, now: datetime
) -> None:
    """Give source commits the deliveries of their carriers, in this order. Does nothing where that was done.

    Args:
        carried: carriers, each with its source commits.
    """
    carrying: defaultdict[CommitId, list[DeliveryRecord]] = defaultdict(list)
    for row in await unit.deliveries_of([carrier.id for carrier, _ in carried]):
        if row.carrier_id is None:
            carrying[row.commit_id].append(row)
    if not carrying:
        return
    carried = [(carrier, sources) for carrier, sources in carried if carrier.id in carrying]
    rows = [row for some in carrying.values() for row in some]
    sources_of_all = sorted({source.id for _, sources in carried for source in sources})
    there = {(row.commit_id, row.target_id): row for row in await unit.deliveries_of(sources_of_all)}
    syncs = await unit.syncs(sorted({id_ for row in rows for id_ in _syncs_of(row)}))
    ended = await _find_ended(unit, rows, syncs)
    steps: dict[tuple[CommitId, TargetId], _Step] = {}
    for carrier, sources in carried:
        for row in carrying[carrier.id]:
            for source in sources:
                key = source.id, row.target_id
                known = there.get(key)
                after = joined(known, row, source.id)
                if after is None:
                    continue
                if key in steps:  # with another carrier: one after the other
                    await _keep(unit, list(steps.values()), syncs, now=now)
                    steps.clear()
                steps[key] = _Step(known or _begun(after), after, ended.get((row.commit_id, row.target_id)))
                there[key] = after
    await _keep(unit, list(steps.values()), syncs, now=now)


def joined(known: DeliveryRecord | None, row: DeliveryRecord, source: CommitId) -> DeliveryRecord | None:
    """Return what a source commit's delivery is, given its carrier's on the same target; None: as it was. Pure.

    What it has is kept where that is an end of its own: it came with another carrier, or by itself. Of two carriers
    the later one decides, until one of them is there.
    """
    if known is None:
        return replace(row, commit_id=source, carrier_id=row.commit_id, undone_by=None)
    is_open = known.verdict in OPEN
    if known.carrier_id == row.commit_id or not (is_open or known.verdict in REPLACEABLE):
        return None
    if row.verdict in REPLACEABLE:
        return None
    if is_open and row.verdict is not Verdict.DEPLOYED and (known.carrier_id or 0) > row.commit_id:
        return None
    return replace(
        known,
        carrier_id=row.commit_id,
        verdict=row.verdict,
        since=row.since,
        reason=row.reason,
        applied_sync=known.applied_sync or row.applied_sync,
        healthy_sync=known.healthy_sync or row.healthy_sync,
    )


def _begun(row: DeliveryRecord) -> DeliveryRecord:
    return replace(row, verdict=Verdict.PENDING, reason="", applied_sync=None, healthy_sync=None)


def _syncs_of(row: DeliveryRecord) -> list[SyncId]:
    return [id_ for id_ in (row.applied_sync, row.healthy_sync) if id_ is not None]


async def _find_ended(
    unit: Unit, rows: Sequence[DeliveryRecord], syncs: Mapping[SyncId, SyncRecord]
) -> dict[tuple[CommitId, TargetId], SyncRecord]:
    """Return the syncs that gave deliveries their verdict, by (commit, target).

    Of a failure or a roll-back it is known by its moment.
    """
    found: dict[tuple[CommitId, TargetId], SyncRecord] = {}
    by_moment = [row for row in rows if row.verdict in (Verdict.FAILED, Verdict.ROLLED_BACK)]
    recent = await unit.recent_syncs_of(sorted({row.target_id for row in by_moment}), limit=EARLIER_SYNCS)
    for row in rows:
        ended: SyncRecord | None = None
        if row.verdict is Verdict.DEPLOYED:
            last = row.healthy_sync or row.applied_sync
            ended = syncs.get(last) if last is not None else None
        elif row.verdict in (Verdict.FAILED, Verdict.ROLLED_BACK):
            mine = reversed(recent.get(row.target_id, ()))
            ended = next((sync for sync in mine if _is_at(_end_of(sync, row.verdict), row.since)), None)
        if ended is not None:
            found[row.commit_id, row.target_id] = ended
    return found


def _end_of(sync: SyncRecord, verdict: Verdict) -> Moment | None:
    return sync.failed if verdict is Verdict.FAILED else sync.succeeded


def _is_at(moment: Moment | None, at: datetime) -> bool:
    return moment is not None and moment.at == at


async def _keep(unit: Unit, steps: Sequence[_Step], syncs: Mapping[SyncId, SyncRecord], *, now: datetime) -> None:
    """Write the deliveries with their history: first what was applied, then what became of it with a later sync."""
    changes: list[Change] = []
    later: list[Change] = []
    rest: list[tuple[DeliveryRecord, DeliveryRecord]] = []
    for before, after, ended in steps:
        is_applied = after.applied_sync is not None and after.applied_sync != before.applied_sync
        applied = syncs.get(after.applied_sync) if is_applied and after.applied_sync is not None else None
        if applied is not None and ended is not None and applied.id == ended.id:
            changes.append(Change(before, after, applied))
            continue
        reached = before
        if applied is not None:
            reached = replace(before, carrier_id=after.carrier_id, applied_sync=applied.id)
            changes.append(Change(before, reached, applied))
        if ended is not None:
            later.append(Change(reached, after, ended))
        elif reached != after or reached is before:
            rest.append((reached, after))
    await keep_changes(unit, changes, now=now)
    await keep_changes(unit, later, now=now)
    await unit.put_deliveries([after for _, after in rest])
    await unit.add_transitions(
        [
            verdict_transition(before, after.verdict, after.since)
            for before, after in rest
            if after.verdict is not before.verdict
        ]
    )
