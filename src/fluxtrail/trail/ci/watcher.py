"""Watches CI: asks about each followed source repository in a steady rhythm, and at once when something happens there.

Level-based: a look begins with what the ledger lacks, and ends in one unit; nothing else is remembered that matters.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from fluxtrail.model.ci import CiSystem
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.records import RepositoryId, RepositoryRecord
from fluxtrail.trail.ci.asking import Known, Look, Memory, OutOfBudgetError, read_known
from fluxtrail.trail.ci.budget import RequestBudget
from fluxtrail.trail.ci.durations import Durations, read_durations
from fluxtrail.trail.ci.judging import judge_builds, take_runs
from fluxtrail.trail.ci.ports import CiLedger, CiPlace, CiPlaces
from fluxtrail.trail.ci.roles import CiRule, rule_of
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry

log = structlog.get_logger(__name__)

CONCURRENCY = 4
QUIET_FACTOR = 10
"""Where nothing is under way, one look in so many is enough: what happens wakes us."""
BUSY_FOR = timedelta(hours=1)
"""After a merge something may still begin."""
BACK_OFF_LIMIT = timedelta(minutes=30)
BUDGET_REST_SECONDS = 60.0
TICK_SECONDS = 1.0
NEVER = float("inf")


class _PlaceState:
    """What is known of one of the systems that a repository's runs are of."""

    def __init__(self) -> None:
        self.due = 0.0
        """Before it, a place that failed is left alone."""
        self.failures = 0
        self.problem = ""
        self.memory = Memory()


class _State:
    """What is known of one repository between two looks."""

    def __init__(self) -> None:
        self.due = 0.0
        self.is_asked = False
        self.heads: Mapping[str, str | None] = {}
        self.places: dict[CiSystem, _PlaceState] = {}

    @property
    def is_failing(self) -> bool:
        """Whether nobody answers."""
        return bool(self.places) and all(place.failures for place in self.places.values())

    def rest(self, until: float) -> None:
        """Wait for the next look; not where something happened while this one went on."""
        self.due = min(self.due, until)


