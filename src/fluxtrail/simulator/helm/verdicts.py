"""What became of a commit on a HelmRelease, by the world's own bookkeeping.

A release carries the commits of the Kustomization's sync that made it another one (all that the sync delivered), and
those of the chart's own path where the chart lies in the manifests repository.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fluxtrail.model.verdict import Verdict
from fluxtrail.simulator.building import clean_path
from fluxtrail.simulator.helm.truth import ReleaseAttempt, ReleaseTruth
from fluxtrail.simulator.repositories import Commit
from fluxtrail.simulator.truth import TargetTruth

_DELIVERED = (Verdict.DEPLOYED, Verdict.FAILED, Verdict.ROLLED_BACK)

JudgeParent = Callable[[Commit, TargetTruth], Verdict]


@dataclass(slots=True)
class ReleaseOutcome:
    verdict: Verdict
    times: dict[str, datetime] = field(default_factory=dict)
    revisions: tuple[str, ...] = ()
    """What the charts of the attempts that carry it are followed as, in order."""
    succeeded_at: datetime | None = None


def judge_release(
    commit: Commit,
    release: ReleaseTruth,
    parent: TargetTruth,
    *,
    commits: Mapping[str, Commit],
    judge_parent: JudgeParent,
) -> ReleaseOutcome:
    """Return what became of a commit of the manifests repository on a release."""
    carrying = _carrying(commit, release, parent, commits=commits, judge_parent=judge_parent)
    if carrying is None:
        return ReleaseOutcome(Verdict.UNAFFECTED)
    success = next((attempt for attempt in carrying if attempt.succeeded_at), None)
    finished = [attempt for attempt in carrying if attempt.succeeded_at or attempt.failed_at]
    if success is not None:
        outcome = ReleaseOutcome(Verdict.DEPLOYED, succeeded_at=success.succeeded_at)
    else:
        outcome = ReleaseOutcome(Verdict.FAILED if finished else Verdict.PENDING)
    outcome.revisions = tuple(dict.fromkeys(attempt.followed_as for attempt in carrying))
    first = next((attempt for attempt in carrying if attempt.applied_at), None)
    if first is not None and first.applied_at is not None:
        outcome.times["applied"] = first.applied_at
        # What was remedied never came to run: it runs as the attempt left it that brought it anew.
        lasting = success if first.is_remedied else first
        running_at = release.running_at(lasting) if lasting is not None else None
        if running_at is not None:
            outcome.times["running"] = running_at
    if success is not None and success.succeeded_at is not None:
        outcome.times["healthy"] = success.succeeded_at
    return outcome


def _carrying(
    commit: Commit,
    release: ReleaseTruth,
    parent: TargetTruth,
    *,
    commits: Mapping[str, Commit],
    judge_parent: JudgeParent,
) -> Sequence[ReleaseAttempt] | None:
    """Return the attempts that carry a commit, oldest first; None: it has nothing to do with the release."""
    generation = _handed_generation(commit, release, parent, judge_parent)
    if generation is not None:
        return [attempt for attempt in release.attempts if attempt.generation >= generation]
    if release.chart_path is None or not _touches(commit, clean_path(release.chart_path)):
        return None
    return [a for a in release.attempts if a.source_sha is not None and commits[a.source_sha].contains(commit)]


def _handed_generation(
    commit: Commit, release: ReleaseTruth, parent: TargetTruth, judge_parent: JudgeParent
) -> int | None:
    first = next((a for a in parent.attempts if a.applied_at and a.commit.contains(commit)), None)
    if first is None or judge_parent(commit, parent) not in _DELIVERED:
        return None
    return next((item.generation for item in first.changed if item.place == release.place), None)


def _touches(commit: Commit, folder: str) -> bool:
    return any(path.startswith(f"{folder}/") for path in commit.paths)
