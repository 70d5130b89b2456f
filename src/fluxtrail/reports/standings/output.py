"""Tells how commits stand: one sink a route. What a receiver knows already is not said again.

* A report names a commit. When it is sent, the commit's trail is read, and every environment's standing is compared
  with what was said of it last: so five commits in one interval, a restart and a repeated event all end in one final
  status each.
* What is final is said before what is under way, and may use the whole budget.
* A repository's trouble (missing, hidden, refused) is its own: the report is put off, and given up in the end. Where
  the whole receiver is away, the dispatcher leaves it alone. A limit is of those who share it: others go on.
* After an attempt whose outcome nobody knows, what is there is read back first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from fluxtrail.model.errors import (
    AuthError,
    ConfigError,
    FluxtrailError,
    RateLimitedError,
    StoreError,
    UpstreamError,
    WireError,
)
from fluxtrail.model.records import CommitId
from fluxtrail.model.report import ClaimedReport, SaidRecord
from fluxtrail.model.views import CommitView
from fluxtrail.reports.at_once import at_once
from fluxtrail.reports.dispatcher import Pace
from fluxtrail.reports.outputs import Settlement
from fluxtrail.reports.ports import Clock
from fluxtrail.reports.routes import Route
from fluxtrail.reports.standings.attempts import Attempt
from fluxtrail.reports.standings.budgets import Budget, Budgets, BudgetSpentError
from fluxtrail.reports.standings.glancing import Glance
from fluxtrail.reports.standings.plan import read_commit
from fluxtrail.reports.standings.ports import SaidBook, Trails
from fluxtrail.reports.standings.saying import FINALS_ONLY, Compose, Saying, Speech
from fluxtrail.reports.standings.speakers import Speaker

log = structlog.get_logger(__name__)
audit = structlog.get_logger("fluxtrail.audit")

PACE = Pace(gather_seconds=1.0, claim=50, timeout_seconds=30.0)
PROMPT_PACE = Pace(gather_seconds=1.0, first_seconds=0.1, claim=50, timeout_seconds=30.0)
"""Of what tells that something is under way: who has merged sees so at once."""
WORKERS = 4
FIRST_RETRY_SECONDS = 30.0
LONGEST_RETRY_SECONDS = 3600.0
UNREACHABLE_LIMIT = 1000
TIMES_LIMIT = 950
"""Said under one key: GitHub takes 1,000 a commit and context. The rest is for what is final."""


def pace_of(route: Route) -> Pace:
    """Return how a route wants to be sent to. Where only ends are told, or all of them in one message, those that come
    together are waited for.
    """
    return PACE if route.kind.is_per_commit or route.kind in FINALS_ONLY or not route.says_pending else PROMPT_PACE


class StandingOutput:
    """A `SettlingOutput`."""

    def __init__(
        self,
        route: Route,
        speaker: Speaker,
        compose: Compose,
        trails: Trails,
        said: SaidBook,
        budgets: Budgets,
        clock: Clock,
        *,
        settle_after: timedelta,
    ) -> None:
        self.route = route
        self._speaker = speaker
        self._compose = compose
        self._trails = trails
        self._said = said
        self._budgets = budgets
        self._clock = clock
        self._settle_after = settle_after
        self._glance = Glance(route, compose.environment_of, compose.retired)
        self.timeout_seconds = PACE.timeout_seconds
        """The longest that saying one thing takes, with all of its calls."""
        self._unreachable: set[str] = set()
        self.used: dict[str, Budget] = {}
        """Budgets that were asked for since the start, by name."""

    @property
    def sink(self) -> str:
        return self.route.sink

    async def deliver(self, reports: Sequence[ClaimedReport], settlement: Settlement) -> None:
        """Say what is new of these commits, and settle each report by itself. See `SettlingOutput`."""
        tellings = await self._read(reports, settlement)
        await at_once(tellings, lambda one: one.tell(), workers=WORKERS, is_over=lambda: settlement.is_late)

    async def _read(self, reports: Sequence[ClaimedReport], settlement: Settlement) -> list[_Telling]:
        commits: list[tuple[ClaimedReport, CommitId]] = []
        for report in reports:
            try:
                commits.append((report, read_commit(report.body)))
            except WireError as exc:
                await settlement.bury([report], str(exc))
        now = self._clock.now()
        said = await self._said.below(self.sink, [str(id_) for _, id_ in commits])
        commits = await self._without_news(commits, said, now, settlement)
        trails = await self._trails.trails(
            [id_ for _, id_ in commits],
            now=now,
            settle_after=self._settle_after,
            is_whole=self.route.says_unaffected,
        )
        found: list[_Telling] = []
        for report, id_ in commits:
            known = said.get(str(id_), ())
            trail = trails.get(id_)
            try:
                speech = self._compose.speech(id_, trail, known, now) if trail is not None else Speech()
            except WireError as exc:
                await settlement.bury([report], str(exc))
                continue
            if not speech.sayings and speech.again_at is None:
                await settlement.drop([report])
            else:
                found.append(_Telling(self, report, speech, known, settlement))
        return sorted(found, key=lambda one: (not one.has_final, one.report.created_at))

    async def _without_news(
        self,
        commits: list[tuple[ClaimedReport, CommitId]],
        said: Mapping[str, Sequence[SaidRecord]],
        now: datetime,
        settlement: Settlement,
    ) -> list[tuple[ClaimedReport, CommitId]]:
        """Drop the reports of commits that a glance shows to be as they were told; return the others."""
        outlines = await self._trails.outlines([id_ for _, id_ in commits])
        known = [
            report
            for report, id_ in commits
            if id_ in outlines and self._glance.has_nothing_new(outlines[id_], said.get(str(id_), ()), now)
        ]
        await settlement.drop(known)
        passed = {report.id for report in known}
        return [(report, id_) for report, id_ in commits if report.id not in passed]

    async def say(self, saying: Saying, last: SaidRecord | None) -> None:
        """Say one thing, and remember that it was said. Raises as `Speaker.say`, and StoreError."""
        repository = saying.standing.commit.repository
        budget = self._speaker.budget_of(repository)
        if budget is None:
            self._note_unreachable(repository)
            return
        self.used[budget.name] = budget
        attempt = Attempt(saying, last, sink=self.sink, said=self._said, clock=self._clock)
        if attempt.times >= TIMES_LIMIT and not saying.state.is_final:
            return

        async def spend() -> None:
            await self._budgets.take(budget, is_final=saying.state.is_final)
            await attempt.begin()

        self._budgets.check(budget)
        try:
            async with asyncio.timeout(self.timeout_seconds):  # so that no attempt outlives its lease
                remote_id = await self._speaker.say(
                    saying, last, spend=spend, keep=attempt.keep, is_unsure=attempt.is_unsure
                )
        except RateLimitedError as exc:
            raise self._budgets.pause(budget, exc) from exc
        except TimeoutError as exc:
            raise UpstreamError(f"no answer within {self.timeout_seconds:.0f} s", retryable=True) from exc
        if attempt.has_begun:
            self._audit(saying)
        await attempt.end(remote_id)

    def _note_unreachable(self, repository: str) -> None:
        """Say once of each repository that it is not told: on the forge of another kind that is as it should be."""
        if repository not in self._unreachable and len(self._unreachable) < UNREACHABLE_LIMIT:
            self._unreachable.add(repository)
            remedy = "it is on no forge of this kind that is known, allowed and has a credential; see docs/statuses.md"
            log.info("repository_not_told", route=self.route.name, repository=repository, reason=remedy)

    def _audit(self, saying: Saying) -> None:
        audit.info(
            "told",
            route=self.route.name,
            kind=self.route.kind.value,
            repository=saying.standing.commit.repository,
            sha=saying.standing.commit.sha,
            environment=saying.standing.environment,
            state=saying.state.value,
        )

    async def try_out(self, commit: CommitView) -> str:
        """Say something that says it is a test, on a commit; returns in words what was done.

        Raises:
            FluxtrailError: it was refused. ConflictError: it cannot be tried without doing harm.
        """
        return await self._speaker.try_out(self._compose.test(commit))

    def serves(self, commit: CommitView) -> bool:
        """Whether the route tells of a commit, and can."""
        is_wanted = self.route.admits_commit(commit.repository, is_carrier=commit.is_carrier)
        return is_wanted and self._speaker.budget_of(commit.repository) is not None

    def now(self) -> datetime:
        return self._clock.now()


class _Telling:
    """One report with what it comes to."""

    def __init__(
        self,
        output: StandingOutput,
        report: ClaimedReport,
        speech: Speech,
        said: Sequence[SaidRecord],
        settlement: Settlement,
    ) -> None:
        self.report = report
        self._output = output
        self._speech = speech
        self._said = {record.key: record for record in said}
        self._settlement = settlement
        self._wait_until: list[datetime] = [speech.again_at] if speech.again_at is not None else []
        self._answer = ""
        """Of a receiver that asks for a pause."""
        self._problem: FluxtrailError | None = None

    @property
    def has_final(self) -> bool:
        return any(saying.state.is_final for saying in self._speech.sayings)

    async def tell(self) -> None:
        """Raises FluxtrailError where the receiver is away, and StoreError."""
        for saying in self._speech.sayings:
            if self._settlement.is_late:
                return
            await self._say(saying)
        await self._settle()

    async def _say(self, saying: Saying) -> None:
        try:
            await self._output.say(saying, self._said.get(saying.key))
        except BudgetSpentError as exc:
            self._wait_until.append(exc.until)
            self._answer = self._answer or exc.answer
        except StoreError:
            raise
        except FluxtrailError as exc:
            if exc.retryable:
                raise
            self._problem = exc
            log.warning("status_refused", sink=self._output.sink, sha=saying.standing.commit.sha, error=str(exc))

    async def _settle(self) -> None:
        if self._problem is not None:
            await self._settle_refused(self._problem)
        elif self._wait_until:
            await self._settlement.postpone([self.report], until=min(self._wait_until), answer=self._answer)
        else:
            await self._settlement.acknowledge([self.report])

    async def _settle_refused(self, problem: FluxtrailError) -> None:
        """What credentials and files lack may be given to them: that is waited for. All else is given up in the end."""
        if not isinstance(problem, AuthError | ConfigError) and self._settlement.is_stubborn(self.report):
            await self._settlement.bury([self.report], str(problem))
            return
        wait = min(FIRST_RETRY_SECONDS * 2.0 ** min(self.report.attempts, 12), LONGEST_RETRY_SECONDS)
        until = self._output.now() + timedelta(seconds=wait)
        await self._settlement.postpone([self.report], until=until, answer=str(problem))
