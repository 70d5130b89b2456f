"""One look at the CI of one repository: what to ask, in which order, and how much of it now.

First the newest runs, one page; then what that page does not tell: how the runs that are over went, what became of
those that are open and have left the page, the runs of commits that it does not show, and their pull requests. Each is
asked for by what the ledger lacks, so a look that is cut short, or a restart, only delays it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec
import structlog

from fluxtrail.model.ci import CiKey, CiRun, CiState, PullRequest
from fluxtrail.model.ci_merging import has_stages_of
from fluxtrail.model.errors import NotFoundError, WireError
from fluxtrail.model.records import CommitId, CommitRecord, RepositoryRecord
from fluxtrail.trail.ci.budget import RequestBudget
from fluxtrail.trail.ci.ports import CiPlace, CiUnit
from fluxtrail.trail.ci.roles import CiRule
from fluxtrail.trail.ports import Clock

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace
T = TypeVar("T")

COMMITS = 300
"""The newest of a repository are looked at, within the horizon."""
FIRST_PAGE, PAGE = 100, 30
"""Runs in one look: a page of a hundred may have megabytes, and those after the first look need only what is new."""
DETAILS, OPEN, MISSING, PULLS = 20, 20, 5, 5
"""How many of each are asked for in one look."""
REMEMBERED = 5_000
MISSING_AFTER = timedelta(minutes=1)
"""Most pipelines have begun by then."""
REST_SECONDS, LONGEST_REST_SECONDS = 60.0, 1800.0
"""Between two questions about the same thing, which doubles each time."""
PULL_REST = timedelta(minutes=10)
_TOLD_APART = frozenset({CiState.SUCCEEDED, CiState.FAILED, CiState.CANCELLED})
"""Ends whose stages are worth a question: nothing ran of what was skipped."""


class Known(NamedTuple):
    """What the ledger has of a repository, within the horizon."""

    commits: Sequence[CommitRecord]
    shas: frozenset[str]
    """Theirs, and what else leads to them."""
    runs: Mapping[CiKey, CiRun]
    built: frozenset[str]
    """Shas of the commits of which a run is known."""
    open_runs: Sequence[CiRun]
    pulls: Mapping[int, tuple[PullRequest, datetime]]

    @property
    def is_busy(self) -> bool:
        """Whether something goes on; what waits for people may wait for long."""
        return any(run.state is not CiState.WAITING for run in self.open_runs)


async def read_known(unit: CiUnit, repository: RepositoryRecord, *, since: datetime) -> Known:
    commits = await unit.recent_commits(repository.id, since=since, limit=COMMITS)
    aliases = await unit.aliases_of([commit.id for commit in commits])
    shas = frozenset(sha for commit in commits for sha in (commit.sha, *aliases.get(commit.id, ())))
    runs = await unit.ci_runs_of(repository.canonical, sorted(shas))
    numbers = [commit.pull_request for commit in commits if commit.pull_request is not None]
    return Known(
        commits=commits,
        shas=shas,
        runs={run.key: run for some in runs.values() for run in some},
        built=frozenset(commit.sha for commit in commits if _is_told(commit, aliases, runs)),
        open_runs=await unit.open_ci_runs(repository.canonical, since=since, limit=OPEN),
        pulls=await unit.pull_requests_of(repository.canonical, numbers),
    )


def _is_told(commit: CommitRecord, aliases: Mapping[CommitId, Sequence[str]], runs: Mapping[str, object]) -> bool:
    return any(sha in runs for sha in (commit.sha, *aliases.get(commit.id, ())))


class _Turn(NamedTuple):
    due: float
    rest: float


class Memory:
    """What is not worth the ledger: what was asked in vain. Forgotten at a restart, and then asked once more."""

    def __init__(self) -> None:
        self.has_looked = False
        self.asked: dict[tuple[CiKey, int, datetime], None] = {}
        """Attempts, as of their last change, that were asked for and have no stages, or are gone."""
        self.turns: dict[str, _Turn] = {}
        """When a commit without runs is asked about again (monotonic), and after how long then."""
        self.open: dict[CiKey, _Turn] = {}
        """The same of runs that are open."""
        self.pulls: dict[int, None] = {}
        """Pull requests that are none."""

    def trim(self, known: Known) -> None:
        """Forget what is not asked about any more."""
        open_runs = {run.key for run in known.open_runs}
        self.turns = {sha: turn for sha, turn in self.turns.items() if sha in known.shas}
        self.open = {key: turn for key, turn in self.open.items() if key in open_runs}
        self.asked = dict(list(self.asked.items())[-REMEMBERED:])
        self.pulls = dict(list(self.pulls.items())[-REMEMBERED:])


class OutOfBudgetError(Exception):
    """Nothing more may be asked now."""


def _is_due(turn: _Turn | None, now: float) -> bool:
    return turn is None or turn.due <= now


def _next(turn: _Turn | None, now: float) -> _Turn:
    rest = turn.rest if turn is not None else REST_SECONDS
    return _Turn(now + rest, min(2 * rest, LONGEST_REST_SECONDS))


class Look:
    """Asks; `runs` and `pulls` are what it found, however it ends."""

    def __init__(
        self,
        repository: RepositoryRecord,
        place: CiPlace,
        rule: CiRule,
        known: Known,
        memory: Memory,
        *,
        budget: RequestBudget,
        clock: Clock,
        since: datetime,
        has_pulls: bool = True,
    ) -> None:
        """Args:
        has_pulls: whether its pull requests are asked for here.
        """
        self._canonical = repository.canonical
        self._reader, self._path = place
        self._rule = rule
        self._known = known
        self._memory = memory
        self._budget = budget
        self._clock = clock
        self._since = since
        self._has_pulls = has_pulls
        self._same: dict[tuple[object, ...], list[CiKey]] = {}
        for key in known.runs:
            self._same.setdefault(key.run, []).append(key)
        self.runs: dict[CiKey, CiRun] = {}
        self.pulls: list[PullRequest] = []

    async def ask(self) -> None:
        """Raises FluxtrailError where the forge cannot be asked now, OutOfBudgetError where it must not."""
        self._spend()
        limit = PAGE if self._memory.has_looked else FIRST_PAGE
        page = await self._reader.recent_runs(self._path, since=self._since, limit=limit)
        self._memory.has_looked = True
        self._note(page)
        if len(page) >= limit:
            await self._ask_missing()
        await self._ask_open()
        await self._ask_details()
        if self._has_pulls:
            await self._ask_pulls()

    async def _ask_missing(self) -> None:
        """Ask by sha for commits that the page does not show, ever more rarely."""
        now, latest = self._clock.monotonic(), self._clock.now() - MISSING_AFTER
        shown = {run.sha for run in self.runs.values()}
        wanted = [
            commit.sha
            for commit in self._known.commits
            if commit.sha not in shown
            and commit.sha not in self._known.built
            and (commit.merged is None or commit.merged.at <= latest)
            and _is_due(self._memory.turns.get(commit.sha), now)
        ]
        for sha in wanted[:MISSING]:
            self._memory.turns[sha] = _next(self._memory.turns.get(sha), now)
            self._note(await self._one(partial(self._reader.runs_of, self._path, sha)) or ())

    async def _ask_open(self) -> None:
        """Ask what became of runs that are open as far as we know, and that no page shows any more."""
        now, turns = self._clock.monotonic(), self._memory.open
        theirs = [run for run in self._known.open_runs if run.system is self._reader.system]
        for run in theirs:
            if run.key not in self.runs and not self._was_asked(run) and _is_due(turns.get(run.key), now):
                turns[run.key] = _next(turns.get(run.key), now)
                await self._ask_run(run)

    async def _ask_details(self) -> None:
        """Ask for the stages of runs that are over, the newest first."""
        lacking = [
            run
            for run in sorted(self.runs.values(), key=lambda run: run.at, reverse=True)
            if run.state in _TOLD_APART and not run.stages and not self._has_stages(run) and not self._was_asked(run)
        ]
        for run in lacking[:DETAILS]:
            await self._ask_run(run, is_remembered=True)

    def _has_stages(self, run: CiRun) -> bool:
        known = self._known.runs.get(run.key)
        return known is not None and has_stages_of(run, known)

    def _was_asked(self, run: CiRun) -> bool:
        return (run.key, run.attempt, run.updated_at) in self._memory.asked

    async def _ask_run(self, run: CiRun, *, is_remembered: bool = False) -> None:
        """Ask for one run in all its roles; one that is gone is not asked for again."""
        if self._was_asked(run):
            return
        found = await self._one(partial(self._reader.run, self._path, run.run_id), requests=2)
        if found is None or is_remembered or found.state.is_final:
            for key, other in [*self.runs.items(), (run.key, run)]:
                if key.run == run.key.run:
                    for one in (other, found or other):
                        self._memory.asked[key, one.attempt, one.updated_at] = None
        if found is not None:
            self._note([found])

    async def _ask_pulls(self) -> None:
        """Ask about pull requests until they are known to be over: then nothing of them changes that matters here."""
        now, wanted = self._clock.now(), dict[int, None]()
        for commit in self._known.commits:
            number = commit.pull_request
            if number is None or number in self._memory.pulls:
                continue
            known = self._known.pulls.get(number)
            if known is None or (known[0].state == "open" and now - known[1] >= PULL_REST):
                wanted[number] = None
        for number in list(wanted)[:PULLS]:
            found = await self._one(partial(self._reader.pull_request, self._path, number), requests=2)
            if found is None:
                self._memory.pulls[number] = None
            else:
                self.pulls.append(replace(found, repository=self._canonical))

    async def _one(self, ask: Callable[[], Awaitable[T | None]], *, requests: int = 1) -> T | None:
        """Ask for one thing; an answer that cannot be read is none, and hides no other."""
        self._spend(requests)
        try:
            return await ask()
        except (WireError, NotFoundError) as exc:
            log.info("ci answer left out", repository=self._canonical, error=str(exc))
            return None

    def _note(self, told: Iterable[CiRun]) -> None:
        """Take the runs of commits that are followed, in each role that they have.

        What a pipeline has stated of its run counts too: that it exports, and which commits it exports besides.
        """
        for run in told:
            found = {(role, run.sha) for role in self._rule.roles_of(run)}
            found |= {(key.role, key.sha) for key in self._same.get(run.key.run, ())}
            for role, sha in sorted(found):
                if sha in self._known.shas:
                    noted = replace(run, repository=self._canonical, role=role, sha=sha)
                    self.runs[noted.key] = noted

    def _spend(self, requests: int = 1) -> None:
        if not self._budget.take(self._clock.monotonic(), requests=requests):
            raise OutOfBudgetError
