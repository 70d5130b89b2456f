"""Commits that no branch watcher could scope when they came: ahead of a new baseline, or beside the followed branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from fluxtrail.model.commit import CommitFacts
from fluxtrail.model.records import (
    UNSAVED,
    CommitId,
    CommitRecord,
    RepositoryRecord,
    SyncRecord,
    TargetId,
    TargetRecord,
)
from fluxtrail.trail.exports import ExportBook, Exports
from fluxtrail.trail.merged import from_branch
from fluxtrail.trail.ports import Clock, RepositoryReader, Unit
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.rows import keep_rows, pending_rows, reconcile
from fluxtrail.trail.scopes import Scopes, scope_key
from fluxtrail.trail.strategies.exporter_info import FILE_NAME

LIMIT = 1_000


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Commits read for one target, before anything is written."""

    repository: RepositoryRecord
    target_id: TargetId
    commits: tuple[CommitFacts, ...]
    affected: frozenset[str]
    exports: dict[str, Exports]


class Lookback:
    def __init__(
        self,
        *,
        registry: Registry,
        exports: ExportBook,
        clock: Clock,
        measures_baseline: Callable[[TargetRecord], bool],
    ) -> None:
        """Args:
        measures_baseline: whether the export that a target has at first sight is measured (once, ever), as the
            tool did that this target's settings come from.
        """
        self._registry = registry
        self._exports = exports
        self._clock = clock
        self.measures_baseline = measures_baseline

    async def read_ahead(
        self, repository: RepositoryRecord, reader: RepositoryReader, sync: SyncRecord
    ) -> Found | None:
        """Read what the branch has beyond a new baseline: it is pending from now on."""
        target = self._registry.target(sync.target_id)
        if target is None or sync.sha is None or target.branch is None:
            return None
        branch = self._registry.branches.get((repository.id, target.branch))
        commits: list[CommitFacts] = []
        if branch is not None and branch.head is not None and branch.head != sync.sha:
            commits = await reader.log(branch.head, exclude=[sync.sha], limit=LIMIT)
        found = await self._found(repository, reader, target, commits)
        if not self.measures_baseline(target):
            return found
        return await self._with_own_export(reader, found, sync.sha)

    async def read_beside(
        self, repository: RepositoryRecord, reader: RepositoryReader, sync: SyncRecord
    ) -> Found | None:
        """Read what a sync carried that stands on no followed branch: a tag on another one, a pinned commit."""
        target = self._registry.target(sync.target_id)
        if target is None or sync.sha is None:
            return None
        if sync.previous_sha and await reader.has(sync.previous_sha):
            commits = await reader.log(sync.sha, exclude=[sync.previous_sha], limit=LIMIT)
        else:
            commits = await reader.log(sync.sha, limit=1)
        return await self._found(repository, reader, target, commits)

    async def _found(
        self,
        repository: RepositoryRecord,
        reader: RepositoryReader,
        target: TargetRecord,
        commits: Sequence[CommitFacts],
    ) -> Found:
        key = scope_key(target, self._registry.source_of(target))
        scopes = Scopes()
        affected = {facts.sha for facts in commits if await scopes.affected(reader, facts, [key])}
        exports = await self._exports.read(repository, reader, commits, now=self._clock.now())
        return Found(
            repository=repository,
            target_id=target.id,
            commits=tuple(commits),
            affected=frozenset(affected),
            exports=exports,
        )

    async def _with_own_export(self, reader: RepositoryReader, found: Found, sha: str) -> Found:
        own = await reader.log(sha, limit=1)
        if not own:
            return found
        facts = (
            own[0] if FILE_NAME in own[0].paths else msgspec.structs.replace(own[0], paths=(*own[0].paths, FILE_NAME))
        )
        exports = await self._exports.read_at(found.repository, reader, facts, now=self._clock.now())
        if not exports:
            return found
        return msgspec.structs.replace(
            found,
            commits=(facts, *found.commits),
            affected=found.affected | {sha},
            exports={**found.exports, sha: exports},
        )

    async def keep(self, unit: Unit, found: Found | None) -> list[CommitId]:
        """Keep the commits and make their pending deliveries; returns every id that now has one to decide."""
        if found is None or not found.commits:
            return []
        target = self._registry.target(found.target_id)
        if target is None or target.deleted_at is not None:
            return []
        shas = [facts.sha for facts in found.commits]
        there = await unit.commits_by_sha(found.repository.id, shas)
        records = [self._record(found, facts) for facts in found.commits]
        saved = await unit.put_commits([reconcile(there.get(record.sha), record) for record in records])
        made = await self._exports.keep(unit, found.repository, saved, found.exports, now=self._clock.now())
        rows = [
            row
            for record in saved
            if record.sha in found.affected
            for row in pending_rows(record, found.target_id, made.get(record.id, ()), self._clock.now())
        ]
        await keep_rows(unit, rows)
        return [row.commit_id for row in rows]

    def _record(self, found: Found, facts: CommitFacts) -> CommitRecord:
        now = self._clock.now()
        merged = from_branch(facts.committed_at, looked_at=None, seen_at=now, fetched_at=None, was_watched=False)
        return CommitRecord(
            id=CommitId(UNSAVED),
            repository_id=found.repository.id,
            sha=facts.sha,
            subject=facts.subject,
            author=facts.author,
            committed_at=facts.committed_at,
            merged=merged,
            pull_request=facts.pull_request,
            reverts=facts.reverts,
            is_carrier=facts.sha in found.exports,
        )
