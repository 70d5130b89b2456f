"""Syncs that ended while nobody watched, read from a Kustomization's `status.history`.

A snapshot names the last revision that gave its manifests, so a revision is found again only while no later one gave
the same. What was applied in between and left no snapshot of its own is carried by the next sync that did.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from fluxtrail.model.flux import Kustomization, Snapshot
from fluxtrail.model.moment import Evidence, Moment, bracket, exact
from fluxtrail.model.reasons import Outcome, revision_at_work
from fluxtrail.model.records import UNSAVED, Cause, SyncId, SyncRecord, TargetRecord
from fluxtrail.model.revision import find_revision, same_content

SUCCEEDED_STATUS = "ReconciliationSucceeded"
HEALTH_FAILED_STATUS = "HealthCheckFailed"

replace = msgspec.structs.replace


def find_missed(
    before: TargetRecord,
    last: SyncRecord | None,
    seen: Kustomization,
    *,
    not_before: datetime,
    sha_of: Callable[[str], str | None],
) -> list[SyncRecord]:
    """Return the syncs of other revisions than the applied one that ended after `not_before`, oldest first.

    Args:
        last: the newest sync as kept; continued where it is one of them.
        sha_of: what a revision is followed as.
    """
    missed: list[SyncRecord] = []
    kept = before
    open_sync = last if last is not None and last.outcome is not Outcome.SUCCEEDED else None
    now_known = (revision_at_work(seen), seen.last_applied)
    if open_sync is not None and any(same_content(open_sync.revision, revision) for revision in now_known):
        return []  # the attempt of the last look goes on, or has ended: nothing came in between
    for snapshot in sorted(_candidates(before, last, seen, not_before), key=_ended):
        assert snapshot.revision is not None
        goes_on = open_sync is not None and not missed and same_content(open_sync.revision, snapshot.revision)
        if goes_on and open_sync is not None and open_sync.failed and snapshot.status == HEALTH_FAILED_STATUS:
            continue  # known already, and perhaps failed otherwise since
        begun = open_sync if open_sync is not None and goes_on else _begin(kept, snapshot, seen, not_before)
        begun = replace(begun, sha=begun.sha or sha_of(snapshot.revision))
        sync = _end(begun, snapshot, seen, before, not_before)
        if sync.outcome is Outcome.SUCCEEDED:
            sync = replace(sync, is_unchanged=_is_unchanged(kept, snapshot, seen, not_before))
        missed.append(sync)
        if sync.outcome is Outcome.SUCCEEDED:
            kept = replace(kept, applied=snapshot.revision, applied_sha=sync.sha, applied_digest=snapshot.digest)
    return missed


def _candidates(
    before: TargetRecord, last: SyncRecord | None, seen: Kustomization, not_before: datetime
) -> list[Snapshot]:
    """Return the snapshots of what ended since the last look.

    The bound is the Ready condition of that look, by Flux's own clock: whatever had ended then, had ended by its time.
    """
    skipped = (before.applied, seen.last_applied, revision_at_work(seen))
    bound = before.phase_since or not_before
    until = _applied_until(seen)
    return [
        item
        for item in seen.history
        if item.status in (SUCCEEDED_STATUS, HEALTH_FAILED_STATUS)
        and item.revision is not None
        and find_revision(item.revision) is not None
        and item.first_reconciled is not None
        and item.last_reconciled is not None
        and (_ended(item) > bound or (_ended(item) == bound and _is_news(item, before, last)))
        and (until is None or _ended(item) <= until)
        and not any(same_content(item.revision, other) for other in skipped)
    ]


def _is_news(snapshot: Snapshot, before: TargetRecord, last: SyncRecord | None) -> bool:
    """True for a success in the very second of the last look that the look did not tell of."""
    told = [before.applied, last.previous if last else None]
    if last is not None and last.outcome is Outcome.SUCCEEDED:
        told.append(last.revision)
    is_told = any(same_content(snapshot.revision, revision) for revision in told)
    is_old = before.successes.get(snapshot.digest) == snapshot.total
    return snapshot.status == SUCCEEDED_STATUS and not is_told and not is_old


def _applied_until(seen: Kustomization) -> datetime | None:
    """Return the last success of the applied revision. A failure after it belongs to the attempt that follows."""
    times = [
        item.last_reconciled
        for item in seen.history
        if item.status == SUCCEEDED_STATUS and item.last_reconciled and same_content(item.revision, seen.last_applied)
    ]
    return max(times, default=None)


def _ended(snapshot: Snapshot) -> datetime:
    assert snapshot.last_reconciled is not None
    return snapshot.last_reconciled


def _begin(before: TargetRecord, snapshot: Snapshot, seen: Kustomization, not_before: datetime) -> SyncRecord:
    assert snapshot.revision is not None
    return SyncRecord(
        id=SyncId(UNSAVED),
        target_id=before.id,
        revision=snapshot.revision,
        sha=None,
        previous=before.applied,
        previous_sha=before.applied_sha,
        cause=Cause.REVISION,
        generation=seen.generation,
        outcome=Outcome.RUNNING,
        started=bracket(not_before, _ended(snapshot)),
    )


def _end(
    sync: SyncRecord, snapshot: Snapshot, seen: Kustomization, before: TargetRecord, not_before: datetime
) -> SyncRecord:
    moment = _moment(snapshot, before, not_before)
    if snapshot.status == HEALTH_FAILED_STATUS:
        return replace(
            sync,
            outcome=Outcome.FAILED,
            reason=HEALTH_FAILED_STATUS,
            failed=sync.failed or moment,
            applied=sync.applied or bracket(sync.started.not_before, moment.latest),
        )
    applied = sync.applied or (bracket(sync.started.not_before, moment.latest) if seen.has_checks else moment)
    return replace(
        sync,
        outcome=Outcome.SUCCEEDED,
        reason=SUCCEEDED_STATUS,
        message="",
        applied=applied,
        healthy=moment if seen.has_checks else None,
        succeeded=moment,
        failed=None,
        manifests_digest=snapshot.digest,
    )


def _moment(snapshot: Snapshot, before: TargetRecord, not_before: datetime) -> Moment:
    """One success dates itself; of several the first with this revision lies somewhere between.

    A failure is never dated: one of another kind may have come before it, and left no snapshot.
    """
    assert snapshot.first_reconciled is not None
    if snapshot.status == HEALTH_FAILED_STATUS:
        return bracket(not_before, _ended(snapshot))
    if is_single(snapshot, before, since=not_before):
        return exact(_ended(snapshot), Evidence.STATUS_HISTORY)
    return bracket(max(snapshot.first_reconciled, not_before), _ended(snapshot))


def is_single(snapshot: Snapshot, before: TargetRecord, *, since: datetime) -> bool:
    """True if manifests have succeeded once since the last look: for the first time, or once more than was counted.

    Those that were dropped from the history, and came back, are counted anew.
    """
    was_there = snapshot.first_reconciled is not None and snapshot.first_reconciled < since
    return snapshot.total == 1 or (was_there and snapshot.total == before.successes.get(snapshot.digest, 0) + 1)


def _is_unchanged(before: TargetRecord, snapshot: Snapshot, seen: Kustomization, not_before: datetime) -> bool:
    """True if manifests and spec were the same before, and the history shows that no others succeeded in between."""
    if snapshot.digest != before.applied_digest or seen.generation != before.applied_generation:
        return False
    return all(
        has_rested(item, before, since=not_before) or _came_once_after(item, before, _ended(snapshot))
        for item in other_successes(seen, snapshot.digest)
    )


def _came_once_after(item: Snapshot, before: TargetRecord, ended: datetime) -> bool:
    """True if manifests succeeded only after `ended`: they are new since, or came back once, and last of all."""
    if item.first_reconciled is not None and item.first_reconciled > ended:
        return True
    had = before.successes.get(item.digest)
    is_later = item.last_reconciled is not None and item.last_reconciled > ended
    return had is not None and item.total == had + 1 and is_later


def has_rested(item: Snapshot, before: TargetRecord, *, since: datetime) -> bool:
    """True if manifests have not succeeded again since the last look."""
    is_older = item.last_reconciled is not None and item.last_reconciled < since
    return is_older or before.successes.get(item.digest) == item.total


def other_successes(seen: Kustomization, digest: str) -> list[Snapshot]:
    return [item for item in seen.history if item.status == SUCCEEDED_STATUS and item.digest != digest]


def successes_of(seen: Kustomization) -> dict[str, int]:
    """Return how often each of the manifests in the history has succeeded, by digest."""
    return {item.digest: item.total for item in seen.history if item.status == SUCCEEDED_STATUS}
