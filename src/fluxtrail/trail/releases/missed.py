"""Changes of a release that ended while nobody watched, read from its `status.history`.

Flux keeps Helm's releases back to the one before the last that went well, so that at least one is found again of what
came and went. What was released in between and is no longer kept is carried by the next change that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.moment import Evidence, Moment, bracket
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import UNSAVED, Cause, SyncId, SyncRecord, TargetRecord
from fluxtrail.model.releases import HelmRelease, ReleaseSnapshot
from fluxtrail.model.revision import same_content
from fluxtrail.trail.judgement import Look
from fluxtrail.trail.releases.attempts import (
    VERSION,
    Attempt,
    artifact_revision,
    has_same_content,
    is_newest_known,
    is_news,
    is_of,
)
from fluxtrail.trail.releases.moments import has_seen_all, has_stages

replace = msgspec.structs.replace

_FAILED = {"install": "InstallFailed", "upgrade": "UpgradeFailed"}


def find_missed_releases(
    before: TargetRecord, last: SyncRecord | None, seen: HelmRelease, look: Look
) -> list[SyncRecord]:
    """Return the changes other than what was attempted last that ended since the last look, oldest first.

    Which generation each was of nobody says. It is taken for the one that was applied before: then it carries no change
    of the spec that it may not have had, and the next one does. Only where the spec was changed once, and the values
    with it, these tell.
    """
    if look.was_held or look.not_before is None or before.awaits_baseline or before.applied is None:
        return []
    found: list[SyncRecord] = []
    has_just_failed = False
    kept = before
    open_sync = last if last is not None and last.outcome is not Outcome.SUCCEEDED else None
    for run, ended_by in _runs(before, open_sync, seen, look):
        attempt = _attempt(kept, run, look)
        if _has_changed_spec(before, run[0], seen):
            attempt = attempt._replace(generation=seen.attempted_generation or 0)
        outcome = _outcome(run, seen)
        if is_of(run[0], seen) or has_same_content(kept, attempt) or outcome is None:
            if has_just_failed and _is_remedy(run[-1], seen):
                found[-1] = replace(found[-1], is_remediated=True)
            has_just_failed = False
            continue
        goes_on = not found and _is_of(open_sync, attempt)
        if goes_on and open_sync is not None and open_sync.failed and outcome is Outcome.FAILED:
            continue  # known already
        begun = open_sync if open_sync is not None and goes_on else _begin(kept, attempt, look)
        sync = _end(before, begun, run, attempt, seen, outcome, look, ended_by or look.observed_at)
        found.append(sync)
        has_just_failed = outcome is Outcome.FAILED
        if outcome is Outcome.SUCCEEDED:
            kept = replace(kept, applied=sync.revision, applied_sha=sync.sha, applied_digest=sync.manifests_digest)
    return found


def _runs(
    before: TargetRecord, open_sync: SyncRecord | None, seen: HelmRelease, look: Look
) -> Iterator[tuple[list[ReleaseSnapshot], datetime | None]]:
    """Yield the new releases, oldest first, those of one change together, with when the next one began.

    One that was there at the last look, and whose tests had not ended then, belongs to them.
    """
    is_running = open_sync is not None and open_sync.outcome is not Outcome.FAILED
    fresh = [
        snapshot
        for snapshot in reversed(seen.history)
        if is_news(snapshot, before)
        or (is_running and is_newest_known(snapshot, before) and _is_of(open_sync, _attempt(before, [snapshot], look)))
    ]
    runs: list[list[ReleaseSnapshot]] = []
    for snapshot in fresh:
        if runs and _content(runs[-1][-1]) == _content(snapshot):
            runs[-1].append(snapshot)
        else:
            runs.append([snapshot])
    for index, run in enumerate(runs):
        yield run, runs[index + 1][0].last_deployed if index + 1 < len(runs) else None


def _content(snapshot: ReleaseSnapshot) -> tuple[str, str, str | None]:
    return (snapshot.chart_version, snapshot.config_digest, snapshot.oci_digest)


def _attempt(before: TargetRecord, run: Sequence[ReleaseSnapshot], look: Look) -> Attempt:
    snapshot = run[0]
    return Attempt(
        revision=artifact_revision(snapshot.chart_version, snapshot.oci_digest, look),
        digest=snapshot.oci_digest,
        config=snapshot.config_digest or None,
        generation=before.applied_generation or 0,
    )


def _has_changed_spec(before: TargetRecord, snapshot: ReleaseSnapshot, seen: HelmRelease) -> bool:
    """Whether a release was made with the values that the one change of the spec since the last look brought."""
    is_one_change = before.applied_generation is not None and seen.attempted_generation == before.applied_generation + 1
    return is_one_change and before.applied_digest != snapshot.config_digest == seen.last_attempted_config


def _outcome(run: Sequence[ReleaseSnapshot], seen: HelmRelease) -> Outcome | None:
    """Return how a change ended, or None where that cannot be told."""
    if any(snapshot.is_standing and not (seen.has_tests and snapshot.has_failed_test) for snapshot in run):
        return Outcome.SUCCEEDED
    if any(snapshot.is_standing or snapshot.status == "failed" for snapshot in run):
        return Outcome.FAILED
    return Outcome.FAILED if any(snapshot.action == "uninstall-remediation" for snapshot in run) else None


def _is_remedy(snapshot: ReleaseSnapshot, seen: HelmRelease) -> bool:
    """True if Flux says that it rolled back to this: of older releases it only says that a rollback touched them."""
    return snapshot is seen.newest and snapshot.action == "rollback" and snapshot.is_standing


def _may_be_remedy(before: TargetRecord, snapshot: ReleaseSnapshot, seen: HelmRelease) -> bool:
    """True if a release may have come after a failure, and so be one of what had been released before."""
    place = seen.history.index(snapshot)
    older = seen.history[place + 1 : place + 2]
    is_next = snapshot.version in (1, before.successes.get(VERSION, -1) + 1)
    return (
        snapshot.action == "rollback"
        or any(not item.is_standing or item.has_failed_test for item in older)
        or not (older or is_next)
    )


def _is_of(sync: SyncRecord | None, attempt: Attempt) -> bool:
    """True if an open sync is of that content: its own generation is the better known one."""
    if sync is None:
        return False
    config = sync.manifests_digest
    return same_content(sync.revision, attempt.revision) and (config is None or config == attempt.config)


def _begin(before: TargetRecord, attempt: Attempt, look: Look) -> SyncRecord:
    is_same_chart = same_content(before.applied, attempt.revision)
    return SyncRecord(
        id=SyncId(UNSAVED),
        target_id=before.id,
        revision=attempt.revision,
        sha=look.sha_of(attempt.revision),
        previous=before.applied,
        previous_sha=before.applied_sha,
        cause=Cause.CONFIGURATION if is_same_chart else Cause.REVISION,
        generation=attempt.generation,
        outcome=Outcome.RUNNING,
        artifact_digest=attempt.digest,
        manifests_digest=attempt.config,
        started=bracket(look.not_before, look.observed_at),
    )


def _end(
    before: TargetRecord,
    sync: SyncRecord,
    run: Sequence[ReleaseSnapshot],
    attempt: Attempt,
    seen: HelmRelease,
    outcome: Outcome,
    look: Look,
    ended_by: datetime,
) -> SyncRecord:
    first = next((item for item in run if item.is_standing), run[0])
    # What Flux rolled back to had been released before, and the release of then may be gone from the history.
    first_began = None if _may_be_remedy(before, first, seen) else first.last_deployed
    # One that was there at the last look may have ended before it.
    unseen_since = look.not_before if is_news(first, before) else sync.started.not_before
    began = max(filter(None, (unseen_since, first_began)), default=None)
    moment = bracket(began, ended_by, evidence=Evidence.HELM_RELEASE)
    sync = replace(
        sync,
        manifests_digest=attempt.config,
        started=sync.started if sync.id != UNSAVED else bracket(look.not_before, first.last_deployed or ended_by),
        action=sync.action or (first.action if first.action in _FAILED else ""),
    )
    if outcome is Outcome.FAILED:
        return _fail(sync, first, moment)
    return replace(
        sync,
        outcome=outcome,
        reason="",
        message="",
        applied=sync.applied or _applied(before, sync, run, seen, moment),
        healthy=moment if has_stages(seen) else None,
        succeeded=moment,
        failed=None,
    )


def _applied(
    before: TargetRecord, sync: SyncRecord, run: Sequence[ReleaseSnapshot], seen: HelmRelease, moment: Moment
) -> Moment:
    """A try before the one that went well may have applied it already."""
    if not has_stages(seen):
        return moment
    place = seen.history.index(run[0])
    older = seen.history[place + 1 : place + 2]
    is_oldest = _content(older[0]) != _content(run[0]) if older else run[0].version == 1
    is_whole = has_seen_all(sync) and is_oldest and not _may_be_remedy(before, run[0], seen)
    began = run[0].last_deployed if is_whole else sync.started.not_before
    return bracket(began, moment.latest, evidence=Evidence.HELM_RELEASE)


def _fail(sync: SyncRecord, snapshot: ReleaseSnapshot, moment: Moment) -> SyncRecord:
    reason = "TestFailed" if snapshot.has_failed_test else _FAILED.get(snapshot.action, "UpgradeFailed")
    return replace(
        sync,
        outcome=Outcome.FAILED,
        reason=reason,
        failed=sync.failed or moment,
        applied=sync.applied or (moment if snapshot.has_failed_test else None),
        is_remediated=sync.is_remediated or snapshot.action == "uninstall-remediation",
    )
