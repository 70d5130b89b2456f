"""Exports: which source commits a commit to a manifests repository was made from, at every commit of a range."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec
import structlog

from fluxtrail.model.commit import CommitFacts
from fluxtrail.model.errors import FluxtrailError, WireError
from fluxtrail.model.records import (
    UNSAVED,
    CommitId,
    CommitRecord,
    DeliveryRecord,
    ExportRecord,
    RepositoryId,
    RepositoryRecord,
)
from fluxtrail.trail.ci.linking import link_carriers
from fluxtrail.trail.merged import better, from_export
from fluxtrail.trail.ports import RepositoryReader, Unit
from fluxtrail.trail.strategies import exporter_info, hydrator
from fluxtrail.trail.strategies.ranges import commits_between
from fluxtrail.trail.strategies.stated import StatedExport

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace


class ParseExport(Protocol):
    def __call__(self, data: bytes, *, now: datetime) -> StatedExport: ...


class CarrierFile(NamedTuple):
    """A file (or layer) in which a carrier says what it was made from."""

    name: str
    limit_bytes: int
    parse: ParseExport


EXPORTER_INFO = CarrierFile(exporter_info.FILE_NAME, exporter_info.SIZE_LIMIT_BYTES, exporter_info.parse_exporter_info)
HYDRATOR = CarrierFile(hydrator.FILE_NAME, hydrator.SIZE_LIMIT_BYTES, hydrator.parse_hydrator_metadata)
CARRIER_FILES = (EXPORTER_INFO.name, HYDRATOR.name)

Exports = tuple[StatedExport, ...]
"""What all strategies say of one carrier."""


class ExportBook:
    """Reads and keeps exports.

    `sources` says which repositories are exported into a manifests repository (`exports_to` in the settings); of
    one that is exported from nobody knows where, the source commits stand under a repository of that name.
    """

    def __init__(self) -> None:
        self.find_reader: Callable[[str], RepositoryReader | None] = lambda canonical: None
        """Opens a repository by its canonical name, where it is known and may be read."""
        self._sources: dict[RepositoryId, tuple[RepositoryId, ...]] = {}
        self.problems = 0
        """Payloads and entries that could not be used, since the start."""

    def set_sources(self, sources: Mapping[RepositoryId, Sequence[RepositoryId]]) -> None:
        self._sources = {manifests: tuple(ids) for manifests, ids in sources.items()}

    async def read(
        self, repository: RepositoryRecord, reader: RepositoryReader, commits: Sequence[CommitFacts], *, now: datetime
    ) -> dict[str, Exports]:
        """Return what is said at every commit that wrote a carrier's file. A bad payload costs only itself."""
        written = [facts for facts in commits if any(name in facts.paths for name in CARRIER_FILES)]
        if len(written) > 1:
            await reader.prefetch(
                (facts.sha, name) for facts in written for name in CARRIER_FILES if name in facts.paths
            )
        found = {facts.sha: await self.read_at(repository, reader, facts, now=now) for facts in written}
        return {sha: exports for sha, exports in found.items() if exports}

    async def read_at(
        self, repository: RepositoryRecord, reader: RepositoryReader, facts: CommitFacts, *, now: datetime
    ) -> Exports:
        """Return what the carrier's files say that this commit wrote."""
        found = []
        if exporter_info.FILE_NAME in facts.paths:
            found.append(await self._read_file(repository, reader, facts.sha, EXPORTER_INFO, now))
        if hydrator.FILE_NAME in facts.paths:
            found.append(await self._read_hydrated(repository, reader, facts, now))
        return tuple(export for export in found if export is not None)

    async def _read_hydrated(
        self, repository: RepositoryRecord, reader: RepositoryReader, facts: CommitFacts, now: datetime
    ) -> StatedExport | None:
        """Return the dry commits since the hydrated one before, where the dry repository may be read."""
        export = await self._read_file(repository, reader, facts.sha, HYDRATOR, now)
        if export is None or not export.commits or export.repository is None:
            return export
        dry = self.find_reader(export.repository)
        if dry is None:
            return export
        try:
            before = (
                await self._read_file(repository, reader, facts.parents[0], HYDRATOR, now) if facts.parents else None
            )
            previous = before.commits[0].sha if before is not None and before.commits else None
            commits = await commits_between(dry, previous, export.commits[0].sha)
        except FluxtrailError as exc:
            log.warning("dry commits unreadable", repository=export.repository, sha=facts.sha, error=str(exc))
            return export
        return replace(export, commits=commits or export.commits)

    async def _read_file(
        self, repository: RepositoryRecord, reader: RepositoryReader, sha: str, file: CarrierFile, now: datetime
    ) -> StatedExport | None:
        try:
            data = await reader.read_file(sha, file.name, limit_bytes=file.limit_bytes)
            return self.parse(repository, sha, file, data, now=now) if data is not None else None
        except WireError as exc:
            return self.refuse(repository, sha, file, exc)

    def parse(
        self, repository: RepositoryRecord, sha: str, file: CarrierFile, data: bytes, *, now: datetime
    ) -> StatedExport:
        """Return what a payload says; one that cannot be used says nothing, and is counted and logged."""
        try:
            export = file.parse(data, now=now)
        except WireError as exc:
            return self.refuse(repository, sha, file, exc)
        for problem in export.problems:
            self.problems += 1
            log.warning("entry unusable", file=file.name, repository=repository.canonical, sha=sha, error=problem)
        return export

    def refuse(self, repository: RepositoryRecord, sha: str, file: CarrierFile, exc: WireError) -> StatedExport:
        """Count and log a payload that cannot be used; the carrier is one all the same."""
        self.problems += 1
        log.warning("carrier file unusable", file=file.name, repository=repository.canonical, sha=sha, error=str(exc))
        return StatedExport(commits=(), problems=(str(exc),))

    async def keep(
        self,
        unit: Unit,
        repository: RepositoryRecord,
        carriers: Sequence[CommitRecord],
        exports: Mapping[str, Exports],
        *,
        now: datetime,
    ) -> dict[CommitId, tuple[CommitId, ...]]:
        """Keep the source commits of carriers and the links to them, those too that runs had stated before;
        returns the source commits of each carrier.
        """
        made: dict[CommitId, tuple[CommitId, ...]] = {}
        for carrier in carriers:
            ids: list[CommitId] = []
            for export in exports.get(carrier.sha, ()):
                if not export.commits:
                    continue
                sources = await self.keep_sources(unit, repository, export, now)
                await unit.put_exports(
                    [
                        ExportRecord(
                            carrier_id=carrier.id,
                            source_id=source.id,
                            stated_at=stated.stated_at,
                            build_link=export.build_link,
                            evidence=export.evidence,
                        )
                        for source, stated in zip(sources, export.commits, strict=True)
                        if source.id != carrier.id
                    ]
                )
                ids += [source.id for source in sources]
            if ids:
                made[carrier.id] = tuple(dict.fromkeys(ids))
        for carrier_id, ids in (await link_carriers(unit, repository, carriers, now=now)).items():
            made[carrier_id] = tuple(dict.fromkeys((*made.get(carrier_id, ()), *ids)))
        return made

    async def keep_sources(
        self, unit: Unit, repository: RepositoryRecord, export: StatedExport, now: datetime
    ) -> list[CommitRecord]:
        """Keep the source commits of an export, in its order."""
        shas = [commit.sha for commit in export.commits]
        home = await self._home(unit, repository, export.repository, shas)
        known = await unit.commits_by_sha(home, shas)
        records = []
        for commit in export.commits:
            stated = from_export(commit.stated_at, seen_at=now) if commit.stated_at else None
            there = known.get(commit.sha)
            records.append(
                replace(there, merged=better(there.merged, stated))
                if there
                else CommitRecord(
                    id=CommitId(UNSAVED),
                    repository_id=home,
                    sha=commit.sha,
                    subject=commit.summary,
                    author=commit.author,
                    committed_at=commit.stated_at,
                    merged=stated,
                )
            )
        return await unit.put_commits(records)

    async def _home(
        self, unit: Unit, manifests: RepositoryRecord, named: str | None, shas: Sequence[str]
    ) -> RepositoryId:
        """Return the repository the source commits belong to: the one that the carrier names, else the stated one, or
        of several the one that has them.
        """
        if named is not None:
            return (await unit.put_repository(_unread(named))).id
        stated = self._sources.get(manifests.id, ())
        if len(stated) == 1:
            return stated[0]
        for candidate in stated:
            if await unit.commits_by_sha(candidate, shas):
                return candidate
        if stated:
            return stated[0]
        return (await unit.put_repository(_unread(f"{manifests.canonical}#sources"))).id

    async def carried(self, unit: Unit, carriers: Sequence[CommitId]) -> list[DeliveryRecord]:
        """Return the deliveries of source commits that one of `carriers` decides."""
        of = set(carriers)
        links = await unit.exports_of(carriers)
        rows = await unit.deliveries_of(sorted({link.source_id for link in links}))
        return [row for row in rows if row.carrier_id in of]


def _unread(canonical: str) -> RepositoryRecord:
    """A repository that is known by name only; one that is known better stays as it is."""
    return RepositoryRecord(id=RepositoryId(UNSAVED), canonical=canonical, url="")
