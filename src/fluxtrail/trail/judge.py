"""What a Kustomization's status says happened, compared with what the ledger held: a pure decision.

    (target and newest sync as kept, object as seen, how it was seen) -> (target, syncs)

The order of Flux's status writes that this reads (seen on kustomize-controller 1.9): Reconciling `Fetching manifests
for revision R`; `lastAttemptedRevision` before the build; Reconciling `Running health checks for revision R` once R is
applied; Ready=True `Applied revision: R`; and only then, in a write of its own, `lastAppliedRevision` with the history.
A failure is Ready=False, retried for ever.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from fluxtrail.model.flux import Condition, Kustomization, Snapshot
from fluxtrail.model.moment import Evidence, Moment, Precision, bracket, exact, observed
from fluxtrail.model.reasons import (
    HEALTH_CHECKS,
    Outcome,
    Work,
    names_success_of,
    outcome_of,
    revision_at_work,
    work_of,
)
from fluxtrail.model.records import UNSAVED, Attribution, Cause, SyncId, SyncRecord, TargetRecord
from fluxtrail.model.revision import same_content
from fluxtrail.trail.judgement import Judgement, Look, grown, note_success
from fluxtrail.trail.missed import SUCCEEDED_STATUS, find_missed, has_rested, is_single, other_successes, successes_of

replace = msgspec.structs.replace


class _Span(NamedTuple):
    first: datetime
    last: datetime
    snapshot: Snapshot


def judge(before: TargetRecord, last: SyncRecord | None, seen: Kustomization, look: Look) -> Judgement:
    """Return what became of a target and its syncs.

    Args:
        before: the target as kept; its spec fields are already those of `seen` (see `follower`).
        last: the newest sync of the target as kept.
    """
    kept = last
    target = _refresh(before, seen, look)
    syncs = _judge_missed(before, last, seen, look)
    if syncs:
        before, last = _after(before, syncs), syncs[-1]
    finished = _judge_applied(before, last, seen, look)
    dated = _date_again(before, last, seen, look) if finished is None else None
    if finished is not None:
        syncs.append(finished)
        target = note_success(target, finished, applied=seen.last_applied, generation=seen.generation)
    elif dated is not None:
        syncs.append(dated)
    newest = finished or dated or last
    working = _judge_attempt(target, newest, seen, look, since=before.observed_at)
    if working is not None:
        syncs.append(working)
    return Judgement(target=target, syncs=grown(syncs, kept))


def _refresh(before: TargetRecord, seen: Kustomization, look: Look) -> TargetRecord:
    ready = seen.find_condition("Ready")
    return replace(
        before,
        attempted=seen.last_attempted,
        attempted_sha=look.sha_of(seen.last_attempted),
        successes=successes_of(seen),
        phase=outcome_of(ready),
        reason=ready.reason if ready else "",
        message=ready.message if ready else "",
        phase_since=ready.changed_at if ready else None,
        observed_at=look.observed_at,
    )


# -- what ended while nobody watched ----------------------------------------------------------------------------


def _judge_missed(before: TargetRecord, last: SyncRecord | None, seen: Kustomization, look: Look) -> list[SyncRecord]:
    if look.was_held or look.not_before is None or before.awaits_baseline or before.applied is None:
        return []
    return find_missed(before, last, seen, not_before=look.not_before, sha_of=look.sha_of)


def _after(before: TargetRecord, missed: Sequence[SyncRecord]) -> TargetRecord:
    """Return what the target was when the last of these had ended."""
    for sync in missed:
        if sync.outcome is Outcome.SUCCEEDED:
            before = replace(before, applied=sync.revision, applied_sha=sync.sha, applied_digest=sync.manifests_digest)
    return before


# -- what was applied -------------------------------------------------------------------------------------------


def _judge_applied(before: TargetRecord, last: SyncRecord | None, seen: Kustomization, look: Look) -> SyncRecord | None:
    """Return the sync that ended well since the last look, or None."""
    if seen.last_applied is None:
        return None
    snapshot = _success_snapshot(seen)
    cause = _cause_of_success(before, seen, snapshot)
    if cause is None:
        return None
    open_sync = (
        last
        if last and last.outcome is not Outcome.SUCCEEDED and same_content(last.revision, seen.last_applied)
        else None
    )
    sync = open_sync or _begin(before, seen.last_applied, seen, look, cause)
    if cause is Cause.BASELINE:
        sync = replace(sync, cause=cause)  # re-pointed while this very revision was under way
    return _succeed(sync, before, seen, snapshot, look)


def _cause_of_success(before: TargetRecord, seen: Kustomization, snapshot: Snapshot | None) -> Cause | None:
    is_new = not same_content(before.applied, seen.last_applied)
    if before.awaits_baseline:
        renamed = before.applied != seen.last_applied
        reread = outcome_of(seen.find_condition("Ready")) is Outcome.SUCCEEDED and (
            seen.observed_generation == seen.generation and before.applied_generation != seen.generation
        )
        return Cause.BASELINE if renamed or reread else None
    if is_new:
        return Cause.REVISION
    if snapshot and before.applied_digest and snapshot.digest != before.applied_digest and _is_of(snapshot, seen):
        return Cause.CONFIGURATION
    return None


def _succeed(
    sync: SyncRecord, before: TargetRecord, seen: Kustomization, snapshot: Snapshot | None, look: Look
) -> SyncRecord:
    moment = _success_moment(sync, before, seen, look)
    applied = sync.applied
    if applied is None:
        applied = _applied_before_checks(sync, seen, look, moment) if seen.has_checks else moment
    digest = snapshot.digest if snapshot and _is_of(snapshot, seen) else None
    return replace(
        sync,
        outcome=Outcome.SUCCEEDED,
        reason=SUCCEEDED_STATUS,
        message="",
        applied=applied,
        healthy=moment if seen.has_checks else None,
        succeeded=moment,
        failed=None,
        manifests_digest=digest,
        has_new_manifests=digest is not None
        and before.applied_digest is not None
        and digest != before.applied_digest
        and seen.generation == before.applied_generation,
        is_unchanged=sync.cause is Cause.REVISION and _is_unchanged(before, seen, digest, look),
    )


def _applied_before_checks(sync: SyncRecord, seen: Kustomization, look: Look, succeeded: Moment) -> Moment:
    work = work_of(seen) if look.is_told else None
    began_at = work.condition.changed_at if work is not None else None
    if work is None or began_at is None:
        return bracket(sync.started.not_before, succeeded.latest)
    if work.step == HEALTH_CHECKS:
        return exact(began_at, Evidence.EVENT)
    return bracket(min(began_at, sync.started.earliest), succeeded.latest)


def _date_again(before: TargetRecord, last: SyncRecord | None, seen: Kustomization, look: Look) -> SyncRecord | None:
    """Return the last success with its apply before its checks, where they were told of after it; else None."""
    if not (look.is_told and seen.has_checks) or last is None or last.outcome is not Outcome.SUCCEEDED:
        return None
    moment = _success_moment(last, before, seen, look)
    if last.succeeded != moment or not same_content(last.revision, seen.last_applied):
        return None
    applied = _applied_before_checks(last, seen, look, moment)
    was_estimated = last.applied is not None and last.applied.precision is Precision.ESTIMATED
    is_better = last.healthy is None or (was_estimated and applied.precision is Precision.EXACT)
    return replace(last, applied=applied, healthy=moment) if is_better else None


def _success_moment(sync: SyncRecord, before: TargetRecord, seen: Kustomization, look: Look) -> Moment:
    ready = seen.find_condition("Ready")
    ready_at = ready.changed_at if ready and ready.status == "True" else None
    if look.is_told and ready_at is not None:
        return exact(ready_at, Evidence.EVENT)
    if look.was_held:
        # Ready turns True one write before `lastAppliedRevision`, so it need not have moved just now.
        if ready_at is not None and (ready_at != before.phase_since or names_success_of(ready, seen.last_applied)):
            return exact(ready_at, Evidence.READY_CONDITION)
        return observed(look.observed_at, Evidence.STATUS_OBSERVED, not_before=look.not_before)
    return _late_moment(sync, before, seen, ready_at, look)


def _late_moment(
    sync: SyncRecord, before: TargetRecord, seen: Kustomization, ready_at: datetime | None, look: Look
) -> Moment:
    """Date a success that was not watched: by the history where it is single, else by a bracket."""
    not_before, latest = look.not_before, [look.observed_at]
    if ready_at is not None:
        latest.append(ready_at)
    # A revision that had been applied before, and came back, has older snapshots too: they tell of then.
    told = [span for span in _spans_of_success(seen) if not_before is None or span.last >= not_before]
    if told:
        if len(told) == 1 and _is_single(told[0].snapshot, before, not_before):
            return exact(told[0].last, Evidence.STATUS_HISTORY)
        # The first success of the revision came with one of these manifests: not before their first success of all,
        # and not after the last of any, which was one of this revision.
        not_before = max(filter(None, (not_before, min(span.first for span in told))))
        latest += [span.last for span in told]
    if sync.id != UNSAVED:
        not_before = max(filter(None, (not_before, sync.started.earliest)))
    return bracket(not_before, min(latest))


def _is_single(snapshot: Snapshot, before: TargetRecord, since: datetime | None) -> bool:
    return snapshot.total == 1 if since is None else is_single(snapshot, before, since=since)


def _is_unchanged(before: TargetRecord, seen: Kustomization, digest: str | None, look: Look) -> bool:
    """True if manifests and spec are the same immediately before and after the sync."""
    if digest is None or digest != before.applied_digest or seen.generation != before.applied_generation:
        return False
    if look.was_held:
        return True
    # Not watched: the history must show that nothing else succeeded in between.
    not_before = look.not_before
    return not_before is not None and all(
        has_rested(item, before, since=not_before) for item in other_successes(seen, digest)
    )


# -- what is being attempted ------------------------------------------------------------------------------------


def _judge_attempt(
    target: TargetRecord, newest: SyncRecord | None, seen: Kustomization, look: Look, *, since: datetime
) -> SyncRecord | None:
    """Return the sync under way (or just failed), if it is new or says something new.

    Args:
        since: when the target was seen before.
    """
    ready, work = seen.find_condition("Ready"), work_of(seen)
    revision = revision_at_work(seen)
    if revision is None or same_content(revision, seen.last_applied):
        return None
    sync, is_new = newest, False
    if newest is None or not same_content(newest.revision, revision) or newest.outcome is Outcome.SUCCEEDED:
        cause = Cause.BASELINE if target.awaits_baseline else Cause.REVISION
        sync, is_new = _begin(target, revision, seen, look, cause), True
    assert sync is not None
    after = sync
    if work is not None and work.step == HEALTH_CHECKS:
        after = _note_checks(after, work, look)
    if target.phase is Outcome.FAILED and ready is not None:
        after = _fail(after, ready, look)
    if not look.was_held and not is_new and _may_have_moved(seen, since):
        after = replace(after, started=_with_gap(after.started))
    return after if is_new or after != sync else None


def _begin(target: TargetRecord, revision: str, seen: Kustomization, look: Look, cause: Cause) -> SyncRecord:
    return SyncRecord(
        id=SyncId(UNSAVED),
        target_id=target.id,
        revision=revision,
        sha=look.sha_of(revision),
        previous=target.applied,
        previous_sha=target.applied_sha,
        cause=cause,
        generation=seen.generation,
        outcome=Outcome.RUNNING,
        artifact_digest=look.source.digest if look.source and same_content(look.source.revision, revision) else None,
        started=_start_moment(seen, look),
        attribution=Attribution.PENDING,
    )


def _start_moment(seen: Kustomization, look: Look) -> Moment:
    ready = seen.find_condition("Ready")
    if look.is_told and ready is not None and ready.changed_at is not None:
        return exact(ready.changed_at, Evidence.EVENT)
    if look.was_held:
        return observed(look.observed_at, Evidence.STATUS_OBSERVED, not_before=look.not_before)
    return bracket(look.not_before, look.observed_at)


def _note_checks(sync: SyncRecord, work: Work, look: Look) -> SyncRecord:
    if sync.applied is not None:
        return sync
    began_at = work.condition.changed_at
    if began_at is not None and look.is_told:
        moment = exact(began_at, Evidence.EVENT)
    elif began_at is not None and look.was_held and _is_watched(sync) and work.is_checking:
        moment = exact(began_at, Evidence.HEALTH_CHECKS_STARTED)
    else:
        latest = min(filter(None, (began_at, look.observed_at)))
        moment = bracket(_unseen_since(sync, look), latest, evidence=Evidence.HEALTH_CHECKS_STARTED)
    return replace(sync, applied=moment, outcome=Outcome.CHECKING if sync.outcome is Outcome.RUNNING else sync.outcome)


def _fail(sync: SyncRecord, ready: Condition, look: Look) -> SyncRecord:
    """A failed attempt stays failed through Flux's retries of it; a retry may change the reason, never the moment."""
    failed = sync.failed
    if failed is None:
        failed = _failure_moment(sync, ready, look)
    applied = sync.applied
    if applied is None and ready.reason == "HealthCheckFailed":
        applied = bracket(sync.started.not_before, failed.latest)
    message = sync.message if sync.reason == ready.reason else ready.message
    return replace(
        sync,
        outcome=Outcome.FAILED,
        reason=ready.reason,
        message=message or ready.message,
        failed=failed,
        applied=applied,
    )


