"""What became of every commit on every target, by the world's own bookkeeping.

The definitions are those of the design, written once more and differently: from what was done, with every time
exactly known, instead of from what could be observed. Nothing of Fluxtrail but its words is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fluxtrail.model.verdict import Verdict
from fluxtrail.simulator.building import is_reached, reached_folders
from fluxtrail.simulator.clock import precise_time
from fluxtrail.simulator.helm.truth import ReleaseTruth
from fluxtrail.simulator.helm.verdicts import ReleaseOutcome, judge_release
from fluxtrail.simulator.repositories import Commit, Repository
from fluxtrail.simulator.truth import Attempt, Pushed, TargetTruth, Truth

_WORST_FIRST = (
    Verdict.FAILED,
    Verdict.PENDING,
    Verdict.ROLLED_BACK,
    Verdict.DEPLOYED,
    Verdict.LOST,
    Verdict.UNAFFECTED,
)


_STAGES = ("merged", "built", "exported", "fetched", "applied", "healthy", "running")


@dataclass(slots=True)
class Outcome:
    """One commit on one target."""

    verdict: Verdict
    via: str | None = None
    revisions: tuple[str, ...] = ()
    """Every revision with it that was ever applied, in order: `via` is the first, unless that is the commit itself."""
    undone_by: str | None = None
    carrier: str | None = None
    times: dict[str, datetime] = field(default_factory=dict)
    succeeded_at: datetime | None = None
    """When a reconciliation that contains it first succeeded, if it changed anything."""


class Judge:
    """Reads the journal; made anew for each judgement, and remembers nothing.

    Args:
        source: the repository with exports.
        manifests: the repository that is delivered.
    """

    def __init__(self, truth: Truth, *, source: Repository, manifests: Repository) -> None:
        self._truth = truth
        self._source = source
        self._manifests = manifests
        self._pushed = {pushed.commit.sha: pushed for pushed in truth.pushed}
        self._carrying = {sha for made in (truth.exports, truth.bumps) for shas in made.values() for sha in shas}
        self._folders: dict[tuple[str, str], frozenset[str]] = {}

    def report(self) -> list[dict[str, Any]]:
        """Return every commit pushed since the script began, oldest first, with its deliveries."""
        return [self._commit(pushed) for pushed in self._truth.pushed]

    def _commit(self, pushed: Pushed) -> dict[str, Any]:
        deliveries = [self._delivery(pushed, target) for target in self._truth.targets]
        # One that no Kustomization applied is nobody's delivery.
        applied = [release for release in self._truth.releases if release.parent]
        deliveries += [self._release_delivery(pushed, release) for release in applied]
        build = self._truth.builds.get(pushed.commit.sha)
        return {
            "sha": pushed.commit.sha,
            "repository": pushed.repository,
            "subject": pushed.commit.subject,
            "is_export": pushed.is_export,
            "is_carrier": pushed.commit.sha in self._carrying,
            "is_dropped": self._is_dropped(pushed),
            "is_exported": pushed.commit.sha in self._truth.exports,
            "build_state": build.state.value if build else None,
            "built": precise_time(build.built_at) if build and build.built_at else None,
            "deliveries": deliveries,
        }

    def _delivery(self, pushed: Pushed, target: TargetTruth) -> dict[str, Any]:
        outcome = self._judge(pushed, target)
        known = {"merged": pushed.merged_at or pushed.at} | self._built(pushed) | outcome.times
        times = {stage: known[stage] for stage in _STAGES if stage in known}
        return {
            "cluster": target.cluster,
            "target": target.name,
            "verdict": outcome.verdict.value,
            "via": outcome.via,
            "revisions": outcome.revisions,
            "undone_by": outcome.undone_by,
            "carrier": outcome.carrier,
            "succeeded_at": precise_time(outcome.succeeded_at) if outcome.succeeded_at else None,
            "stages": {stage: precise_time(at) for stage, at in times.items()},
        }

    def _release_delivery(self, pushed: Pushed, release: ReleaseTruth) -> dict[str, Any]:
        """Return what became of it on a HelmRelease; only manifests of people ever concern one."""
        outcome = ReleaseOutcome(Verdict.UNAFFECTED)
        if pushed.repository == self._manifests.name:
            parent = next(
                t
                for t in self._truth.targets
                if t.cluster == release.cluster and t.name.rpartition("/")[2] == release.parent
            )
            outcome = judge_release(
                pushed.commit,
                release,
                parent,
                commits=self._manifests.commits,
                judge_parent=lambda commit, target: self.judge_manifests(commit, target).verdict,
            )
        known = {"merged": pushed.merged_at or pushed.at} | self._built(pushed) | outcome.times
        return {
            "cluster": release.cluster,
            "target": release.name,
            "verdict": outcome.verdict.value,
            "via": None,
            "revisions": outcome.revisions,
            "charts": {sha: precise_time(release.fetches[sha]) for sha in outcome.revisions},
            "undone_by": None,
            "carrier": None,
            "succeeded_at": precise_time(outcome.succeeded_at) if outcome.succeeded_at else None,
            "stages": {stage: precise_time(known[stage]) for stage in _STAGES if stage in known},
        }

    def _built(self, pushed: Pushed) -> dict[str, datetime]:
        build = self._truth.builds.get(pushed.commit.sha)
        return {"built": build.built_at} if build and build.built_at else {}

    def _judge(self, pushed: Pushed, target: TargetTruth) -> Outcome:
        if pushed.repository == self._manifests.name:
            outcome = self.judge_manifests(pushed.commit, target)
        else:
            outcome = self._judge_source(pushed, target)
        if outcome.verdict is Verdict.DEPLOYED:
            outcome.undone_by = self._find_undoing(pushed, target)
        return outcome

    def _judge_source(self, pushed: Pushed, target: TargetTruth) -> Outcome:
        exports = self._made_from(pushed.commit.sha)
        if not exports:
            return Outcome(Verdict.PENDING)
        outcomes = []
        for sha in exports:
            outcome = self.judge_manifests(self._manifests.commits[sha], target)
            outcome.carrier = sha
            outcome.times = {"exported": self._pushed[sha].at} | outcome.times
            outcomes.append(outcome)
        return min(outcomes, key=lambda outcome: _WORST_FIRST.index(outcome.verdict))

    def judge_manifests(self, commit: Commit, target: TargetTruth) -> Outcome:
        """Return what became of a commit of the manifests repository on a target."""
        if not self._is_in_scope(commit, target):
            return Outcome(Verdict.UNAFFECTED)
        carrying = self._first_success_with(commit, target)
        if carrying is None:
            return self._judge_undelivered(commit, target)
        before, success = carrying
        if _is_same_output(before, success, target):
            return Outcome(Verdict.UNAFFECTED)
        is_gone = not target.successes()[-1].commit.contains(commit)
        outcome = self._applied(Verdict.ROLLED_BACK if is_gone else Verdict.DEPLOYED, commit, target)
        outcome.succeeded_at = success.succeeded_at
        if target.has_checks and success.succeeded_at is not None:
            outcome.times["healthy"] = success.succeeded_at
        return outcome

    def _judge_undelivered(self, commit: Commit, target: TargetTruth) -> Outcome:
        if not self._manifests.is_on_branch(commit):
            return Outcome(Verdict.LOST)
        finished = [attempt for attempt in target.attempts if attempt.succeeded_at or attempt.failed_at]
        last = finished[-1] if finished else None
        if last is not None and last.failed_at and last.commit.contains(commit):
            return self._applied(Verdict.FAILED, commit, target)
        return self._applied(Verdict.PENDING, commit, target)

    def _is_in_scope(self, commit: Commit, target: TargetTruth) -> bool:
        key = (commit.sha, target.path)
        folders = self._folders.get(key)
        if folders is None:
            folders = self._folders[key] = reached_folders(commit.files, target.path)
        return any(is_reached(path, folders) for path in commit.paths)

    def _first_success_with(self, commit: Commit, target: TargetTruth) -> tuple[Attempt | None, Attempt] | None:
        """Return the first success that contains the commit, with the success before it."""
        before = None
        for success in target.successes():
            if success.commit.contains(commit):
                return before, success
            before = success
        return None

    def _applied(self, verdict: Verdict, commit: Commit, target: TargetTruth) -> Outcome:
        """Return the outcome with what the first applied attempt that contains the commit says: which revision
        carried it, when that was fetched and applied. An attempt that failed its checks was applied all the same.
        """
        outcome = Outcome(verdict)
        applied = [a for a in target.attempts if a.applied_at and a.commit.contains(commit)]
        first = applied[0] if applied else None
        if first is None or first.applied_at is None:
            return outcome
        outcome.revisions = tuple(dict.fromkeys(attempt.commit.sha for attempt in applied))
        outcome.via = first.commit.sha if first.commit.sha != commit.sha else None
        fetched = self._truth.fetches.get((target.cluster, target.source, first.commit.sha))
        if fetched is not None and fetched <= first.applied_at:
            outcome.times["fetched"] = fetched
        outcome.times["applied"] = first.applied_at
        running_at = target.running_at(first)
        if running_at is not None:
            outcome.times["running"] = running_at
        return outcome

    def _find_undoing(self, pushed: Pushed, target: TargetTruth) -> str | None:
        """Return the newest contained commit that says it reverts this one."""
        applied = target.successes()[-1].commit
        found = None
        for other in self._truth.pushed:
            if pushed.commit.sha not in other.reverts or other.repository != pushed.repository:
                continue
            if any(applied.contains(commit) for commit in self._carriers(other)):
                found = other.commit.sha
        return found

    def _is_dropped(self, pushed: Pushed) -> bool:
        """Whether it, or an export of it, is no longer on its branch."""
        is_on_source = pushed.repository != self._source.name or self._source.is_on_branch(pushed.commit)
        return not (is_on_source and all(self._manifests.is_on_branch(commit) for commit in self._carriers(pushed)))

    def _carriers(self, pushed: Pushed) -> Iterator[Commit]:
        if pushed.repository == self._manifests.name:
            yield pushed.commit
        for sha in self._made_from(pushed.commit.sha):
            yield self._manifests.commits[sha]

    def _made_from(self, sha: str) -> list[str]:
        """Return the manifests commits that brought a source commit: exported, or within an image."""
        return self._truth.exports.get(sha) or self._truth.bumps.get(sha, [])


def _is_same_output(before: Attempt | None, success: Attempt, target: TargetTruth) -> bool:
    """Whether the sync changed nothing: the same manifests built under the same spec, where Flux says what it built."""
    return (
        target.keeps_history
        and before is not None
        and before.digest == success.digest
        and before.generation == success.generation
    )
