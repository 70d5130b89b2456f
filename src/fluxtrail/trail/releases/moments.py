"""When a release was applied, was healthy, and failed: the best that a HelmRelease's status can say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fluxtrail.model.flux import Condition
from fluxtrail.model.moment import Evidence, Moment, Precision, bracket, exact, observed
from fluxtrail.model.records import UNSAVED, SyncRecord, TargetRecord
from fluxtrail.model.releases import HelmRelease, ReleaseSnapshot
from fluxtrail.trail.judgement import Look
from fluxtrail.trail.releases.attempts import (
    VERSION,
    is_news,
    is_of,
    last_try,
    naming_condition,
    snapshot_of_attempt,
    success_condition,
)

_AT_WORK = ("Running 'install'", "Running 'upgrade'", "Running 'test'")


def has_stages(seen: HelmRelease) -> bool:
    """True if `applied` and `healthy` are two moments: Helm waits, or tests."""
    return seen.has_checks or seen.has_tests


def started_now(look: Look) -> Moment:
    if look.was_held:
        return observed(look.observed_at, Evidence.STATUS_OBSERVED, not_before=look.not_before)
    return bracket(look.not_before, look.observed_at)


def unchanged_at(look: Look) -> Moment:
    """Date the handling of a generation that changed nothing: its Ready condition need not have moved."""
    return started_now(look)


def succeeded_at(before: TargetRecord, sync: SyncRecord, seen: HelmRelease, look: Look) -> Moment:
    """Date a success. Released (or TestSuccess) names Helm's release, and so dates it even to whom comes late."""
    ended = success_condition(seen)
    ready = seen.find_condition("Ready")
    ended_at = (ended.changed_at if ended else None) or (ready.changed_at if ready else None)
    if ended_at is not None and (look.was_held or _is_single(before, seen)):
        return exact(ended_at, Evidence.READY_CONDITION)
    if look.was_held:
        return observed(look.observed_at, Evidence.STATUS_OBSERVED, not_before=look.not_before)
    return bracket(_began_by(sync, look), min(filter(None, (ended_at, look.observed_at))))


def applied_at(before: TargetRecord, sync: SyncRecord, seen: HelmRelease, succeeded: Moment) -> Moment:
    """Helm begins at `lastDeployed`, applies, and only then waits: nobody writes down when the waiting began.

    An earlier try that failed may have applied it all the same.
    """
    if not has_stages(seen):
        return succeeded
    released = naming_condition(seen, "Released")
    latest = released.changed_at if released and released.changed_at else succeeded.latest
    tries = _tries(before, seen)
    is_whole = bool(tries) and not _is_cut(before, seen, tries) and has_seen_all(sync)
    began = tries[-1].last_deployed if is_whole else _began_before(sync)
    return bracket(began, min(latest, succeeded.latest), evidence=Evidence.HELM_RELEASE)


def applied_by_failure(sync: SyncRecord, seen: HelmRelease, look: Look, failed: Moment) -> Moment | None:
    """Return when a try was applied that then waited in vain; None while the history has not got it."""
    tried = last_try(seen)
    if tried is None:
        return None
    is_own = _is_watched(sync, look) or _is_first_failure(seen)
    began = tried.last_deployed if is_own else sync.started.not_before
    return bracket(began, failed.latest, evidence=Evidence.HELM_RELEASE)


def _began_before(sync: SyncRecord) -> datetime | None:
    """Return after what a change was tried first; of one that is new, a try may be older than the last look."""
    return None if sync.id == UNSAVED else sync.started.not_before


def has_seen_all(sync: SyncRecord) -> bool:
    """True if a try of this change that came before cannot have gone unseen: what there is, is in the history."""
    return sync.id == UNSAVED or sync.started.precision is Precision.OBSERVED


def applied_before_tests(seen: HelmRelease) -> Moment | None:
    """Return when a release that is being tested was applied; None where it is not known (yet) to be."""
    snapshot, released = snapshot_of_attempt(seen), naming_condition(seen, "Released")
    if snapshot is None or released is None or released.changed_at is None:
        return None
    return bracket(snapshot.last_deployed, released.changed_at, evidence=Evidence.HELM_RELEASE)


def failed_at(sync: SyncRecord, cause: Condition, seen: HelmRelease, look: Look) -> Moment:
    """Date the first failure of an attempt: what is seen late may be a later one, unless Flux has counted only one."""
    ready, tried = seen.find_condition("Ready"), last_try(seen)
    began = tried.last_deployed if tried else None
    is_first = _is_first_failure(seen)
    # A condition's time does not move where the same words come again: then it is that of an earlier failure.
    is_own = ready is not None and ready.reason == cause.reason
    told_at = ready.changed_at if ready is not None and is_own else cause.changed_at
    is_trusted = told_at is not None and (is_own if began is None else told_at >= began)
    if told_at is not None and is_trusted and (_is_watched(sync, look) or is_first):
        return exact(told_at, Evidence.READY_CONDITION)
    not_before = max(filter(None, (_unseen_since(sync, look), began if is_first else None)), default=None)
    latest = min(told_at, look.observed_at) if told_at is not None and is_trusted else look.observed_at
    return bracket(not_before, latest)


def _tries(before: TargetRecord, seen: HelmRelease) -> list[ReleaseSnapshot]:
    """Return the unbroken run of releases of what was attempted last that came since the last look, newest first."""
    found: list[ReleaseSnapshot] = []
    for snapshot in seen.history:
        if not is_of(snapshot, seen) or (before.successes and not is_news(snapshot, before)):
            break
        found.append(snapshot)
    return found


def _is_cut(before: TargetRecord, seen: HelmRelease, tries: Sequence[ReleaseSnapshot]) -> bool:
    """True if an older one of them may be gone from the history, or was there at the last look."""
    if len(tries) < len(seen.history):
        return is_of(seen.history[len(tries)], seen)
    return tries[-1].version not in (1, before.successes.get(VERSION, -1) + 1)


def _is_single(before: TargetRecord, seen: HelmRelease) -> bool:
    """True if only one release of this attempt ended well, and nothing older can have been cut off the history."""
    tries = _tries(before, seen)
    return sum(item.is_standing for item in tries) == 1 and not _is_cut(before, seen, tries)


def _began_by(sync: SyncRecord, look: Look) -> datetime | None:
    started = sync.started.earliest if sync.id != UNSAVED else None
    return max(filter(None, (look.not_before, started)), default=None)


def _is_first_failure(seen: HelmRelease) -> bool:
    """True if the attempt has failed once only: Flux counts from the last change of generation, chart or values.

    The count comes a write after the condition; until then Flux still says that it runs the action.
    """
    ready, reconciling = seen.find_condition("Ready"), seen.find_condition("Reconciling")
    is_at_work = reconciling is not None and reconciling.message.startswith(_AT_WORK)
    if is_at_work and ready is not None and ready.status == "False":
        return False
    failures = [snapshot for snapshot in seen.history if is_of(snapshot, seen) and not snapshot.is_standing]
    return seen.failures == 1 and len(failures) <= 1


def _is_watched(sync: SyncRecord, look: Look) -> bool:
    return look.was_held and sync.started.precision is Precision.OBSERVED


def _unseen_since(sync: SyncRecord, look: Look) -> datetime | None:
    """Return the instant after which something that was not seen of a sync until now must have happened."""
    is_known = sync.started.precision is Precision.OBSERVED and sync.id != UNSAVED
    return look.not_before if is_known else sync.started.not_before
