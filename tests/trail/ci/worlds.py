"""A CI system of one's own making, a ledger with a repository, and the watcher between them: nothing runs by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.ledger.world import NOON, StillClock, World, fresh_place, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.ci import CiRun, CiSystem, PullRequest
from fluxtrail.model.errors import FluxtrailError, WireError
from fluxtrail.model.records import CommitRecord, RepositoryRecord, TransitionKind
from fluxtrail.trail.ci.ports import CiPlace
from fluxtrail.trail.ci.watcher import CiWatcher
from fluxtrail.trail.registry import Registry

SHOP = "github.com/acme/shop"


class HandClock(StillClock):
    def monotonic(self) -> float:
        return (self.time - NOON).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.forward(seconds)

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class ScriptedCi:
    """A forge with these runs; it notes what it was asked."""

    def __init__(self, system: CiSystem = CiSystem.GITHUB_ACTIONS) -> None:
        self.system = system
        self.runs: list[CiRun] = []
        self.pulls: dict[int, PullRequest] = {}
        self.stages: dict[str, Any] = {}
        self.odd: set[str] = set()
        """Runs that cannot be read one by one."""
        self.fails: FluxtrailError | None = None
        self.page_size = 100
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()

    async def recent_runs(self, repository: str, *, since: datetime, limit: int = 100) -> Sequence[CiRun]:
        self._ask(f"recent {repository}")
        return sorted(self.runs, key=lambda run: run.at, reverse=True)[: min(limit, self.page_size)]

    async def runs_of(self, repository: str, sha: str) -> Sequence[CiRun]:
        self._ask(f"sha {sha[:8]}")
        return [run for run in self.runs if run.sha == sha]

    async def run(self, repository: str, run_id: str) -> CiRun | None:
        self._ask(f"run {run_id}")
        if run_id in self.odd:
            raise WireError("odd", subject="run")
        found = next((run for run in self.runs if run.run_id == run_id), None)
        return replace(found, stages=self.stages.get(run_id, ())) if found else None

    async def pull_request(self, repository: str, number: int) -> PullRequest | None:
        self._ask(f"pull {number}")
        return self.pulls.get(number)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        self.was_asked.set()
        if self.fails is not None:
            raise self.fails

    def take_asked(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


class CiWorld:
    def __init__(self, ledger: SqlLedger, clock: HandClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.registry = Registry()
        self.ci = {SHOP: ScriptedCi()}
        self.others: dict[str, ScriptedCi] = {}
        """CI systems beside the forge, by repository."""
        self.watcher = self.start()

    @property
    def shop(self) -> ScriptedCi:
        return self.ci[SHOP]

    def start(self, **options: Any) -> CiWatcher:
        """Make a watcher anew, as after a restart."""
        self.watcher = CiWatcher(registry=self.registry, ledger=self.ledger, places=self, clock=self.clock, **options)
        return self.watcher

    def find(self, canonical: str) -> list[CiPlace]:
        found = [self.ci.get(canonical), self.others.get(canonical)]
        return [CiPlace(ci, canonical.partition("/")[2]) for ci in found if ci is not None]

    async def commits(self, numbers: range, name: str = "shop", **given: Any) -> list[CommitRecord]:
        async with self.ledger.unit() as unit:
            world = World(unit)
            repository: RepositoryRecord = await world.repository(name)
            made = await world.commits(repository, numbers, **given)
        self.registry.put_repositories([repository])
        return made

    async def commit(self, number: int = 1) -> CommitRecord:
        found = await self.known([number])
        return found[0]

    async def known(self, numbers: Sequence[int]) -> list[CommitRecord]:
        repository = self.registry.find_repository(SHOP)
        assert repository is not None
        async with self.ledger.unit() as unit:
            found = await unit.commits_by_sha(repository.id, [sha(number) for number in numbers])
        return [found[sha(number)] for number in numbers]

    async def look(self, *, after: float = 400) -> list[str]:
        """Let time pass, look once, and return what was asked."""
        self.clock.forward(after)
        await self.watcher.look()
        return self.shop.take_asked()

    async def built_lines(self) -> list[tuple[str, str]]:
        page = await self.ledger.feed(after=0, limit=500)
        return [(item.before, item.after) for item in page.items if item.kind == TransitionKind.BUILT.value]


@asynccontextmanager
async def opened_world(folder: Path) -> AsyncIterator[CiWorld]:
    clock = HandClock()
    ledger = await SqlLedger.open(await fresh_place(folder / "ledger.sqlite"), clock=clock)
    try:
        yield CiWorld(ledger, clock)
    finally:
        await ledger.close()
