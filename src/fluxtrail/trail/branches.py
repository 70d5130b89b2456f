"""Watches branches: asks each followed repository in a steady rhythm, and at once when Flux fetched something new."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from datetime import timedelta

import msgspec
import structlog

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.records import BranchRecord, RepositoryId, RepositoryRecord
from fluxtrail.trail.artifacts import ArtifactRecorder
from fluxtrail.trail.ports import Clock, Ledger, Repositories
from fluxtrail.trail.recorder import Recorder
from fluxtrail.trail.registry import BranchKey, Registry

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

CONCURRENCY = 4
BACK_OFF_LIMIT = timedelta(minutes=10)
LOOKING = math.inf
"""Of a repository that is just looked at: when the next look is due is not known yet."""
HINTED = 0.0
"""Of one that somebody says has moved: it is due, whatever the time."""


class BranchWatcher:
    """Follows the branches of stated repositories and those that watched sources fetch."""

    def __init__(
        self,
        *,
        registry: Registry,
        ledger: Ledger,
        repositories: Repositories,
        recorder: Recorder,
        artifacts: ArtifactRecorder,
        clock: Clock,
        every: timedelta,
        stated: Iterable[tuple[RepositoryId, str | None]],
    ) -> None:
        """Args:
        every: the time between two looks.
        stated: repositories of the settings with their branch (None: the default branch).
        """
        self._registry = registry
        self._ledger = ledger
        self._repositories = repositories
        self._recorder = recorder
        self._artifacts = artifacts
        self._clock = clock
        self._every = every
        self._stated = tuple(stated)
        self._due: dict[RepositoryId, float] = {}
        self._failures: dict[RepositoryId, int] = {}
        self._wake = asyncio.Event()
        self._gate = asyncio.Semaphore(CONCURRENCY)
        self._under_way: set[RepositoryId] = set()
        """Those that are looked at, or are just about to be."""

    def poke(self, repository_id: RepositoryId) -> None:
        """Look at a repository now, unless it is failing."""
        if not self._failures.get(repository_id):
            self._due[repository_id] = HINTED
            self._wake.set()

    async def run(self) -> None:
        """Look for ever. Who takes long holds up no other: a first clone may take an hour."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                self._begin(group)
                await self._rest()

    async def _rest(self) -> None:
        waiting = (at for repository_id, at in self._due.items() if repository_id not in self._under_way)
        soonest = min(waiting, default=self._clock.monotonic() + 1.0)
        try:
            async with asyncio.timeout(min(max(soonest - self._clock.monotonic(), 0.05), 1.0)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def look(self) -> None:
        """Look at every repository that is due, to the end."""
        async with asyncio.TaskGroup() as group:
            self._begin(group)

    def _begin(self, group: asyncio.TaskGroup) -> None:
        """Begin to look at every repository that is due, and that nobody looks at already."""
        now, followed = self._clock.monotonic(), self._followed()
        self._due = {item: at for item, at in self._due.items() if item in followed}
        for repository_id in followed - self._under_way:
            if self._due.get(repository_id, 0.0) <= now:
                self._under_way.add(repository_id)
                group.create_task(self._look_in_turn(repository_id), name=f"branches of repository {repository_id}")

    async def _look_in_turn(self, repository_id: RepositoryId) -> None:
        try:
            async with self._gate:
                repository = self._registry.repositories.get(repository_id)
                if repository is not None:
                    await self._look_at(repository)
        finally:
            self._under_way.discard(repository_id)
            if self._due.get(repository_id) == HINTED:
                self._wake.set()

    def _followed(self) -> set[RepositoryId]:
        found = {repository_id for repository_id, _ in self._stated}
        for source in self._registry.sources.values():
            if source.repository_id is not None and source.deleted_at is None:
                found.add(source.repository_id)
        known = self._registry.repositories
        return {item for item in found if known[item].url or known[item].is_artifact}

    def _branches(self, repository: RepositoryRecord) -> set[str]:
        named = {branch for repository_id, branch in self._stated if repository_id == repository.id}
        for source in self._registry.sources.values():
            if source.repository_id == repository.id and source.deleted_at is None:
                named.add(source.branch)
        return {branch or repository.default_branch or "" for branch in named} - {""}

    async def _look_at(self, repository: RepositoryRecord) -> None:
        self._due[repository.id] = LOOKING
        try:
            async with self._recorder.lock(repository):
                advance = self._artifacts.advance if repository.is_artifact else self._recorder.advance
                if repository.default_branch is None and not repository.is_artifact:
                    repository = await self._learn_default(repository)
                for branch in sorted(self._branches(repository)):
                    await advance(repository, branch)
        except FluxtrailError as exc:
            await self._note_failure(repository, exc)
            return
        self._failures.pop(repository.id, None)
        if self._due.get(repository.id) == LOOKING:  # else there was a hint: of what this look may have missed
            self._due[repository.id] = self._clock.monotonic() + self._every.total_seconds()

    async def _learn_default(self, repository: RepositoryRecord) -> RepositoryRecord:
        """Find out the default branch, which targets that follow tags or a pinned commit are placed on."""
        heads = await self._repositories.open(repository.url).refresh()
        if heads.default_branch is None:
            return repository
        async with self._ledger.unit() as unit:
            learned = await unit.put_repository(replace(repository, default_branch=heads.default_branch))
            placed = [
                await unit.put_target(replace(target, branch=heads.default_branch))
                for target in self._registry.targets
                if target.repository_id == repository.id and target.branch is None
            ]
        self._registry.put_repositories([learned])
        for target in placed:
            self._registry.put_target(target)
        return learned

    async def _note_failure(self, repository: RepositoryRecord, exc: FluxtrailError) -> None:
        failures = self._failures[repository.id] = self._failures.get(repository.id, 0) + 1
        wait = exc.retry_after_seconds or min(
            self._every.total_seconds() * 2 ** min(failures - 1, 8), BACK_OFF_LIMIT.total_seconds()
        )
        self._due[repository.id] = self._clock.monotonic() + wait
        log.warning("repository unreadable", repository=repository.canonical, error=str(exc), retry_in_seconds=wait)
        async with self._ledger.unit() as unit:
            for branch in self._branches(repository):
                key: BranchKey = (repository.id, branch)
                known = self._registry.branches.get(key) or BranchRecord(
                    repository_id=repository.id, name=branch, head=None, looked_at=None
                )
                if known.problem != str(exc):
                    known = replace(known, problem=str(exc))
                    await unit.put_branch(known)
                    self._registry.put_branch(known)
