"""What a HelmRelease's status says happened, compared with what the ledger held: a pure decision.

    (target and newest sync as kept, object as seen, how it was seen) -> (target, syncs)

A sync is one change: another chart, other values, or another generation of the spec. Retries, forced upgrades,
repairs of drift, and what Flux does to remedy a failure are Helm releases of their own, and no change. A change that
failed stays failed when Flux has rolled it back: it is remediated then, and what was applied before still is.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from fluxtrail.model.moment import Moment, Precision, bracket
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import UNSAVED, Attribution, Cause, SyncId, SyncRecord, TargetRecord
from fluxtrail.model.release_reasons import (
    failure_of,
    is_before_attempt,
    is_remediated,
    is_wait_failure,
    outcome_of_release,
)
from fluxtrail.model.releases import HelmRelease
from fluxtrail.model.revision import same_content
from fluxtrail.trail.judgement import Judgement, Look, grown, note_success
from fluxtrail.trail.releases.attempts import (
    Attempt,
    artifact_revision,
    attempt_of,
    had_failed,
    has_same_content,
    has_succeeded,
    is_applied,
    is_of,
    is_same,
    mark_of,
    snapshot_of_attempt,
    success_condition,
    work_of_release,
)
from fluxtrail.trail.releases.missed import find_missed_releases
from fluxtrail.trail.releases.moments import (
    applied_at,
    applied_before_tests,
    applied_by_failure,
    failed_at,
    has_stages,
    started_now,
    succeeded_at,
    unchanged_at,
)

replace = msgspec.structs.replace

UNKNOWN_GENERATION = 0
"""Of what had been applied before the release was first seen, where a later generation has been attempted since."""


def judge_release(before: TargetRecord, last: SyncRecord | None, seen: HelmRelease, look: Look) -> Judgement:
    """Return what became of a release's target and its syncs.

    Args:
        before: the target as kept; its spec fields are already those of `seen`.
        last: the newest sync of the target as kept.
        look: the keys of `shas`, the revisions of the chart's source, also tell an OCI artifact's tag.
    """
    kept, since = last, before.observed_at
    target = _refresh(before, seen, look)
    syncs = find_missed_releases(before, last, seen, look)
    for sync in syncs:
        if sync.outcome is Outcome.SUCCEEDED:
            before, target = note_success(before, sync), note_success(target, sync)
    last = syncs[-1] if syncs else last
    finished = _judge_applied(before, last, seen, look)
    if finished is not None:
        syncs.append(finished)
        target = note_success(target, finished)
    working = _judge_attempt(target, finished or last, seen, look, since=since)
    if working is not None:
        syncs.append(working)
    return Judgement(target=target, syncs=grown(syncs, kept))


def _refresh(before: TargetRecord, seen: HelmRelease, look: Look) -> TargetRecord:
    ready, phase = seen.find_condition("Ready"), outcome_of_release(seen)
    told = failure_of(seen) if phase is Outcome.FAILED else ready
    attempt = attempt_of(seen, look)
    return replace(
        before,
        attempted=attempt.revision if attempt else None,
        attempted_sha=look.sha_of(attempt.revision) if attempt else None,
        successes=mark_of(before, seen),
        phase=phase,
        reason=told.reason if told else "",
        message=told.message if told else "",
        phase_since=ready.changed_at if ready else None,
        observed_at=look.observed_at,
    )


# -- what was applied -------------------------------------------------------------------------------------------


def _judge_applied(before: TargetRecord, last: SyncRecord | None, seen: HelmRelease, look: Look) -> SyncRecord | None:
    """Return the sync that ended well since the last look, or None."""
    attempt = attempt_of(seen, look)
    if attempt is None or seen.is_deleting:
        return None
    if not has_succeeded(before, seen, attempt):
        return _judge_standing(before, seen, look) if before.applied is None and before.awaits_baseline else None
    if is_applied(before, attempt):
        return None
    cause = Cause.BASELINE if before.awaits_baseline else _cause(before, attempt)
    is_open = last is not None and last.outcome is not Outcome.SUCCEEDED and is_same(last, attempt)
    sync = last if last is not None and is_open else _begin(before, attempt, seen, look, cause)
    if cause is Cause.BASELINE:
        sync = replace(sync, cause=cause)  # re-pointed while this very attempt was under way
    return _succeed(sync, before, attempt, seen, look)


def _judge_standing(before: TargetRecord, seen: HelmRelease, look: Look) -> SyncRecord | None:
    """Return the baseline of a release that is first seen while something later is attempted, or has failed."""
    revision: str | None = seen.last_applied
    config: str | None = None
    generation = UNKNOWN_GENERATION
    if revision is None:
        may_be_newest = is_before_attempt(seen)
        snapshot = next(
            (
                item
                for item in seen.history
                if item.is_standing
                and not (seen.has_tests and item.has_failed_test)
                and (may_be_newest or not is_of(item, seen))
            ),
            None,
        )
        if snapshot is None:
            return None
        revision, config = artifact_revision(snapshot.chart_version, snapshot.oci_digest, look), snapshot.config_digest
        if is_of(snapshot, seen) and seen.attempted_generation is not None:
            generation = seen.attempted_generation
    attempt = Attempt(revision, None, config, generation)
    sync = _begin(before, attempt, seen, look, Cause.BASELINE)
    moment = bracket(None, look.observed_at)
    return replace(
        sync,
        outcome=Outcome.SUCCEEDED,
        manifests_digest=config,
        applied=moment,
        healthy=moment if has_stages(seen) else None,
        succeeded=moment,
    )


def _succeed(sync: SyncRecord, before: TargetRecord, attempt: Attempt, seen: HelmRelease, look: Look) -> SyncRecord:
    is_unchanged = (
        sync.cause is Cause.CONFIGURATION
        and has_same_content(before, attempt)
        and bool(before.successes)
        and before.successes == mark_of(before, seen)
    )
    ended = success_condition(seen) or seen.find_condition("Ready")
    moment = unchanged_at(look) if is_unchanged else succeeded_at(before, sync, seen, look)
    applied = None if sync.is_remediated else sync.applied  # what was undone since, has to be applied again
    applied = applied or (moment if is_unchanged else applied_at(before, sync, seen, moment))
    return replace(
        sync,
        outcome=Outcome.SUCCEEDED,
        reason=ended.reason if ended else "",
        message="",
        applied=applied,
        healthy=moment if has_stages(seen) else None,
        succeeded=moment,
        failed=None,
        artifact_digest=attempt.digest or sync.artifact_digest,
        manifests_digest=attempt.config,
        is_unchanged=is_unchanged,
        action="" if is_unchanged else _action(seen) or sync.action,
        is_remediated=False,
    )


# -- what is being attempted ------------------------------------------------------------------------------------


def _judge_attempt(
    target: TargetRecord, newest: SyncRecord | None, seen: HelmRelease, look: Look, *, since: datetime
) -> SyncRecord | None:
    """Return the sync under way (or just failed), if it is new or says something new.

    Args:
        since: when the target was seen before.
    """
    work = work_of_release(target, seen, look)
    if work is None or seen.is_deleting or is_applied(target, work):
        return None
    sync, is_new = newest, False
    if sync is None or sync.outcome is Outcome.SUCCEEDED or not is_same(sync, work):
        cause = Cause.BASELINE if target.awaits_baseline else _cause(target, work)
        sync, is_new = _begin(target, work, seen, look, cause), True
    after = replace(
        sync,
        manifests_digest=work.config or sync.manifests_digest,
        artifact_digest=work.digest or sync.artifact_digest,
    )
    if target.phase is Outcome.CHECKING:
        after = _note_tests(after, seen)
    if target.phase is Outcome.FAILED or had_failed(seen):
        after = _fail(after, seen, look)
    if not look.was_held and not is_new and _may_have_moved(seen, since):
        after = replace(after, started=_with_gap(after.started))
    return after if is_new or after != sync else None


def _begin(target: TargetRecord, attempt: Attempt, seen: HelmRelease, look: Look, cause: Cause) -> SyncRecord:
    artifact = look.source.digest if look.source and same_content(look.source.revision, attempt.revision) else None
    return SyncRecord(
        id=SyncId(UNSAVED),
        target_id=target.id,
        revision=attempt.revision,
        sha=look.sha_of(attempt.revision),
        previous=target.applied,
        previous_sha=target.applied_sha,
        cause=cause,
        generation=attempt.generation,
        outcome=Outcome.RUNNING,
        artifact_digest=attempt.digest or artifact,
        manifests_digest=attempt.config,
        started=started_now(look),
        action=_action(seen),
        attribution=Attribution.PENDING,
    )


def _note_tests(sync: SyncRecord, seen: HelmRelease) -> SyncRecord:
    """Released, and its tests run."""
    outcome = Outcome.CHECKING if sync.outcome is Outcome.RUNNING else sync.outcome
    return replace(sync, outcome=outcome, applied=sync.applied or applied_before_tests(seen))


def _fail(sync: SyncRecord, seen: HelmRelease, look: Look) -> SyncRecord:
    """A change that failed stays failed through Flux's retries of it, and through what Flux does about it.

    It was applied all the same where only waiting or testing failed.
    """
    cause = failure_of(seen)
    if cause is None:
        return sync
    failed = sync.failed or failed_at(sync, cause, seen, look)
    applied = sync.applied
    if applied is None and not is_before_attempt(seen):
        applied = applied_before_tests(seen) if cause.type == "TestSuccess" else None
        if cause.type == "Released" and is_wait_failure(cause):
            applied = applied_by_failure(sync, seen, look, failed)
    is_first = sync.outcome is not Outcome.FAILED
    return replace(
        sync,
        outcome=Outcome.FAILED,
        reason=cause.reason if is_first else sync.reason,
        message=cause.message if is_first else sync.message,
        failed=failed,
        applied=applied,
        action=_action(seen) or sync.action,
        is_remediated=sync.is_remediated or (is_remediated(seen) and not is_before_attempt(seen)),
    )


def _action(seen: HelmRelease) -> str:
    """Return which action brought what was attempted last, as its own snapshot says, or else the status."""
    snapshot = snapshot_of_attempt(seen)
    if snapshot is None:
        return ""
    said = snapshot.action if snapshot.action in ("install", "upgrade") else seen.action
    return said if said in ("install", "upgrade") else ""


def _cause(before: TargetRecord, attempt: Attempt) -> Cause:
    return Cause.CONFIGURATION if same_content(before.applied, attempt.revision) else Cause.REVISION


def _may_have_moved(seen: HelmRelease, since: datetime) -> bool:
    """True unless every condition is as it was then: Flux moves a condition's time with each step."""
    return any(condition.changed_at is None or condition.changed_at > since for condition in seen.conditions)


def _with_gap(started: Moment) -> Moment:
    return started if started.precision is Precision.ESTIMATED else bracket(started.not_before, started.at)
