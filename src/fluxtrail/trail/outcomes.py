"""What a sync's outcome makes of the deliveries it carries: verdicts, latched moments, reverts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    CommitId,
    CommitRecord,
    DeliveryRecord,
    SyncRecord,
    TargetId,
    TargetRecord,
    Transition,
    TransitionKind,
)
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.ports import Unit
from fluxtrail.trail.rows import running_transition

replace = msgspec.structs.replace


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries a sync carries."""

    rows: list[DeliveryRecord]
    """Those of commits that it contains, and that are not deployed yet."""
    range_ids: list[CommitId]
    """Commits that get a row with scope unknown, if the sync ends well."""


def next_delivery(row: DeliveryRecord, sync: SyncRecord, *, now: datetime) -> DeliveryRecord:
    """Return what a delivery is, given the sync that contains its commit. Pure; the same answer however often asked.

    - Applied is set once, by the first sync that applied it, and kept if health fails then.
    - A sync that changed nothing leaves commits unaffected, unless an earlier attempt had applied them. Whether it
      did is known at its end only: what it seemed to apply until then is taken back, however often it was asked.
    - A new attempt reopens a failure; the same attempt's endless retries do not.
    """
    after = row
    if sync.applied is not None and row.applied_sync is None and not sync.is_unchanged:
        after = replace(after, applied_sync=sync.id)
    if sync.outcome is Outcome.SUCCEEDED:
        since = sync.succeeded.at if sync.succeeded else now
        if sync.is_unchanged and row.applied_sync in (None, sync.id):
            return replace(after, verdict=Verdict.UNAFFECTED, since=since, reason="", applied_sync=None)
        return replace(
            after,
            verdict=Verdict.DEPLOYED,
            since=since,
            reason="",
            applied_sync=after.applied_sync or sync.id,
            healthy_sync=after.healthy_sync or sync.id,
        )
    if row.verdict not in OPEN:
        return row
    if sync.outcome is Outcome.FAILED:
        failed_at = sync.failed.at if sync.failed else now
        return replace(after, verdict=Verdict.FAILED, since=failed_at, reason=sync.reason)
    if row.verdict is Verdict.FAILED:
        return replace(after, verdict=Verdict.PENDING, since=sync.started.at, reason="")
    return after


class Change(NamedTuple):
    """What a sync makes of one delivery."""

    before: DeliveryRecord
    after: DeliveryRecord
    sync: SyncRecord


async def apply_outcome(unit: Unit, target: TargetRecord, sync: SyncRecord, carried: Carried, *, now: datetime) -> None:
    """Write what became of the carried deliveries, with their history."""
    await keep_changes(unit, outcome_changes(target, sync, carried, now=now), now=now)


def outcome_changes(target: TargetRecord, sync: SyncRecord, carried: Carried, *, now: datetime) -> list[Change]:
    """Return what becomes of the carried deliveries; those that stay as they are are left out."""
    rows = list(carried.rows)
    if sync.outcome is Outcome.SUCCEEDED and not rows:
        rows += [
            DeliveryRecord(
                commit_id=commit, target_id=target.id, verdict=Verdict.PENDING, since=now, is_scope_unknown=True
            )
            for commit in carried.range_ids
        ]
    judged = judged_sync(sync, rows)
    return [Change(row, after, sync) for row in rows if (after := next_delivery(row, judged, now=now)) != row]


def judged_sync(sync: SyncRecord, rows: Sequence[DeliveryRecord]) -> SyncRecord:
    """Return a sync as it counts for what it carries.

    It may be the same as the last success, but not as what an attempt that failed since had made live.
    """
    if sync.is_unchanged and any(row.verdict in OPEN and row.applied_sync not in (None, sync.id) for row in rows):
        return replace(sync, is_unchanged=False)
    return sync


async def keep_changes(unit: Unit, changes: Sequence[Change], *, now: datetime) -> None:
    """Write changes of any number of targets, at most one sync of each, with their history."""
    if not changes:
        return
    await unit.put_deliveries([change.after for change in changes])
    await unit.add_transitions([item for before, after, sync in changes for item in _transitions(before, after, sync)])
    applied = [after for before, after, _ in changes if after.applied_sync != before.applied_sync]
    await _note_running(unit, changes)
    await _freeze_merge_times(unit, applied)
    await _mark_deployed_reverts(unit, [after for _, after, _ in changes if after.verdict is Verdict.DEPLOYED], now)


async def roll_back(unit: Unit, rows: Sequence[DeliveryRecord], sync: SyncRecord, *, now: datetime) -> None:
    """Deployed deliveries that the applied revision does not contain any more."""
    deployed = [row for row in rows if row.verdict is Verdict.DEPLOYED]
    if not deployed:
        return
    since = sync.succeeded.at if sync.succeeded else now
    await unit.put_deliveries([replace(row, verdict=Verdict.ROLLED_BACK, since=since) for row in deployed])
    await unit.add_transitions(
        [
            Transition(
                at=since,
                kind=TransitionKind.VERDICT,
                target_id=row.target_id,
                commit_id=row.commit_id,
                sync_id=sync.id,
                before=row.verdict.value,
                after=Verdict.ROLLED_BACK.value,
            )
            for row in deployed
        ]
    )


