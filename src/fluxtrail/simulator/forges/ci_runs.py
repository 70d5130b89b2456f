"""Runs of CI pipelines as every simulated forge has them: one book, which each shows in its own words.

A run is of one commit of one repository. It may be run again: then it is the same run at its next attempt.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fluxtrail.model.ci import CiState

KEPT_RUNS = 5_000
"""Of each repository; forges forget old ones, too."""
_FIRST_ID = 9_000_000_001
"""Ids are beyond 32 bits, as GitHub's are."""


@dataclass(slots=True)
class Job:
    """A part of an attempt; without a begin it is still to come, or was never run."""

    id: int
    name: str
    state: CiState = CiState.QUEUED
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(slots=True)
class RunAttempt:
    number: int
    queued_at: datetime
    jobs: list[Job]
    state: CiState = CiState.QUEUED
    started_at: datetime | None = None
    updated_at: datetime | None = None
    """When anything of it last changed; it is closed a moment after its last job."""

    @property
    def finished_at(self) -> datetime | None:
        """Return when its last job ended, once it is over."""
        ends = [job.finished_at for job in self.jobs if job.finished_at]
        return max(ends, default=None) if self.state.is_final else None


@dataclass(slots=True)
class Run:
    """One run; `state` and times are those of its last attempt."""

    id: int
    number: int
    """From 1, of its pipeline in its repository."""
    repository: str
    """`acme/shop`."""
    sha: str
    branch: str
    event: str
    """In GitHub's words: `push`, `pull_request`, `workflow_run`."""
    pipeline: str
    title: str
    author: str
    created_at: datetime
    pull_request: int | None = None
    attempts: list[RunAttempt] = field(default_factory=list)

    @property
    def last(self) -> RunAttempt:
        return self.attempts[-1]

    @property
    def state(self) -> CiState:
        return self.last.state

    @property
    def updated_at(self) -> datetime:
        return self.last.updated_at or self.last.queued_at


class CiBook:
    """All runs of all repositories.

    Attributes:
        pages: the address below which runs have their pages: `http://127.0.0.1:8000`.
    """

    def __init__(self) -> None:
        self.pages = "https://github.com"
        self._runs: dict[str, list[Run]] = {}
        self._ids = itertools.count(_FIRST_ID)
        self._job_ids = itertools.count(1)
        self._numbers: dict[tuple[str, str], int] = {}

    def start(
        self,
        repository: str,
        sha: str,
        *,
        at: datetime,
        pipeline: str,
        event: str = "push",
        branch: str = "main",
        title: str = "",
        author: str = "",
        pull_request: int | None = None,
        jobs: Sequence[str] = ("build",),
    ) -> Run:
        """Queue a run."""
        key = (repository, pipeline)
        self._numbers[key] = self._numbers.get(key, 0) + 1
        run = Run(
            id=next(self._ids),
            number=self._numbers[key],
            repository=repository,
            sha=sha,
            branch=branch,
            event=event,
            pipeline=pipeline,
            title=title,
            author=author,
            created_at=at,
            pull_request=pull_request,
        )
        run.attempts.append(self._attempt(1, jobs, at))
        held = self._runs.setdefault(repository, [])
        held.append(run)
        del held[:-KEPT_RUNS]
        return run

    def run_again(self, run: Run, *, at: datetime) -> None:
        """Queue the next attempt of a run that is over."""
        run.attempts.append(self._attempt(len(run.attempts) + 1, [job.name for job in run.last.jobs], at))

    def begin_job(self, run: Run, index: int, *, at: datetime) -> None:
        attempt = run.last
        attempt.started_at = attempt.started_at or at
        attempt.state, attempt.updated_at = CiState.RUNNING, at
        job = attempt.jobs[index]
        job.state, job.started_at = CiState.RUNNING, at

    def end_job(self, run: Run, index: int, state: CiState, *, at: datetime) -> None:
        job = run.last.jobs[index]
        job.state, job.finished_at, run.last.updated_at = state, at, at

    def close(self, run: Run, state: CiState, *, at: datetime) -> None:
        """End an attempt: what has not begun of it is skipped."""
        for job in run.last.jobs:
            if not job.state.is_final:
                job.state = CiState.SKIPPED
        run.last.state, run.last.updated_at = state, at

    def listed(self, repository: str) -> list[Run]:
        """Return the runs of a repository, the newest first.

        Args:
            repository: `acme/shop`; where a forge has projects or groups, `acme/project/shop` is found too.
        """
        owner, _, path = repository.partition("/")
        found = self._runs.get(repository) or self._runs.get(f"{owner}/{path.rpartition('/')[2]}", [])
        return found[::-1]

    def of_owner(self, owner: str) -> list[Run]:
        """Return the runs of all repositories of an owner, the newest first."""
        found = [run for name, runs in self._runs.items() if name.partition("/")[0] == owner for run in runs]
        return sorted(found, key=lambda run: run.id, reverse=True)

    def find(self, repository: str, id_: str) -> Run | None:
        return next((run for run in self.listed(repository) if str(run.id) == id_), None)

    def page_of(self, run: Run) -> str:
        """Return the address of a run's page."""
        return f"{self.pages}/{run.repository}/actions/runs/{run.id}"

    def all(self) -> Iterator[Run]:
        return itertools.chain.from_iterable(self._runs.values())

    def _attempt(self, number: int, jobs: Sequence[str], at: datetime) -> RunAttempt:
        return RunAttempt(number, at, [Job(next(self._job_ids), name) for name in jobs], updated_at=at)
