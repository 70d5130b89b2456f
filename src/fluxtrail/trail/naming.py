"""What revisions are followed as, where they name no commit themselves.

The same artifact is followed as itself, or, once the repository it was made from is known, as its commit: so a name is
made for the repository that a source points at now, and never kept across a change of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from fluxtrail.model.flux import Kustomization
from fluxtrail.model.records import FetchRecord, RepositoryRecord, SourceRecord, SyncRecord, TargetRecord
from fluxtrail.model.revision import find_revision, followed_sha, same_content, version_sha
from fluxtrail.model.sources import ARTIFACT_KINDS
from fluxtrail.trail.draft import Draft
from fluxtrail.trail.ports import Unit
from fluxtrail.trail.registry import Registry

replace = msgspec.structs.replace

REMEMBERED = 256
"""Revisions of a source whose names are held in memory. Older ones are looked up when a sync asks."""


def name_in(repository: RepositoryRecord, revision: str | None, origin: str | None = None) -> str | None:
    """Return what a revision is followed as in a repository: a commit in git, an artifact or a version in its place."""
    if repository.is_artifact:
        return followed_sha(revision) or version_sha(revision)
    for text in (origin, revision):
        parsed = find_revision(text)
        if parsed is not None and parsed.commit_sha:
            return parsed.commit_sha
    return None


class Naming:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def names_for(self, unit: Unit, source: SourceRecord | None, item: Kustomization) -> Mapping[str, str]:
        """Return what revisions of a target are followed as, by what it says itself and by what its source fetched."""
        if source is None or source.key.kind not in ARTIFACT_KINDS or source.repository_id is None:
            return {}
        fetched = await self.names_of(unit, source)
        repository = self._registry.repositories[source.repository_id]
        if repository.is_artifact:
            return fetched
        told = [(item.last_applied, item.last_applied_origin), *((one.revision, one.origin) for one in item.history)]
        return {
            revision: sha for revision, origin in told if revision and (sha := name_in(repository, None, origin))
        } | fetched

    async def names_of(self, unit: Unit, source: SourceRecord) -> dict[str, str]:
        """Return what the newest revisions of a source are followed as, in the order in which they first came."""
        known = self._registry.shas.get(source.id)
        if known is None:
            fetched = await unit.fetches([source.id])
            known = self._registry.shas[source.id] = self._names(source, fetched[-REMEMBERED:])
        return known

    async def note(self, unit: Unit, draft: Draft, before: SourceRecord | None, source: SourceRecord) -> None:
        """Remember what the present revision of a source is followed as; forget all if it points elsewhere now."""
        if source.key.kind not in ARTIFACT_KINDS:
            return
        draft.forget_names(source.id)
        if before is not None and before.repository_id != source.repository_id:
            self._registry.shas.pop(source.id, None)
        known = await self.names_of(unit, source)
        if source.sha is None or source.revision is None:
            return
        known[source.revision] = source.sha
        while len(known) > REMEMBERED:
            del known[next(iter(known))]

    def _names(self, source: SourceRecord, fetches: Sequence[FetchRecord]) -> dict[str, str]:
        if source.repository_id is None:
            return {}
        repository = self._registry.repositories[source.repository_id]
        return {fetch.revision: sha for fetch in fetches if (sha := name_in(repository, fetch.revision, fetch.origin))}

    # -- what could not be named when it came ---------------------------------------------------------------------

    async def name_syncs(self, unit: Unit, syncs: Sequence[SyncRecord]) -> tuple[list[SyncRecord], list[TargetRecord]]:
        """Note what syncs are followed as, where their source's stream has told by now.

        Returns all of them as they are then, and the targets that changed: they belong in the registry once the
        unit is kept.
        """
        named: list[SyncRecord] = []
        targets: list[TargetRecord] = []
        for sync in syncs:
            target = self._registry.target(sync.target_id)
            sha = await self._find_name(unit, sync, target) if sync.sha is None else None
            if target is None or sha is None:
                named.append(sync)
                continue
            current = (await unit.syncs([sync.id]))[sync.id]
            named.append(replace(current, sha=sha, previous_sha=current.previous_sha or target.applied_sha))
            await unit.put_sync(named[-1])
            if target.applied_sha is None and same_content(target.applied, sync.revision):
                targets.append(await unit.put_target(replace(target, applied_sha=sha)))
        return named, targets

    async def _find_name(self, unit: Unit, sync: SyncRecord, target: TargetRecord | None) -> str | None:
        if target is None or target.source.kind not in ARTIFACT_KINDS or target.repository_id is None:
            return None
        source = self._registry.source_of(target)
        if source is None:
            return None
        repository = self._registry.repositories[target.repository_id]
        for fetch in await unit.fetches([source.id], revision=sync.revision):
            if sha := name_in(repository, fetch.revision, fetch.origin):
                return sha
        return name_in(repository, sync.revision)

    async def rename(self, unit: Unit, draft: Draft, target: TargetRecord, source: SourceRecord) -> TargetRecord | None:
        """Name what a target applied anew, now that it is known what its source's artifacts are made from.

        Nothing but our knowledge changed, so this is no new baseline. Its newest sync is attributed again.

        Returns:
            None where what it applied has no name there: then it has to begin anew.
        """
        assert source.repository_id is not None
        fetched = await unit.fetches([source.id])
        names = self._names(source, fetched)
        applied = names.get(target.applied or "")
        if target.applied is not None and applied is None:
            return None
        if target.sync_id is not None:
            last = draft.syncs.get(target.sync_id) or (await unit.syncs([target.sync_id]))[target.sync_id]
            renamed = replace(last, sha=names.get(last.revision), previous_sha=names.get(last.previous or ""))
            if renamed != last:
                draft.syncs[last.id] = await unit.put_sync(replace(renamed, version=last.version + 1))
                draft.has_syncs = True
        return replace(
            target,
            applied_sha=applied,
            attempted_sha=names.get(target.attempted or ""),
            baseline_sha=applied if target.baseline_sha else None,
        )
