"""Follows sources: what each points at, what it fetched and when, and which targets that concerns.

A source is followed as git where that is possible: a GitRepository by its own URL, an artifact by the commit that its
maker says it was made from. An artifact of unknown origin is a change of its own, in a repository of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import structlog

from fluxtrail.model.errors import WireError
from fluxtrail.model.flux import SOURCE_GROUP, Kustomization
from fluxtrail.model.moment import Evidence, Moment, bracket, exact
from fluxtrail.model.observation import Gone, ObjectKey, Seen
from fluxtrail.model.records import (
    UNSAVED,
    CommitId,
    CommitRecord,
    FetchRecord,
    RepositoryId,
    RepositoryRecord,
    SourceId,
    SourceRecord,
)
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.revision import find_revision, followed_sha
from fluxtrail.model.sources import (
    ARTIFACT_KINDS,
    ArtifactGenerator,
    ArtifactSource,
    GitRepository,
    ImageUpdateAutomation,
    SourceInput,
    canonical_place,
    url_to_ask,
)
from fluxtrail.trail.draft import MARK_SLACK, Draft, repoint
from fluxtrail.trail.ports import Unit
from fluxtrail.trail.registry import Registry

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

_VERSION_TAG = re.compile(r"v?\d+(\.\d+)*([-+].*)?\Z")


class Pointing(msgspec.Struct, frozen=True, kw_only=True):
    """Where the changes of a source stand."""

    repository: RepositoryRecord | None
    branch: str | None
    follows_tags: bool = False
    origin: str | None = None
    """The revision that its present artifact is followed by, in place of the artifact's own."""