class CiWatcher:
    def __init__(
        self,
        *,
        registry: Registry,
        ledger: CiLedger,
        places: CiPlaces,
        clock: Clock,
        rules: Sequence[CiRule] = (),
        every: timedelta = timedelta(seconds=30),
        horizon: timedelta = timedelta(hours=24),
        requests_per_hour: float = 2_000,
    ) -> None:
        """Args:
        rules: the first that is about a repository counts.
        every: the time between two looks where something is under way.
        horizon: commits and runs that are older are left as they are.
        """
        self._registry = registry
        self._ledger = ledger
        self._places = places
        self._clock = clock
        self._rules = tuple(rules)
        self._every = every.total_seconds()
        self._horizon = horizon
        self.budget = RequestBudget(requests_per_hour, now=clock.monotonic())
        self._states: dict[RepositoryId, _State] = {}
        self._wake = asyncio.Event()
        self.durations = Durations()
        """The figures, as of the last look."""
        self.failures: Counter[str] = Counter()
        """Looks that failed, by host."""
        self.changed_runs = 0

    @property
    def asked_repositories(self) -> int:
        """How many repositories somebody was asked about at the last look."""
        return sum(state.is_asked for state in self._states.values())

    def poke(self, repository_id: RepositoryId) -> None:
        """Look at a repository now, unless it is failing."""
        state = self._states.get(repository_id)
        if state is not None and not state.is_failing:
            state.due = 0.0
            self._wake.set()

    async def run(self) -> None:
        """Watch for ever."""
        async with self._ledger.unit() as unit:
            self.durations = read_durations(await unit.get_note(Durations.NOTE))
        while True:
            self._wake.clear()
            await self.look()
            await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(TICK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def look(self) -> None:
        """Look at every repository that is due."""
        gate = asyncio.Semaphore(CONCURRENCY)

        async def look_at(repository: RepositoryRecord) -> None:
            async with gate:
                await self._look_at(repository, self._states[repository.id])

        async with asyncio.TaskGroup() as group:
            for repository in self._due():
                group.create_task(look_at(repository), name=f"ci of repository {repository.id}")

    def _due(self) -> list[RepositoryRecord]:
        now, found = self._clock.monotonic(), []
        heads = self._heads()
        known = self._registry.repositories
        self._states = {id_: state for id_, state in self._states.items() if id_ in known}
        for repository in known.values():
            if repository.is_artifact or not rule_of(self._rules, repository.canonical).enabled:
                continue
            state = self._states.setdefault(repository.id, _State())
            has_moved = state.heads != heads.get(repository.id, {}) and not state.is_failing
            if state.due <= now or has_moved:
                state.heads = heads.get(repository.id, {})
                found.append((state.due, repository))
        return [repository for _, repository in sorted(found, key=lambda item: (item[0], item[1].id))]

    def _heads(self) -> dict[RepositoryId, dict[str, str | None]]:
        found: dict[RepositoryId, dict[str, str | None]] = {}
        for (repository_id, branch), record in self._registry.branches.items():
            found.setdefault(repository_id, {})[branch] = record.head
        return found

    async def _look_at(self, repository: RepositoryRecord, state: _State) -> None:
        since = self._clock.now() - self._horizon
        state.due = NEVER
        try:
            async with self._ledger.unit() as unit:
                known = await read_known(unit, repository, since=since)
            await self._ask(repository, state, known)
        except OutOfBudgetError:
            state.rest(self._clock.monotonic() + BUDGET_REST_SECONDS)
            return
        except FluxtrailError as exc:
            log.warning("ci not kept", repository=repository.canonical, error=str(exc))
            state.rest(self._clock.monotonic() + (exc.retry_after_seconds or self._every))
            return
        except Exception:
            log.exception("ci not looked at", repository=repository.canonical)
            state.due = self._clock.monotonic() + BACK_OFF_LIMIT.total_seconds()
            return
        if state.is_failing:
            state.due = min(place.due for place in state.places.values())
            return
        pace = 1 if self._is_busy(known) else QUIET_FACTOR
        state.rest(self._clock.monotonic() + self._every * pace)

    async def _ask(self, repository: RepositoryRecord, state: _State, known: Known) -> None:
        """Ask where somebody can be asked, and keep what was found however that ended."""
        places = self._places.find(repository.canonical) if known.commits else ()
        state.places = {
            place.reader.system: state.places.get(place.reader.system) or _PlaceState() for place in places
        }  # fmt: skip
        state.is_asked = bool(places)
        looks: list[Look] = []
        try:
            for place in places:
                theirs = state.places[place.reader.system]
                if theirs.due <= self._clock.monotonic():
                    looks.append(self._look(repository, place, theirs, known, has_pulls=place is places[0]))
                    await self._ask_place(repository, theirs, looks[-1])
        finally:
            if known.commits:  # else nothing but carriers, or nothing at all for as long as the horizon
                await self._keep(repository, known, looks)

    def _look(
        self, repository: RepositoryRecord, place: CiPlace, state: _PlaceState, known: Known, *, has_pulls: bool
    ) -> Look:
        state.memory.trim(known)
        return Look(
            repository,
            place,
            rule_of(self._rules, repository.canonical),
            known,
            state.memory,
            budget=self.budget,
            clock=self._clock,
            since=self._clock.now() - self._horizon,
            has_pulls=has_pulls,
        )

    async def _ask_place(self, repository: RepositoryRecord, state: _PlaceState, look: Look) -> None:
        """Ask one system; one that fails stops no other, and is asked again after longer and longer."""
        try:
            await look.ask()
        except FluxtrailError as exc:
            self._note_failure(repository, state, exc)
        else:
            state.failures, state.problem, state.due = 0, "", 0.0

    async def _keep(self, repository: RepositoryRecord, known: Known, looks: Sequence[Look]) -> None:
        now = self._clock.now()
        async with self._ledger.unit() as unit:
            for look in looks:
                changed = await take_runs(unit, list(look.runs.values()), now=now)
                await unit.put_pull_requests(look.pulls)
                self.changed_runs += len(changed)
            # Read again: what was built, and what was delivered meanwhile, decides which build it was.
            commits = await unit.built_commits(repository.canonical, [commit.sha for commit in known.commits])
            self.durations = await judge_builds(unit, repository.canonical, commits, now=now)

    def _is_busy(self, known: Known) -> bool:
        recently = self._clock.now() - BUSY_FOR
        return known.is_busy or any(
            commit.merged is not None
            and commit.merged.at >= recently
            and (commit.build_state is None or not commit.build_state.is_final)
            for commit in known.commits
        )

    def _note_failure(self, repository: RepositoryRecord, state: _PlaceState, exc: FluxtrailError) -> None:
        state.failures += 1
        self.failures[repository.canonical.partition("/")[0]] += 1
        wait = exc.retry_after_seconds or min(
            self._every * 2 ** min(state.failures - 1, 8), BACK_OFF_LIMIT.total_seconds()
        )
        state.due = self._clock.monotonic() + wait
        if state.problem != str(exc):
            state.problem = str(exc)
            log.warning(
                "ci unreadable", repository=repository.canonical, error=str(exc), retry_in_seconds=wait,
                remedy="let the credential read runs and pull requests, or switch it off in ci.repositories",
            )  # fmt: skip
