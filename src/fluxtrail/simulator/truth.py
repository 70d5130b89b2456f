"""What really happened: an append-only log on disk, and the same facts in memory for the verdicts.

The simulator writes here what it did at the moment it did it. Nothing is derived from what Fluxtrail says or knows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from fluxtrail.model.ci import CiState
from fluxtrail.simulator.clock import SimulatedClock, precise_time
from fluxtrail.simulator.forges.ci_runs import Run
from fluxtrail.simulator.repositories import Commit, Repository

if TYPE_CHECKING:
    from fluxtrail.simulator.helm.truth import ReleaseTruth


@dataclass(frozen=True, slots=True)
class Changed:
    """An object that a sync made, or made another of."""

    place: tuple[str, str, str]
    """(resource, namespace, name)."""
    uid: str
    generation: int
    is_to_run: bool
    """Whether it ever ends with pods."""


@dataclass(slots=True)
class Attempt:
    """One reconciliation of one revision on one target."""

    commit: Commit
    generation: int
    digest: str | None = None
    """Of the built manifests; None while they are not built."""
    applied_at: datetime | None = None
    succeeded_at: datetime | None = None
    failed_at: datetime | None = None
    reason: str = ""
    changed: list[Changed] = field(default_factory=list)
    """What it made of the cluster's objects."""


RolledAt = Callable[[str, int], datetime | None]
"""(uid, generation) -> when that generation of a workload, or a later one, first ran."""


def latest_roll_out(
    rolled_at: RolledAt | None, changed: Iterable[Changed], applied_at: datetime | None
) -> datetime | None:
    """Return when the last of what was changed ran, not before it was applied; None: not yet, or nothing is to run."""
    workloads = [item for item in changed if item.is_to_run]
    if rolled_at is None or applied_at is None or not workloads:
        return None
    moments = [rolled_at(item.uid, item.generation) for item in workloads]
    if any(moment is None for moment in moments):
        return None
    return max([applied_at, *(moment for moment in moments if moment is not None)])


@dataclass(slots=True)
class TargetTruth:
    """One Kustomization: what it is made from, and all it did."""

    cluster: str
    name: str
    """`Kustomization/<namespace>/<name>`."""
    source: str
    path: str
    has_checks: bool
    keeps_history: bool
    """Whether this Flux writes digests of what it built; older ones do not, and nobody can know better."""
    attempts: list[Attempt] = field(default_factory=list)
    baseline: Commit | None = None
    """What was applied when the script began."""
    rolled_at: RolledAt | None = None
    """None where nobody simulates what runs: a remote cluster."""

    def successes(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.succeeded_at]

    def running_at(self, attempt: Attempt) -> datetime | None:
        """Return when all that an attempt changed ran; None: not yet, or there is nothing to run."""
        return latest_roll_out(self.rolled_at, attempt.changed, attempt.applied_at)


@dataclass(frozen=True, slots=True)
class Pushed:
    """A commit that came to a followed branch, and how."""

    repository: str
    commit: Commit
    at: datetime
    """When the branch moved."""
    merged_at: datetime | None
    """The pull request's merge time, where there was one."""
    is_export: bool
    reverts: tuple[str, ...]


class CommitBuild(NamedTuple):
    """How CI left a commit."""

    state: CiState
    built_at: datetime | None
    """When the last job ended of what built it."""


