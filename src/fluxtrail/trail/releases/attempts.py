"""What a HelmRelease says it attempted: which chart, which values, of which generation.

The order of Flux's status writes that this reads (seen on helm-controller 1.6): each patch comes as up to three
writes, conditions first, then the other fields, then `observedGeneration`. An action begins with Ready=Unknown, and
only the write after it has `lastAttempted…`; it ends with Ready=True or False, and only the write after it has the
history. Where nothing is to be done for a new generation, Ready=True comes first and `lastAttempted…` after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fluxtrail.model.flux import Condition
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SyncRecord, TargetRecord
from fluxtrail.model.release_reasons import is_before_attempt, version_named
from fluxtrail.model.releases import HelmRelease, ReleaseSnapshot
from fluxtrail.model.revision import find_revision, same_content
from fluxtrail.trail.judgement import Look

DEPLOYED_AT = "deployed_at"
VERSION = "version"


class Attempt(NamedTuple):
    """What makes a change of a release another one than the change before."""

    revision: str
    """Of the chart's artifact."""
    digest: str | None
    """Of an OCI artifact."""
    config: str | None
    """Of the values; None where Flux did not get that far."""
    generation: int


def attempt_of(seen: HelmRelease, look: Look) -> Attempt | None:
    """Return what was attempted last, whatever became of it; None before the first attempt."""
    if seen.last_attempted is None:
        return None
    generation = seen.attempted_generation
    if generation is None:
        generation = seen.observed_generation if seen.observed_generation > 0 else seen.generation
    return Attempt(
        revision=artifact_revision(seen.last_attempted, seen.last_attempted_digest, look),
        digest=_bare_digest(seen.last_attempted_digest),
        config=seen.last_attempted_config,
        generation=generation,
    )


def work_of_release(target: TargetRecord, seen: HelmRelease, look: Look) -> Attempt | None:
    """Return what is at work: the last attempt, or what failed before Flux noted that it attempts it.

    A chart that cannot be had is never attempted, and still fails the generation that asked for it.
    """
    attempt = attempt_of(seen, look)
    if target.phase is not Outcome.FAILED or not is_before_attempt(seen):
        return attempt
    source = look.source.revision if look.source is not None and look.source.key == seen.source else None
    asked = seen.chart_version if find_revision(seen.chart_version) else None
    revision = source or target.applied or (attempt.revision if attempt else None) or asked
    if revision is None:
        return None
    if attempt is not None and (attempt.generation, True) == (
        seen.generation,
        same_content(attempt.revision, revision),
    ):
        return attempt
    return Attempt(revision, None, None, seen.generation)


def artifact_revision(version: str, digest: str | None, look: Look) -> str:
    """Return a chart's revision as its artifact says it: for an OCI artifact `<tag>@sha256:…`, else the version itself.

    The release has the chart's version and the digest; the tag is told by the source, where it still is known.
    """
    if digest is None:
        return version
    revision = digest if "@" in digest else f"{version.partition('+')[0]}@{digest}"
    known: Iterable[str] = (look.source.revision or "" if look.source else "", *look.shas)
    return next((text for text in known if text and same_content(text, revision)), revision)


def is_same(sync: SyncRecord, attempt: Attempt) -> bool:
    """True if a sync is of this very attempt, or of a retry of it."""
    return (
        same_content(sync.revision, attempt.revision)
        and sync.generation == attempt.generation
        and _agree(sync.manifests_digest, attempt.config)
    )


def has_same_content(target: TargetRecord, attempt: Attempt) -> bool:
    """True if an attempt has the chart and the values that the target has applied."""
    return same_content(target.applied, attempt.revision) and _agree(target.applied_digest, attempt.config)


def is_applied(target: TargetRecord, attempt: Attempt) -> bool:
    """True if an attempt had ended well before: Flux repairs, forces or tests it again, and nothing changed."""
    return has_same_content(target, attempt) and target.applied_generation == attempt.generation


def is_of(snapshot: ReleaseSnapshot, seen: HelmRelease) -> bool:
    """True if a snapshot is of what was attempted last."""
    return (
        snapshot.chart_version == seen.last_attempted
        and _agree(snapshot.config_digest or None, seen.last_attempted_config)
        and _agree(_bare_digest(snapshot.oci_digest), _bare_digest(seen.last_attempted_digest))
    )


