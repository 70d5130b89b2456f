"""Records artifacts as they are fetched: each is a change of its own, a carrier where it says what it was made from.

What a branch is to commits, a place and a tag are to artifacts: one line in the order in which they were first fetched
anywhere. A tag that is moved back makes no new entry: who applies an older artifact again, rolls back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from fluxtrail.model.errors import FluxtrailError, NotFoundError, WireError
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.records import (
    UNSAVED,
    BranchRecord,
    CommitId,
    CommitRecord,
    ExportEvidence,
    FetchRecord,
    RepositoryRecord,
    SourceId,
    SourceRecord,
    Transition,
    TransitionKind,
)
from fluxtrail.model.revision import find_revision, short_revision
from fluxtrail.trail.artifact_lines import concerns, extend_line, first_fetches, is_on_line
from fluxtrail.trail.exports import EXPORTER_INFO, ExportBook, Exports
from fluxtrail.trail.merged import from_artifact
from fluxtrail.trail.naming import name_in
from fluxtrail.trail.ports import Clock, Layers, Ledger, Unit
from fluxtrail.trail.registry import BranchKey, Registry
from fluxtrail.trail.rows import keep_rows, pending_rows
from fluxtrail.trail.strategies.exporter_info import LAYER_TYPE
from fluxtrail.trail.strategies.origin import export_of_origin
from fluxtrail.trail.strategies.ranges import commits_between
from fluxtrail.trail.strategies.stated import StatedExport

log = structlog.get_logger(__name__)

PATIENCE = timedelta(hours=25)
"""How long an artifact waits for its registry to say what it was made from: longer than the syncs that carry it."""


class ArtifactRecorder:
    def __init__(
        self, *, registry: Registry, ledger: Ledger, exports: ExportBook, layers: Layers, clock: Clock
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._exports = exports
        self._layers = layers
        self._clock = clock
        self._read_at: dict[BranchKey, dict[SourceId, int]] = {}
        """How often each source of a line had moved when all of it had been recorded: nothing is new until it moves."""

    async def advance(self, repository: RepositoryRecord, branch: str) -> None:
        """Record the artifacts that were fetched since the last look. The caller holds the repository's lock.

        Raises:
            FluxtrailError: the registry cannot say what an artifact was made from; what came before it is recorded.
        """
        key: BranchKey = (repository.id, branch)
        sources = {source.id: source for source in self._registry.sources_on(key)}
        moves = {source_id: self._registry.moves[source_id] for source_id in sources}
        if self._read_at.get(key) == moves:
            return
        async with self._ledger.unit() as unit:
            line = await self._line(unit, repository, branch, sources)
            places = await unit.chain_positions(repository.id, branch, list(line))
        exports: dict[str, Exports] = {}
        before: FetchRecord | None = None
        try:
            for sha, fetch in line.items():
                if sha not in places:
                    exports[sha] = await self._read_patiently(repository, sources[fetch.source_id], fetch, before)
                before = fetch
        finally:
            if exports:
                await self._keep(repository, branch, line, exports)
        self._read_at[key] = moves

    async def _line(
        self, unit: Unit, repository: RepositoryRecord, branch: str, sources: Mapping[SourceId, SourceRecord]
    ) -> dict[str, FetchRecord]:
        fetches = [
            fetch
            for fetch in await unit.fetches(list(sources))
            if is_on_line(sources[fetch.source_id], fetch.revision, branch)
        ]
        names = {fetch.revision: sha for fetch in fetches if (sha := name_in(repository, fetch.revision))}
        ranks: dict[str, int] = {}
        for source_id in sources:
            ranks |= {revision: rank for rank, revision in enumerate(self._registry.shas.get(source_id, ()))}
        return first_fetches(fetches, ranks, names)

    async def _keep(
        self, repository: RepositoryRecord, branch: str, line: Mapping[str, FetchRecord], exports: Mapping[str, Exports]
    ) -> None:
        now = self._clock.now()
        key: BranchKey = (repository.id, branch)
        known = self._registry.branches.get(key)
        head = list(exports)[-1]
        record = BranchRecord(
            repository_id=repository.id,
            name=branch,
            head=head,
            looked_at=now,
            baseline=known.baseline if known and known.baseline else head,
        )
        is_first = known is None or known.head is None
        async with self._ledger.unit() as unit:
            made = [_artifact(repository, sha, line[sha], is_carrier=bool(found)) for sha, found in exports.items()]
            saved = await unit.put_commits(made)
            has_moved = await extend_line(unit, repository, branch, line, saved)
            kept = await self._exports.keep(unit, repository, saved, exports, now=now)
            if not is_first:
                await self._keep_pending(unit, repository, branch, saved, kept, has_moved=has_moved)
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
        repository: RepositoryRecord,
        branch: str,
        saved: Sequence[CommitRecord],
        kept: dict[CommitId, tuple[CommitId, ...]],
        *,
        has_moved: bool,
    ) -> None:
        rows = [
            row
            for target in self._registry.targets_on((repository.id, branch))
            for commit in saved
            if not has_moved or await concerns(unit, repository, target, branch, commit.sha)
            for row in pending_rows(commit, target.id, kept.get(commit.id, ()), self._clock.now())
        ]
        await keep_rows(unit, rows)

    # -- what an artifact was made from --------------------------------------------------------------------------

    async def _read_patiently(
        self, repository: RepositoryRecord, source: SourceRecord, fetch: FetchRecord, before: FetchRecord | None
    ) -> Exports:
        """A registry that stays closed must not hold up the line for ever: its syncs are gaps by then."""
        try:
            return await self._read(repository, source, fetch, before)
        except FluxtrailError as exc:
            if self._clock.now() - fetch.fetched.latest < PATIENCE:
                raise
            log.warning("layer given up", repository=repository.canonical, revision=fetch.revision, error=str(exc))
            return ()

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
        """Return what the exporter says in a layer of its own.

        An artifact that is gone says nothing any more, and one that is too large or damaged never will.
        """
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
        except WireError as exc:
            return self._exports.refuse(repository, digest, EXPORTER_INFO, exc)
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
        return StatedExport(commits=commits, repository=repository.canonical, evidence=ExportEvidence.INPUT)


def _artifact(repository: RepositoryRecord, sha: str, fetch: FetchRecord, *, is_carrier: bool) -> CommitRecord:
    return CommitRecord(
        id=CommitId(UNSAVED),
        repository_id=repository.id,
        sha=sha,
        subject=short_revision(fetch.revision),
        committed_at=fetch.created_at,
        merged=from_artifact(fetch.created_at, fetched=fetch.fetched),
        is_carrier=is_carrier,
    )