def _transitions(before: DeliveryRecord, after: DeliveryRecord, sync: SyncRecord) -> list[Transition]:
    found = []
    if after.applied_sync != before.applied_sync and sync.applied is not None:
        found.append(
            Transition(
                at=sync.applied.at,
                kind=TransitionKind.APPLIED,
                target_id=after.target_id,
                commit_id=after.commit_id,
                sync_id=sync.id,
                after=sync.revision,
            )
        )
    if after.verdict is not before.verdict or after.reason != before.reason:
        found.append(
            Transition(
                at=after.since,
                kind=TransitionKind.VERDICT,
                target_id=after.target_id,
                commit_id=after.commit_id,
                sync_id=sync.id,
                before=before.verdict.value,
                after=after.verdict.value,
                detail={"reason": after.reason} if after.reason else {},
            )
        )
    return found


async def _note_running(unit: Unit, changes: Sequence[Change]) -> None:
    """What a sync changed may run before it is known which commits that were.

    What was applied first and taken back, runs with the sync that brought it anew.
    """
    fresh = [
        (before, after)
        for before, after, _ in changes
        if (before.applied_sync, before.healthy_sync) != (after.applied_sync, after.healthy_sync)
    ]
    ids = {id_ for _, row in fresh for id_ in (row.applied_sync, row.healthy_sync) if id_ is not None}
    syncs = await unit.syncs(sorted(ids)) if ids else {}
    found: list[Transition] = []
    for before, row in fresh:
        applied = syncs.get(row.applied_sync) if row.applied_sync is not None else None
        brought, is_new = applied, row.applied_sync != before.applied_sync
        if applied is not None and applied.is_remediated and applied.running is None:
            brought = syncs.get(row.healthy_sync) if row.healthy_sync is not None else None
            is_new = row.healthy_sync != before.healthy_sync
        if brought is not None and brought.running is not None and is_new:
            found.append(running_transition(row, brought, brought.running.at))
    await unit.add_transitions(found)


async def _freeze_merge_times(unit: Unit, rows: Sequence[DeliveryRecord]) -> None:
    """A figure is made from these now: their merge time may not change under it."""
    ids = sorted({row.commit_id for row in rows} | {row.carrier_id for row in rows if row.carrier_id})
    commits = (await unit.commits_by_id(ids)).values()
    await unit.put_commits([replace(item, merged_is_final=True) for item in commits if not item.merged_is_final])


async def _mark_deployed_reverts(unit: Unit, deployed: Sequence[DeliveryRecord], now: datetime) -> None:
    commits = await unit.commits_by_id([row.commit_id for row in deployed])
    for row in deployed:
        reverter = commits.get(row.commit_id)
        if reverter is not None and reverter.reverts:
            await mark_undone(unit, row.target_id, [reverter], now=now)


async def mark_undone(unit: Unit, target_id: TargetId, reverters: Sequence[CommitRecord], *, now: datetime) -> None:
    """Say of what is deployed on a target that a commit it contains reverts it; a reverted revert is undone itself.

    Args:
        reverters: commits that the target contains now, affected by them or not, oldest first.
    """
    for reverter in reverters:
        for reverted in await _find_reverted(unit, reverter):
            await _clear_undone(unit, target_id, [reverted])
            row = (await unit.deliveries(target_id, [reverted.id])).get(reverted.id)
            if row is None or row.verdict is not Verdict.DEPLOYED or row.undone_by == reverter.id:
                continue
            await unit.put_deliveries([replace(row, undone_by=reverter.id)])
            await unit.add_transitions(
                [
                    Transition(
                        at=now,
                        kind=TransitionKind.UNDONE,
                        target_id=target_id,
                        commit_id=reverted.id,
                        after=reverter.sha,
                    )
                ]
            )


async def note_learnt_reverts(
    unit: Unit,
    reverters: Sequence[CommitRecord],
    find_target: Callable[[TargetId], TargetRecord | None],
    *,
    now: datetime,
) -> None:
    """Say what commits revert whose messages are read only now, on the targets that contain them already.

    A source commit may be delivered by its export before its own repository was looked at.
    """
    for reverter in reverters:
        undone = [commit.id for commit in await _find_reverted(unit, reverter)]
        rows = await unit.deliveries_of(undone)
        for target_id in sorted({row.target_id for row in rows if row.verdict is Verdict.DEPLOYED}):
            target = find_target(target_id)
            if target is not None and await _is_contained(unit, reverter, target):
                await mark_undone(unit, target_id, [reverter], now=now)


async def _is_contained(unit: Unit, reverter: CommitRecord, target: TargetRecord) -> bool:
    if target.applied_sha is None or target.repository_id is None or target.branch is None:
        return False
    here = await unit.chain_position(target.repository_id, target.branch, target.applied_sha)
    contained = await unit.reverters(target.repository_id, target.branch, after=0, through=here or 0)
    return any(commit.id == reverter.id for _, commit in contained)


async def drop_reverts(unit: Unit, target_id: TargetId, dropped: Sequence[CommitId]) -> None:
    """What commits undid that a target does not contain any more, is whole again."""
    await _clear_undone(unit, target_id, list((await unit.commits_by_id(dropped)).values()))


async def _find_reverted(unit: Unit, reverter: CommitRecord) -> list[CommitRecord]:
    return list((await unit.commits_by_sha(reverter.repository_id, list(reverter.reverts))).values())


async def _clear_undone(unit: Unit, target_id: TargetId, gone: Sequence[CommitRecord]) -> None:
    for reverter in gone:
        if not reverter.reverts:
            continue
        for reverted in await _find_reverted(unit, reverter):
            row = (await unit.deliveries(target_id, [reverted.id])).get(reverted.id)
            if row is not None and row.undone_by == reverter.id:
                await unit.put_deliveries([replace(row, undone_by=None)])
