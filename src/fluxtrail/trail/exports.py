"""Exports: which source commits a commit to a manifests repository was made from, at every commit of a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from fluxtrail.model.commit import CommitFacts
from fluxtrail.model.errors import WireError
from fluxtrail.model.records import (
    UNSAVED,
    CommitId,
    CommitRecord,
    DeliveryRecord,
    ExportRecord,
    RepositoryId,
    RepositoryRecord,
)
from fluxtrail.trail.exporter_info import FILE_NAME, SIZE_LIMIT_BYTES, ExporterInfo, parse_exporter_info
from fluxtrail.trail.merged import better, from_export
from fluxtrail.trail.ports import RepositoryReader, Unit

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace


class ReadExport(msgspec.Struct, frozen=True, kw_only=True):
    """An export with the ids the ledger gave to its source commits."""

    source_ids: tuple[CommitId, ...]


class ExportBook:
    """Reads and keeps exports.

    `sources` says which repositories are exported into a manifests repository (`exports_to` in the settings); of
    one that is exported from nobody knows where, the source commits stand under a repository of that name.
    """

    def __init__(self) -> None:
        self._sources: dict[RepositoryId, tuple[RepositoryId, ...]] = {}
        self.problems = 0
        """Payloads and entries that could not be used, since the start."""

    def set_sources(self, sources: Mapping[RepositoryId, Sequence[RepositoryId]]) -> None:
        self._sources = {manifests: tuple(ids) for manifests, ids in sources.items()}

    async def read(
        self, repository: RepositoryRecord, reader: RepositoryReader, commits: Sequence[CommitFacts], *, now: datetime
    ) -> dict[str, ExporterInfo]:
        """Return what the exporter says at every commit that wrote its file. A bad payload costs only itself."""
        written = [facts.sha for facts in commits if FILE_NAME in facts.paths]
        if len(written) > 1:
            await reader.prefetch((sha, FILE_NAME) for sha in written)
        found = {sha: await self.read_at(repository, reader, sha, now=now) for sha in written}
        return {sha: info for sha, info in found.items() if info is not None}

    async def read_at(
        self, repository: RepositoryRecord, reader: RepositoryReader, sha: str, *, now: datetime
    ) -> ExporterInfo | None:
        try:
            data = await reader.read_file(sha, FILE_NAME, limit_bytes=SIZE_LIMIT_BYTES)
            info = parse_exporter_info(data, now=now) if data is not None else None
        except WireError as exc:
            self.problems += 1
            log.warning("exporter-info unusable", repository=repository.canonical, sha=sha, error=str(exc))
            return ExporterInfo(commits=(), build_link=None, problems=(str(exc),))
        for problem in info.problems if info else ():
            self.problems += 1
            log.warning("exporter-info entry unusable", repository=repository.canonical, sha=sha, error=problem)
        return info

    async def keep(
        self,
        unit: Unit,
        repository: RepositoryRecord,
        carriers: Sequence[CommitRecord],
        exports: Mapping[str, ExporterInfo],
        *,
        now: datetime,
    ) -> dict[CommitId, ReadExport]:
        """Keep the source commits of carriers and the links to them."""
        made: dict[CommitId, ReadExport] = {}
        for carrier in carriers:
            info = exports.get(carrier.sha)
            if info is None or not info.commits:
                continue
            sources = await self._keep_sources(unit, repository, info, now)
            await unit.put_exports(
                [
                    ExportRecord(
                        carrier_id=carrier.id,
                        source_id=source.id,
                        stated_at=stated.stated_at,
                        build_link=info.build_link,
                    )
                    for source, stated in zip(sources, info.commits, strict=True)
                ]
            )
            made[carrier.id] = ReadExport(source_ids=tuple(source.id for source in sources))
        return made

    async def _keep_sources(
        self, unit: Unit, repository: RepositoryRecord, info: ExporterInfo, now: datetime
    ) -> list[CommitRecord]:
        shas = [commit.sha for commit in info.commits]
        home = await self._home(unit, repository, shas)
        known = await unit.commits_by_sha(home, shas)
        records = []
        for commit in info.commits:
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

    async def _home(self, unit: Unit, manifests: RepositoryRecord, shas: Sequence[str]) -> RepositoryId:
        """Return the repository the source commits belong to: the stated one, or of several the one that has them."""
        stated = self._sources.get(manifests.id, ())
        if len(stated) == 1:
            return stated[0]
        for candidate in stated:
            if await unit.commits_by_sha(candidate, shas):
                return candidate
        if stated:
            return stated[0]
        unknown = await unit.put_repository(
            RepositoryRecord(id=RepositoryId(UNSAVED), canonical=f"{manifests.canonical}#sources", url="")
        )
        return unknown.id

    async def carried(self, unit: Unit, carriers: Sequence[CommitId]) -> list[DeliveryRecord]:
        """Return the deliveries of source commits that one of `carriers` decides."""
        of = set(carriers)
        links = await unit.exports_of(carriers)
        rows = await unit.deliveries_of(sorted({link.source_id for link in links}))
        return [row for row in rows if row.carrier_id in of]