def has_succeeded(before: TargetRecord, seen: HelmRelease, attempt: Attempt) -> bool:
    """True if what was attempted last ended well, and all that belongs to it has been written."""
    ready, snapshot = seen.find_condition("Ready"), seen.newest
    if snapshot is not None and not (snapshot.status == "deployed" and is_of(snapshot, seen)):
        return False
    if ready is None or ready.status != "True":
        return _had_succeeded(seen, attempt)
    is_later = ready.observed_generation is not None and ready.observed_generation > attempt.generation
    if is_later and mark_of(before, seen) == before.successes:
        return False  # it speaks of a generation that changed nothing; what was attempted for it comes next
    if snapshot is not None:
        return version_named(seen.find_condition("Released")) in (None, snapshot.version)
    if seen.last_applied is not None:
        return seen.last_applied == seen.last_attempted
    return seen.observed_generation == seen.generation


def _had_succeeded(seen: HelmRelease, attempt: Attempt) -> bool:
    """True if the last attempt ended well, and Ready speaks of the next one already, which has not been noted yet."""
    ended = success_condition(seen)
    return ended is not None and ended.observed_generation == attempt.generation


def had_failed(seen: HelmRelease) -> bool:
    """True if the last attempt failed, and Ready speaks of a retry or of the next one already."""
    snapshot, released = snapshot_of_attempt(seen), seen.find_condition("Released")
    if snapshot is None:
        return False
    if snapshot.is_standing:
        return seen.has_tests and snapshot.has_failed_test
    is_unlocked = released is not None and released.reason == "PendingRelease"
    return snapshot.status == "failed" and not is_unlocked


def success_condition(seen: HelmRelease) -> Condition | None:
    """Return the condition that tells that the newest Helm release ended well, or None."""
    return naming_condition(seen, "TestSuccess" if seen.has_tests else "Released")


def naming_condition(seen: HelmRelease, kind: str) -> Condition | None:
    """Return a condition that is true of the newest Helm release, or None."""
    condition, snapshot = seen.find_condition(kind), seen.newest
    if condition is None or condition.status != "True" or snapshot is None:
        return None
    return condition if version_named(condition) == snapshot.version else None


def snapshot_of_attempt(seen: HelmRelease) -> ReleaseSnapshot | None:
    """Return the newest snapshot if it is of what was attempted last: the history comes a write later."""
    return seen.newest if seen.newest is not None and is_of(seen.newest, seen) else None


def last_try(seen: HelmRelease) -> ReleaseSnapshot | None:
    """Return the newest snapshot of what was attempted last, also where Flux has rolled it back since."""
    return next((snapshot for snapshot in seen.history if is_of(snapshot, seen)), None)


def mark_of(before: TargetRecord, seen: HelmRelease) -> dict[str, int]:
    """Return which Helm release is the newest: what comes later is news. Kept in `TargetRecord.successes`.

    Helm's number alone does not tell: it begins again after an uninstallation. Flux clears the history where it has
    lost sight of a release; what was the newest before, still is.
    """
    snapshot = seen.newest
    if snapshot is None:
        return {VERSION: seen.last_release} if seen.last_release is not None else before.successes
    deployed_at, version = _place(snapshot)
    return {DEPLOYED_AT: deployed_at, VERSION: version}


def is_news(snapshot: ReleaseSnapshot, before: TargetRecord) -> bool:
    """True if a release came after the newest one of the last look."""
    return DEPLOYED_AT in before.successes and _place(snapshot) > _known(before)


def is_newest_known(snapshot: ReleaseSnapshot, before: TargetRecord) -> bool:
    """True if a release was the newest one at the last look."""
    return DEPLOYED_AT in before.successes and _place(snapshot) == _known(before)


def _place(snapshot: ReleaseSnapshot) -> tuple[int, int]:
    return (int(snapshot.last_deployed.timestamp()) if snapshot.last_deployed else 0, snapshot.version)


def _known(before: TargetRecord) -> tuple[int, int]:
    return (before.successes.get(DEPLOYED_AT, 0), before.successes.get(VERSION, 0))


def _agree(left: str | None, right: str | None) -> bool:
    return left is None or right is None or left == right


def _bare_digest(text: str | None) -> str | None:
    """`latest@sha256:…` → `sha256:…`: Flux notes the whole revision where its tag is no version."""
    return text.rpartition("@")[2] if text else None
