"""CI at work: each commit that comes to a branch is built by a run, and goes on in the order of the branch.

A run may fail, and is run again by somebody; one is cancelled where a newer commit waits, and its commit goes with
that one, or it is run again, too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import structlog

from fluxtrail.model.ci import CiState
from fluxtrail.simulator.clock import SimulatedClock, seconds
from fluxtrail.simulator.duty import Duty
from fluxtrail.simulator.forges.ci_runs import CiBook, Run
from fluxtrail.simulator.pull_requests import PullRequest, login_of
from fluxtrail.simulator.repositories import Commit, Repository
from fluxtrail.simulator.truth import Truth

log = structlog.get_logger(__name__)

BUILD = "Build"
CHECK = "Check"
EXPORT = "Export"
_JOBS = ("test", "package")
_FAILING, _CANCELLED = 0.12, 0.10
"""How often an attempt does not go well."""
_CLOSING_SECONDS = 0.2
"""From the end of the last job to that of the run."""


class Fate(StrEnum):
    """What becomes of a run's first attempt; the next one succeeds."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCEL = "cancel"


@dataclass(slots=True)
class _Build:
    """A commit on its way through CI. All of it is decided when it is pushed."""

    commit: Commit
    run: Run
    fate: Fate
    queued_seconds: float
    job_seconds: tuple[float, float]
    pause_seconds: float
    """Until somebody runs it again."""
    is_over: bool = False


class Builds:
    """CI of one repository.

    Args:
        on_built: called with each commit that is built, or goes with a newer one that is, oldest first.
        job_seconds: simulated ones that a job takes, at least and at most.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        book: CiBook,
        clock: SimulatedClock,
        truth: Truth,
        dice: random.Random,
        on_built: Callable[[Commit], None],
        job_seconds: tuple[float, float] = (0.2, 1.0),
    ) -> None:
        self.duty = Duty(clock)
        self._repository = repository
        self.book = book
        self._clock = clock
        self.truth = truth
        self._dice = dice
        self._on_built = on_built
        self._job_seconds = job_seconds
        self._arrived: list[_Build] = []
        self._line: list[_Build] = []
        """What is not handed on yet, oldest first."""

    def is_settled(self) -> bool:
        return not self._line

    def add(self, commit: Commit) -> None:
        """A commit was pushed, or merged."""
        run = self.book.start(
            self._repository.name,
            commit.sha,
            at=self._clock.now(),
            pipeline=BUILD,
            title=commit.subject,
            branch=self._repository.branch,
            author=login_of(commit.author),
            jobs=_JOBS,
        )
        build = _Build(
            commit,
            run,
            self._dice.choices(list(Fate), [1 - _FAILING - _CANCELLED, _FAILING, _CANCELLED])[0],
            queued_seconds=self._dice.uniform(0.1, 0.5),
            job_seconds=(self._dice.uniform(*self._job_seconds), self._dice.uniform(*self._job_seconds)),
            pause_seconds=self._dice.uniform(0.3, 1.0),
        )
        self._line.append(build)
        self._arrived.append(build)
        self.duty.poke()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                arrived, self._arrived = self._arrived, []
                for build in arrived:
                    group.create_task(self._build(build), name=f"build {build.run.id}")
                await self.duty.wait(None)

    async def _build(self, build: _Build) -> None:
        state = await self._attempt(build, build.fate)
        is_superseded = state is CiState.CANCELLED and self._line[-1] is not build
        if state is not CiState.SUCCEEDED and not is_superseded:
            await self._clock.sleep(build.pause_seconds)
            self.book.run_again(build.run, at=self._clock.now())
            await self._attempt(build, Fate.SUCCESS)
        build.is_over = True
        self._hand_on()

    async def _attempt(self, build: _Build, fate: Fate) -> CiState:
        """Run one attempt to its end; return how it went."""
        run, last = build.run, len(_JOBS) - 1
        await self._clock.sleep(build.queued_seconds)
        state = CiState.SUCCEEDED
        for index, lasts in enumerate(build.job_seconds):
            self.book.begin_job(run, index, at=self._clock.now())
            is_end = fate is not Fate.SUCCESS and index == last
            await self._clock.sleep(lasts / 2 if is_end else lasts)
            if is_end:
                state = CiState.FAILED if fate is Fate.FAILURE else CiState.CANCELLED
            self.book.end_job(run, index, state, at=self._clock.now())
        await self._clock.sleep(_CLOSING_SECONDS)
        self.book.close(run, state, at=self._clock.now())
        self.truth.ran(run)
        return state

    def _hand_on(self) -> None:
        """Let go what is built, and what was cancelled for it; what was pushed earlier and is not over holds it up."""
        count = next((i for i, build in enumerate(self._line) if not build.is_over), len(self._line))
        while count and self._line[count - 1].run.state is not CiState.SUCCEEDED:
            count -= 1
        done, self._line = self._line[:count], self._line[count:]
        for build in done:
            self._on_built(build.commit)


class ExportRuns:
    """The runs of the pipeline that writes the manifests repository: set off when a build is over."""

    def __init__(self, repository: Repository, *, book: CiBook, clock: SimulatedClock, truth: Truth) -> None:
        self._repository = repository
        self._book = book
        self._clock = clock
        self._truth = truth

    def begin(self, newest: Commit) -> Run:
        now = self._clock.now()
        run = self._book.start(
            self._repository.name,
            newest.sha,
            at=now,
            pipeline=EXPORT,
            event="workflow_run",
            title=newest.subject,
            branch=self._repository.branch,
            author=login_of(newest.author),
            jobs=("export",),
        )
        self._book.begin_job(run, 0, at=now)
        return run

    def end(self, run: Run) -> None:
        now = self._clock.now()
        self._book.end_job(run, 0, CiState.SUCCEEDED, at=now)
        self._book.close(run, CiState.SUCCEEDED, at=now)
        self._truth.ran(run)

    def page_of(self, run: Run) -> str:
        return self._book.page_of(run)


def note_check(book: CiBook, pull: PullRequest, *, repository: str, clock: SimulatedClock) -> None:
    """Note that a pull request's last commit was checked, before it was merged: a run that builds nothing of ours."""
    now = clock.now()
    run = book.start(
        repository,
        pull.head_shas[-1] if pull.head_shas else pull.merge_sha,
        at=now - seconds(60),
        pipeline=CHECK,
        event="pull_request",
        branch=pull.head_ref,
        title=pull.title,
        author=pull.author,
        pull_request=pull.number,
        jobs=("test",),
    )
    book.begin_job(run, 0, at=now - seconds(55))
    book.end_job(run, 0, CiState.SUCCEEDED, at=now - seconds(20))
    book.close(run, CiState.SUCCEEDED, at=now - seconds(19))