class Truth:
    """The log and the journal.

    Args:
        path: of the log: one JSON object a line, each on disk before the world goes on.
        clock: dates the lines.
    """

    def __init__(self, path: Path, *, clock: SimulatedClock) -> None:
        self.path = path
        self.clock = clock
        self.pushed: list[Pushed] = []
        self.exports: dict[str, list[str]] = {}
        """Source sha -> manifests shas that were made from it."""
        self.bumps: dict[str, list[str]] = {}
        """An application's sha -> manifests shas that brought an image with it."""
        self.builds: dict[str, CommitBuild] = {}
        """Sha -> how its build ended; empty where no CI is simulated."""
        self.fetches: dict[tuple[str, str, str], datetime] = {}
        """(cluster, source, sha) -> when it was first fetched."""
        self.targets: list[TargetTruth] = []
        self.releases: list[ReleaseTruth] = []
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def close(self) -> None:
        self._file.close()

    def note(self, kind: str, **facts: Any) -> datetime:
        """Write one line; return its time."""
        at = self.clock.now()
        line = {"at": precise_time(at), "kind": kind} | facts
        self._file.write(json.dumps(line, default=_plain) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return at

    def push(
        self,
        repository: Repository,
        commit: Commit,
        *,
        merged_at: datetime | None = None,
        is_export: bool = False,
        reverts: tuple[str, ...] = (),
    ) -> None:
        at = self.note(
            "push",
            repository=repository.name,
            branch=repository.branch,
            sha=commit.sha,
            parents=commit.parents,
            subject=commit.subject,
            paths=commit.paths,
            merged_at=merged_at,
            is_export=is_export,
        )
        self.pushed.append(Pushed(repository.name, commit, at, merged_at, is_export, reverts))

    def export(self, manifests: Commit, sources: list[Commit]) -> None:
        self.note("export", sha=manifests.sha, sources=[commit.sha for commit in sources])
        for commit in sources:
            self.exports.setdefault(commit.sha, []).append(manifests.sha)

    def bump(self, manifests: Commit, commits: list[Commit]) -> None:
        """An image with these commits came to the manifests repository."""
        self.note("bump", sha=manifests.sha, commits=[commit.sha for commit in commits])
        for commit in commits:
            self.bumps.setdefault(commit.sha, []).append(manifests.sha)

    def ran(self, run: Run) -> None:
        """An attempt of a CI run is over."""
        ended = run.last.finished_at
        facts = {"repository": run.repository, "sha": run.sha, "run": run.id, "attempt": run.last.number}
        facts |= {"pipeline": run.pipeline, "event": run.event, "state": run.state.value}
        self.note("ci_run", **facts, finished_at=precise_time(ended) if ended else None)
        if run.event == "push":
            is_built = run.state is CiState.SUCCEEDED
            self.builds[run.sha] = CommitBuild(run.state, ended if is_built else None)

    def force_push(self, repository: Repository, *, before: Commit, after: Commit) -> None:
        self.note("force_push", repository=repository.name, before=before.sha, after=after.sha)

    def fetched(self, cluster: str, source: str, sha: str) -> datetime:
        at = self.note("fetched", cluster=cluster, source=source, sha=sha)
        self.fetches.setdefault((cluster, source, sha), at)
        return at

    def begin(self, target: TargetTruth, commit: Commit, *, generation: int) -> Attempt:
        attempt = Attempt(commit=commit, generation=generation)
        target.attempts.append(attempt)
        return attempt

    def applied(self, target: TargetTruth, attempt: Attempt) -> None:
        """The first sign of it: health checks began, or, without any, the revision is the applied one."""
        attempt.applied_at = self._note_attempt("applied", target, attempt, changed=_changes(attempt))

    def succeeded(self, target: TargetTruth, attempt: Attempt) -> None:
        attempt.succeeded_at = self._note_attempt("succeeded", target, attempt)

    def failed(self, target: TargetTruth, attempt: Attempt, reason: str) -> None:
        attempt.reason = reason
        attempt.failed_at = self._note_attempt("failed", target, attempt)

    def begin_script(self) -> None:
        """What is applied now is what everybody starts from: no claim is made about it."""
        for target in self.targets:
            successes = target.successes()
            target.baseline = successes[-1].commit if successes else None
        self.pushed.clear()
        self.note("script_begins", baselines={f"{t.cluster}/{t.name}": _sha(t.baseline) for t in self.targets})

    def _note_attempt(self, kind: str, target: TargetTruth, attempt: Attempt, **more: Any) -> datetime:
        facts = {"cluster": target.cluster, "target": target.name, "sha": attempt.commit.sha, "reason": attempt.reason}
        return self.note(kind, **facts, digest=attempt.digest, generation=attempt.generation, **more)


def _changes(attempt: Attempt) -> list[str]:
    return [f"{'/'.join(item.place)}@{item.generation}" for item in attempt.changed]


def _sha(commit: Commit | None) -> str | None:
    return commit.sha if commit else None


def _plain(value: Any) -> str:
    return precise_time(value) if isinstance(value, datetime) else str(value)
