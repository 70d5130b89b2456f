"""Commits that came by an include: a GitRepository's artifact may hold parts of other repositories.

Its revision is its own commit's, whatever it includes; what was included is told by `status.includedArtifacts` alone.
The same holds for an ExternalArtifact of several sources that bears the revision of one of them.
So each success compares what is included now with what was at the success before, and carries the commits between.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    Cause,
    DeliveryRecord,
    FetchRecord,
    RepositoryRecord,
    SourceRecord,
    SyncRecord,
    TargetRecord,
)
from fluxtrail.model.revision import find_revision, followed_sha
from fluxtrail.model.verdict import Verdict
from fluxtrail.trail.exports import ExportBook
from fluxtrail.trail.outcomes import Carried, apply_outcome
from fluxtrail.trail.ports import Clock, Ledger, Unit
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.strategies.ranges import commits_between
from fluxtrail.trail.strategies.stated import StatedExport


class Included(msgspec.Struct, frozen=True, kw_only=True):
    """What a sync includes, read before the unit that decides."""

    sync: SyncRecord
    inputs: dict[str, str]
    """The revision of each include, by the source's key as text."""
    exports: tuple[StatedExport, ...]
    """The commits that came in since the last success, by repository."""


class Includes:
    def __init__(self, *, registry: Registry, ledger: Ledger, exports: ExportBook, clock: Clock) -> None:
        self._registry = registry
        self._ledger = ledger
        self._exports = exports
        self._clock = clock

    def may_carry(self, sync: SyncRecord) -> bool:
        """True if a sync of the same commit may carry others, by what the commit's repository includes."""
        target = self._registry.target(sync.target_id)
        source = self._registry.source_of(target) if target is not None else None
        if source is None or not source.inputs:
            return False
        if source.key.kind == "GitRepository":
            return True
        revision = find_revision(sync.revision)
        bears_one = revision is not None and revision.commit_sha is not None
        return source.key.kind == "ExternalArtifact" and len(source.inputs) > 1 and bears_one

    async def read(self, syncs: Sequence[SyncRecord]) -> list[Included]:
        """Read what came in by includes with these syncs.

        Raises:
            FluxtrailError: a repository that is included could not be read; nothing is to be decided yet.
        """
        found = []
        for sync in syncs:
            if sync.outcome is Outcome.SUCCEEDED and self.may_carry(sync):
                included = await self._read(sync)
                found += [included] if included is not None else []
        return found

    async def keep(self, unit: Unit, found: Sequence[Included]) -> None:
        """Deliver what these syncs carried; remember what they include."""
        for included in found:
            target = self._registry.target(included.sync.target_id)
            if target is None:
                continue
            for export in included.exports:
                await self._deliver(unit, target, included.sync, export)
            await unit.put_note(_note_of(target), msgspec.json.encode(included.inputs).decode())

    async def _read(self, sync: SyncRecord) -> Included | None:
        target = self._registry.target(sync.target_id)
        source = self._registry.source_of(target) if target is not None else None
        if target is None or source is None:
            return None
        async with self._ledger.unit() as unit:
            fetches = await unit.fetches([source.id], revision=sync.revision)
            text = await unit.get_note(_note_of(target))
        now = _inputs_of(fetches, sync)
        if not now:
            return None
        was: dict[str, str] = msgspec.json.decode(text, type=dict[str, str]) if text else {}
        if sync.cause is Cause.BASELINE or not was:
            return Included(sync=sync, inputs=now, exports=())
        return Included(sync=sync, inputs=now, exports=tuple(await self._between(source, was, now)))

    async def _between(self, source: SourceRecord, was: dict[str, str], now: dict[str, str]) -> list[StatedExport]:
        found = []
        for part in source.inputs:
            before, after = followed_sha(was.get(str(part.key))), followed_sha(now.get(str(part.key)))
            repository = self._repository_of(source.cluster, part.key)
            if before is None or after is None or before == after or repository is None:
                continue
            reader = self._exports.find_reader(repository.canonical)
            if reader is not None:
                commits = await commits_between(reader, before, after, paths=part.paths)
                found.append(StatedExport(commits=commits, repository=repository.canonical))
        return found

    def _repository_of(self, cluster: ClusterUid, key: ObjectKey) -> RepositoryRecord | None:
        source = self._registry.sources.get((cluster, key))
        if source is None or source.repository_id is None:
            return None
        return self._registry.repositories[source.repository_id]

    async def _deliver(self, unit: Unit, target: TargetRecord, sync: SyncRecord, export: StatedExport) -> None:
        home = self._registry.find_repository(export.repository or "")
        if home is None:
            return
        commits = await self._exports.keep_sources(unit, home, export, self._clock.now())
        there = await unit.deliveries(target.id, [commit.id for commit in commits])
        rows = [
            DeliveryRecord(commit_id=commit.id, target_id=target.id, verdict=Verdict.PENDING, since=sync.started.at)
            for commit in commits
            if commit.id not in there
        ]
        await unit.put_deliveries(rows)
        await apply_outcome(unit, target, sync, Carried(rows=rows, range_ids=[]), now=self._clock.now())


def _inputs_of(fetches: Sequence[FetchRecord], sync: SyncRecord) -> dict[str, str]:
    """Return what the sync's artifact includes; without its digest, what the last one of the revision does."""
    own = [fetch for fetch in fetches if fetch.digest == sync.artifact_digest]
    chosen = own or list(fetches)
    return chosen[-1].inputs if chosen else {}


def _note_of(target: TargetRecord) -> str:
    return f"includes of target {target.id}"