def _failure_moment(sync: SyncRecord, ready: Condition, look: Look) -> Moment:
    if look.is_told and ready.changed_at is not None:
        return exact(ready.changed_at, Evidence.EVENT)
    if look.was_held and _is_watched(sync) and ready.changed_at:
        return exact(ready.changed_at, Evidence.READY_CONDITION)
    return bracket(_unseen_since(sync, look), min(filter(None, (ready.changed_at, look.observed_at))))


def _is_watched(sync: SyncRecord) -> bool:
    """True if the sync was watched from its first sign without a gap: then what is seen now, was not there before.

    Flux retries for ever, and begins again after a restart: a step seen after a gap need not be its first time.
    """
    return sync.started.precision is Precision.OBSERVED


def _may_have_moved(seen: Kustomization, since: datetime) -> bool:
    """True unless every condition is as it was then: Flux moves a condition's time with each step."""
    return any(condition.changed_at is None or condition.changed_at > since for condition in seen.conditions)


def _with_gap(started: Moment) -> Moment:
    return started if started.precision is Precision.ESTIMATED else bracket(started.not_before, started.at)


def _unseen_since(sync: SyncRecord, look: Look) -> datetime | None:
    """Return the instant after which something that was not seen of a sync until now must have happened."""
    return look.not_before if _is_watched(sync) and sync.id != UNSAVED else sync.started.not_before


# -- small facts ------------------------------------------------------------------------------------------------


def _success_snapshot(seen: Kustomization) -> Snapshot | None:
    return next((item for item in seen.history if item.status == SUCCEEDED_STATUS), None)


def _spans_of_success(seen: Kustomization) -> list[_Span]:
    """Return when each of the manifests succeeded that the applied revision was the last to bring."""
    return [
        _Span(item.first_reconciled, item.last_reconciled, item)
        for item in seen.history
        if item.status == SUCCEEDED_STATUS
        and item.first_reconciled
        and item.last_reconciled
        and same_content(item.revision, seen.last_applied)
    ]


def _is_of(snapshot: Snapshot, seen: Kustomization) -> bool:
    return snapshot.revision is None or same_content(snapshot.revision, seen.last_applied)
