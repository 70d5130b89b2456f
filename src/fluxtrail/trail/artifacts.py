"""Records artifacts as they are fetched: each is a change of its own, a carrier where it says what it was made from.

What a branch is to commits, a place and a tag are to artifacts: one line in the order in which they were first fetched
anywhere. A tag that is moved back makes no new entry: who applies an older artifact again, rolls back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import structlog

from fluxtrail.model.errors import FluxtrailError, NotFoundError
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.records import (
    UNSAVED,
    BranchRecord,
    CommitId,
    CommitRecord,
    FetchRecord,
    RepositoryRecord,
    SourceRecord,
    Transition,
    TransitionKind,
)
from fluxtrail.model.revision import find_revision
from fluxtrail.trail.exports import EXPORTER_INFO, ExportBook, Exports
from fluxtrail.trail.merged import from_artifact
from fluxtrail.trail.ports import Clock, Layers, Ledger, Unit
from fluxtrail.trail.recorder import keep_rows, pending_rows
from fluxtrail.trail.registry import BranchKey, Registry
from fluxtrail.trail.strategies.exporter_info import LAYER_TYPE
from fluxtrail.trail.strategies.origin import export_of_origin
from fluxtrail.trail.strategies.ranges import commits_between
from fluxtrail.trail.strategies.stated import StatedExport

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace


class ArtifactRecorder:
    def __init__(
        self, *, registry: Registry, ledger: Ledger, exports: ExportBook, layers: Layers, clock: Clock
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._exports = exports
        self._layers = layers
        self._clock = clock

    async def advance(self, repository: RepositoryRecord, branch: str) -> None:
        """Record the artifacts that were fetched since the last look. The caller holds the repository's lock.

        Raises:
            FluxtrailError: the registry cannot say what an artifact was made from; nothing was recorded.
        """
        key: BranchKey = (repository.id, branch)
        sources = {source.id: source for source in self._registry.sources_on(key)}
        known = self._registry.branches.get(key)
        async with self._ledger.unit() as unit:
            fetches = await unit.fetches(list(sources))
            places = await unit.chain_positions(repository.id, branch, [fetch.sha for fetch in fetches if fetch.sha])
        fresh = _first_of_each([fetch for fetch in fetches if fetch.sha and fetch.sha not in places])
        if not fresh:
            return
        before = _newest([fetch for fetch in fetches if fetch.sha in places])
        exports = {}
        for fetch in fresh:
            exports[fetch.sha or ""] = await self._read(repository, sources[fetch.source_id], fetch, before)
            before = fetch
        await self._keep(repository, branch, known, fresh, exports)

    async def _keep(
        self,
        repository: RepositoryRecord,
        branch: str,
        known: BranchRecord | None,
        fresh: Sequence[FetchRecord],
        exports: dict[str, Exports],
    ) -> None:
        now = self._clock.now()
        key: BranchKey = (repository.id, branch)
        head = fresh[-1].sha
        record = BranchRecord(
            repository_id=repository.id,
            name=branch,
            head=head,
            looked_at=now,
            baseline=known.baseline if known else head,
        )
        async with self._ledger.unit() as unit:
            made = [_artifact(repository, fetch, is_carrier=bool(exports[fetch.sha or ""])) for fetch in fresh]
            saved = await unit.put_commits(made)
            await unit.extend_chain(repository.id, branch, [commit.id for commit in saved])
            kept = await self._exports.keep(unit, repository, saved, exports, now=now)
            if known is not None:
                await self._keep_pending(unit, key, saved, kept, now)
                await unit.add_transitions(
                    [
                        Transition(at=now, kind=TransitionKind.COMMIT_SEEN, commit_id=commit.id, after=commit.sha)
                        for commit in saved
                    ]
                )
            await unit.put_branch(record)
        self._registry.put_branch(record)
        log.info("artifacts fetched", repository=repository.canonical, branch=branch, artifacts=len(saved))

    async def _keep_pending(
        self,
        unit: Unit,
        key: BranchKey,
        saved: Sequence[CommitRecord],
        kept: dict[CommitId, tuple[CommitId, ...]],
        now: datetime,
    ) -> None:
        rows = [
            row
            for commit in saved
            for target in self._registry.targets_on(key)
            for row in pending_rows(commit, target.id, kept.get(commit.id, ()), now)
        ]
        await keep_rows(unit, rows)

    # -- what an artifact was made from --------------------------------------------------------------------------

    async def _read(
        self, repository: RepositoryRecord, source: SourceRecord, fetch: FetchRecord, before: FetchRecord | None
    ) -> Exports:
        found = [
            await self._read_layer(repository, source, fetch),
            export_of_origin(fetch.origin, fetch.origin_url),
            *await self._read_inputs(source, fetch, before),
        ]
        return tuple(export for export in found if export is not None)

    async def _read_layer(
        self, repository: RepositoryRecord, source: SourceRecord, fetch: FetchRecord
    ) -> StatedExport | None:
        """Return what the exporter says in a layer of its own. An artifact that is gone says nothing any more."""
        revision = find_revision(fetch.revision)
        if source.key.kind != "OCIRepository" or revision is None:
            return None
        digest = f"{revision.algorithm}:{revision.hash}"
        try:
            data = await self._layers.read_layer(
                source.url, digest, LAYER_TYPE, limit_bytes=EXPORTER_INFO.limit_bytes, insecure=source.is_insecure
            )
        except NotFoundError as exc:
            log.warning("artifact gone", repository=repository.canonical, revision=fetch.revision, error=str(exc))
            return None
        if data is None:
            return None
        return self._exports.parse(repository, digest, EXPORTER_INFO, data, now=self._clock.now())

    async def _read_inputs(
        self, source: SourceRecord, fetch: FetchRecord, before: FetchRecord | None
    ) -> list[StatedExport]:
        """Return the commits that came in by each source that the artifact is made from, since the artifact before."""
        found = []
        for part in source.inputs:
            now, was = fetch.inputs.get(str(part.key)), before.inputs.get(str(part.key)) if before else None
            if now is None or was is None or now == was:
                continue
            export = await self._read_input(source, part.key, part.paths, was, now)
            found += [export] if export is not None else []
        return found

    async def _read_input(
        self, source: SourceRecord, key: ObjectKey, paths: Sequence[str], was: str, now: str
    ) -> StatedExport | None:
        made_from = self._registry.sources.get((source.cluster, key))
        revision, previous = find_revision(now), find_revision(was)
        if made_from is None or made_from.repository_id is None or revision is None or not revision.commit_sha:
            return None
        repository = self._registry.repositories[made_from.repository_id]
        reader = self._exports.find_reader(repository.canonical)
        if reader is None:
            return None
        try:
            commits = await commits_between(
                reader, previous.commit_sha if previous else None, revision.commit_sha, paths=paths
            )
        except FluxtrailError as exc:
            log.warning("input unreadable", source=str(key), repository=repository.canonical, error=str(exc))
            return None
        return StatedExport(commits=commits, repository=repository.canonical)


def _first_of_each(fetches: Sequence[FetchRecord]) -> list[FetchRecord]:
    """Return the earliest fetch of each artifact, earliest first."""
    found: dict[str | None, FetchRecord] = {}
    for fetch in fetches:
        found.setdefault(fetch.sha, fetch)
    return list(found.values())


def _newest(fetches: Sequence[FetchRecord]) -> FetchRecord | None:
    first = _first_of_each(fetches)
    return first[-1] if first else None


def _artifact(repository: RepositoryRecord, fetch: FetchRecord, *, is_carrier: bool) -> CommitRecord:
    return CommitRecord(
        id=CommitId(UNSAVED),
        repository_id=repository.id,
        sha=fetch.sha or "",
        subject=fetch.revision,
        committed_at=fetch.created_at,
        merged=from_artifact(fetch.created_at, fetched=fetch.fetched),
        is_carrier=is_carrier,
    )