class Sourcing:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def see_git(self, unit: Unit, draft: Draft, seen: Seen[GitRepository]) -> None:
        item = seen.object
        repository = await self._git_repository(unit, draft, item.url)
        pointing = Pointing(repository=repository, branch=item.ref.followed_branch, follows_tags=item.ref.follows_tags)
        fields = {
            "ignore": item.ignore,
            "sparse_checkout": item.sparse_checkout,
            "inputs": item.includes,
            "is_insecure": False,
        }
        made_from = {
            str(part.key): revision for part, revision in zip(item.includes, item.included, strict=False) if revision
        }
        await self._keep(unit, draft, seen, pointing, fields, made_from=made_from)

    async def see_artifact(self, unit: Unit, draft: Draft, seen: Seen[ArtifactSource]) -> None:
        item = seen.object
        inputs = self._inputs(draft, item)
        pointing = await self._artifact_pointing(unit, draft, item, inputs)
        fields = {"ignore": None, "sparse_checkout": (), "inputs": inputs, "is_insecure": item.is_insecure}
        made_from = {}
        if item.key.kind == "ExternalArtifact":
            made_from = self._revisions_of(draft, inputs)
        origin = {"origin": item.origin, "origin_url": item.origin_url}
        await self._keep(
            unit, draft, seen, pointing, fields, made_from=made_from, created_at=item.created_at, origin=origin
        )

    async def see_generator(self, unit: Unit, draft: Draft, seen: Seen[ArtifactGenerator]) -> None:
        """Note what the artifacts of a generator are made from."""
        for name, inputs in seen.object.inputs.items():
            key = ObjectKey(SOURCE_GROUP, "ExternalArtifact", seen.key.namespace, name)
            draft.put_inputs(key, inputs)
            source = self._registry.sources.get((draft.cluster, key))
            if source is not None and source.inputs != inputs:
                draft.put_source(await unit.put_source(replace(source, inputs=inputs)))

    async def see_automation(self, unit: Unit, draft: Draft, seen: Seen[ImageUpdateAutomation]) -> None:
        """What image automation pushes is a carrier: the lead time is that of the commits behind the images."""
        sha = followed_sha(None, seen.object.last_push)
        source = self._registry.sources.get((draft.cluster, seen.object.source))
        if sha is None or source is None or source.repository_id is None:
            return
        known = (await unit.commits_by_sha(source.repository_id, [sha])).get(sha)
        made = known or CommitRecord(id=CommitId(UNSAVED), repository_id=source.repository_id, sha=sha)
        if not made.is_carrier:
            await unit.put_commits([replace(made, is_carrier=True)])

    async def lose(self, unit: Unit, draft: Draft, gone: Gone) -> None:
        before = self._registry.sources.get((draft.cluster, gone.key))
        if before is not None and before.deleted_at is None:
            draft.put_source(await unit.put_source(replace(before, deleted_at=gone.observed_at)))

    def pointing_of(self, source: SourceRecord | None) -> dict[str, Any]:
        """Return the fields of a target that follow from where its source points."""
        if source is None or source.repository_id is None:
            return {"repository_id": None, "branch": None, "follows_tags": bool(source and source.follows_tags)}
        repository = self._registry.repositories[source.repository_id]
        return {
            "repository_id": source.repository_id,
            "branch": source.branch or repository.default_branch,
            "follows_tags": source.follows_tags,
        }

    async def shas_of_target(self, unit: Unit, source: SourceRecord | None, item: Kustomization) -> Mapping[str, str]:
        """Return what revisions of a target are followed as, by what it says itself and by what its source fetched."""
        if source is None or source.key.kind not in ARTIFACT_KINDS or source.repository_id is None:
            return {}
        fetched = await self.shas_of(unit, source)
        if self._registry.repositories[source.repository_id].is_artifact:
            return fetched
        told = [(item.last_applied, item.last_applied_origin), *((one.revision, one.origin) for one in item.history)]
        return {
            revision: sha for revision, origin in told if revision and (sha := followed_sha(None, origin))
        } | fetched

    async def shas_of(self, unit: Unit, source: SourceRecord) -> dict[str, str]:
        """Return what the revisions of a source without commits of their own are followed as, as far as known."""
        known = self._registry.shas.get(source.id)
        if known is None:
            known = self._registry.shas[source.id] = {
                fetch.revision: fetch.sha for fetch in await unit.fetches([source.id]) if fetch.sha
            }
        return known

    # -- one source ----------------------------------------------------------------------------------------------

    async def _keep(
        self,
        unit: Unit,
        draft: Draft,
        seen: Seen[GitRepository] | Seen[ArtifactSource],
        pointing: Pointing,
        fields: dict[str, Any],
        *,
        made_from: dict[str, str],
        created_at: datetime | None = None,
        origin: Mapping[str, str | None] = {},
    ) -> None:
        item: GitRepository | ArtifactSource = seen.object
        before = self._registry.sources.get((draft.cluster, item.key))
        repository = pointing.repository
        failure = item.find_condition("FetchFailed") or item.find_condition("Ready")
        record = SourceRecord(
            id=before.id if before else SourceId(UNSAVED),
            cluster=draft.cluster,
            key=item.key,
            uid=item.uid,
            url=item.url,
            repository_id=repository.id if repository else None,
            branch=pointing.branch,
            follows_tags=pointing.follows_tags,
            is_suspended=item.is_suspended,
            revision=item.revision,
            digest=item.digest,
            sha=followed_sha(item.revision, pointing.origin),
            problem=failure.message if failure and _is_failing(failure.type, failure.status) else None,
            observed_at=seen.observed_at,
            **fields,
        )
        if before is None or replace(before, observed_at=record.observed_at) != record:
            record = await unit.put_source(record)
        if item.revision and item.updated_at:
            fetch = FetchRecord(
                source_id=record.id,
                revision=item.revision,
                digest=item.digest or "",
                fetched=self._fetch_moment(draft, before, seen, item.updated_at),
                sha=record.sha,
                created_at=created_at,
                **origin,
                inputs=made_from,
            )
            kept = await unit.note_fetch(fetch)
            self._registry.fetched_at[record.id] = kept.fetched.at
            if record.sha is not None and record.key.kind in ARTIFACT_KINDS:
                (await self.shas_of(unit, record))[item.revision] = record.sha
        # Only now, with nothing awaited in between: a revision and the time of another must never be seen together.
        draft.put_source(record)
        if repository is not None and (before is None or before.revision != record.revision):
            draft.moved.add(repository.id)
        await self._retarget(unit, draft, record)

    def _fetch_moment(
        self,
        draft: Draft,
        before: SourceRecord | None,
        seen: Seen[GitRepository] | Seen[ArtifactSource],
        updated_at: datetime,
    ) -> Moment:
        """Date a fetch. What was fetched while nobody watched may have been stored again since: only a bracket."""
        mark = self._registry.stream_marks.get((draft.cluster, seen.key.kind))
        if seen.was_held or before is None or before.revision == seen.object.revision or mark is None:
            return exact(updated_at, Evidence.ARTIFACT)
        return bracket(mark - MARK_SLACK, updated_at, evidence=Evidence.ARTIFACT)

    async def _retarget(self, unit: Unit, draft: Draft, source: SourceRecord) -> None:
        """Bring the source's targets in line with where it points now."""
        now = self.pointing_of(source)
        place = (now["repository_id"], now["branch"])
        for target in self._registry.targets_of_source(draft.cluster, source.key):
            if (target.repository_id, target.branch, target.follows_tags) == (*place, source.follows_tags):
                continue
            is_first = target.repository_id is None or target.branch is None
            moved = replace(target, **now)
            if not is_first and (target.repository_id, target.branch) != place:
                moved = await repoint(unit, draft, moved, source.observed_at)
            draft.put_target(await unit.put_target(moved))

    # -- where it points -----------------------------------------------------------------------------------------

    async def _artifact_pointing(
        self, unit: Unit, draft: Draft, item: ArtifactSource, inputs: tuple[SourceInput, ...]
    ) -> Pointing:
        origin = find_revision(item.origin)
        if origin is not None and origin.commit_sha is not None and len(inputs) < 2:
            repository = self._origin_repository(draft, item, inputs)
            if repository is not None:
                branch, follows_tags = _branch_of(origin.pointer)
                return Pointing(repository=repository, branch=branch, follows_tags=follows_tags, origin=item.origin)
        if item.key.kind not in ARTIFACT_KINDS:
            return Pointing(repository=None, branch=None)
        place = item.url or f"artifact://{draft.cluster}/{item.key.namespace}/{item.key.name}"
        if asked := url_to_ask(item.url, is_insecure=item.is_insecure):
            draft.urls.add(asked)
        return Pointing(repository=await self._artifact_repository(unit, draft, place), branch=item.pointer)

    def _known_repository(self, url: str) -> RepositoryRecord | None:
        """Return a repository that the settings state or a source watches: an annotation alone admits nothing."""
        try:
            found = self._registry.find_repository(parse_repository(url).canonical)
        except WireError:
            return None
        return found if found is not None and found.url else None

    def _origin_repository(
        self, draft: Draft, item: ArtifactSource, inputs: tuple[SourceInput, ...]
    ) -> RepositoryRecord | None:
        if item.origin_url:
            return self._known_repository(item.origin_url)
        if item.key.kind != "ExternalArtifact":
            return None
        for part in inputs:
            made_from = self._registry.sources.get((draft.cluster, part.key))
            if made_from is not None and made_from.repository_id is not None and len(inputs) == 1:
                return self._registry.repositories[made_from.repository_id]
        return None

    async def _git_repository(self, unit: Unit, draft: Draft, url: str) -> RepositoryRecord | None:
        try:
            parsed = parse_repository(url)
        except WireError as exc:
            log.warning("source without a usable url", cluster=draft.cluster, error=str(exc))
            return None
        draft.urls.add(url)
        return await self._put_repository(unit, draft, parsed.canonical, parsed.fetch_url)

    async def _artifact_repository(self, unit: Unit, draft: Draft, place: str) -> RepositoryRecord:
        return await self._put_repository(unit, draft, canonical_place(place), "")

    async def _put_repository(self, unit: Unit, draft: Draft, canonical: str, url: str) -> RepositoryRecord:
        known = self._registry.find_repository(canonical)
        if known is not None and (known.url or not url):
            return known
        record = RepositoryRecord(id=RepositoryId(UNSAVED), canonical=canonical, url=url)
        record = await unit.put_repository(record)
        draft.put_repository(record, known)
        return record

    # -- what it is made from ------------------------------------------------------------------------------------

    def _inputs(self, draft: Draft, item: ArtifactSource) -> tuple[SourceInput, ...]:
        stated = self._registry.inputs.get((draft.cluster, item.key))
        if stated is not None:
            return stated
        before = self._registry.sources.get((draft.cluster, item.key))
        if item.key.kind == "ExternalArtifact":
            return before.inputs if before is not None else ()
        return (SourceInput(item.made_from),) if item.made_from is not None else ()

    def _revisions_of(self, draft: Draft, inputs: tuple[SourceInput, ...]) -> dict[str, str]:
        """Return the present revisions of the inputs: Flux does not say which ones an artifact was made from."""
        sources = {part.key: self._registry.sources.get((draft.cluster, part.key)) for part in inputs}
        return {str(key): source.revision for key, source in sources.items() if source and source.revision}


def _branch_of(pointer: str | None) -> tuple[str | None, bool]:
    """Return (branch, whether tags are followed) of a revision's pointer: `main`, `refs/heads/x`, `v1.2.3`."""
    if pointer is None:
        return None, False
    if pointer.startswith("refs/tags/") or _VERSION_TAG.match(pointer):
        return None, True
    return pointer.removeprefix("refs/heads/"), False


def _is_failing(kind: str, status: str) -> bool:
    return status == ("True" if kind == "FetchFailed" else "False")
