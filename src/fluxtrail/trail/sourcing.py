"""Follows sources: what each points at, what it fetched and when, and which targets that concerns.

A source is followed as git where that is possible: a GitRepository by its own URL, an artifact by the commit that its
maker says it was made from. An artifact of unknown origin is a change of its own, in a repository of that name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.moment import Evidence, Moment, bracket, exact
from fluxtrail.model.observation import ClusterUid, Gone, ObjectKey, Seen
from fluxtrail.model.records import (
    UNSAVED,
    CommitId,
    CommitRecord,
    FetchRecord,
    SourceId,
    SourceRecord,
    TargetRecord,
)
from fluxtrail.model.revision import followed_sha
from fluxtrail.model.sources import (
    ARTIFACT_KINDS,
    CHART_KIND,
    CHART_PLACE_KIND,
    ArtifactGenerator,
    ArtifactSource,
    GitRepository,
    ImageUpdateAutomation,
    SourceInput,
    taken_path,
)
from fluxtrail.trail.draft import MARK_SLACK, Draft, abandon, repoint
from fluxtrail.trail.naming import Naming, name_in
from fluxtrail.trail.pointing import Pointer, Pointing, Unplaced
from fluxtrail.trail.ports import Unit
from fluxtrail.trail.registry import ObjectRef, Registry

replace = msgspec.structs.replace


class Sourcing:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._pointer = Pointer(registry)
        self._unplaced = Unplaced()
        self._made: dict[ObjectRef, frozenset[ObjectKey]] = {}
        """The ExternalArtifacts of each ArtifactGenerator."""
        self.naming = Naming(registry)

    async def see_git(self, unit: Unit, draft: Draft, seen: Seen[GitRepository]) -> None:
        item = seen.object
        pointing = await self._pointer.of_git(unit, draft, item)
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
        pointing = await self._pointer.of_artifact(unit, draft, item, inputs)
        self._unplaced.note(draft.cluster, seen, pointing, self._pointer.wanted_by(item, inputs))
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
        namespace = seen.key.namespace
        made = {
            ObjectKey(SOURCE_GROUP, "ExternalArtifact", namespace, name): inputs
            for name, inputs in seen.object.inputs.items()
        }
        self._forget_made(draft, seen.key, but=made)
        self._made[draft.cluster, seen.key] = frozenset(made)
        for key, inputs in made.items():
            draft.put_inputs(key, inputs)
            source = self._registry.sources.get((draft.cluster, key))
            if source is not None and source.inputs != inputs:
                draft.put_source(await unit.put_source(replace(source, inputs=inputs)))
            await self._place_waiting(unit, draft, [str(key)])

    def _forget_made(self, draft: Draft, generator: ObjectKey, *, but: Collection[ObjectKey] = ()) -> None:
        for key in self._made.pop((draft.cluster, generator), frozenset()):
            if key not in but:
                draft.drop_inputs(key)

    async def see_automation(self, unit: Unit, draft: Draft, seen: Seen[ImageUpdateAutomation]) -> None:
        """What image automation pushes is a carrier: the lead time is that of the commits behind the images.

        Its newest push is named; those before it are known by their author, as their branch is read.
        """
        ref = (draft.cluster, seen.key)
        email = seen.object.author_email
        await self._registry.keep_automation(unit, ref, (seen.object.source, email) if email is not None else None)
        sha = followed_sha(None, seen.object.last_push)
        source = self._registry.sources.get((draft.cluster, seen.object.source))
        if sha is None or source is None or source.repository_id is None:
            return
        known = (await unit.commits_by_sha(source.repository_id, [sha])).get(sha)
        made = known or CommitRecord(id=CommitId(UNSAVED), repository_id=source.repository_id, sha=sha)
        if not made.is_carrier:
            await unit.put_commits([replace(made, is_carrier=True)])

    async def lose(self, unit: Unit, draft: Draft, gone: Gone) -> None:
        self._forget_made(draft, gone.key)
        await self._registry.keep_automation(unit, (draft.cluster, gone.key), None)
        self._unplaced.forget(draft.cluster, gone.key)
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
        record = _record(draft.cluster, before, seen, pointing, fields)
        if before is None or replace(before, observed_at=record.observed_at) != record:
            record = await unit.put_source(record)
        if item.revision and item.updated_at and item.key.kind != CHART_PLACE_KIND:
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
        await self.naming.note(unit, draft, before, record)
        # Only now, with nothing awaited in between: a revision and the time of another must never be seen together.
        draft.put_source(record)
        if before is None or before.revision != record.revision:
            self._registry.moves[record.id] += 1
            if record.repository_id is not None:
                draft.moved.add(record.repository_id)
        await self._retarget(unit, draft, before, record)
        if before is None or before.repository_id != record.repository_id:
            await self._place_waiting(unit, draft, self._pointer.known_with(record))

    async def _place_waiting(self, unit: Unit, draft: Draft, known: Sequence[str]) -> None:
        """Look again at the artifacts that waited for what is known now."""
        for what in known:
            for seen in self._unplaced.take(draft.cluster, what):
                await self.see_artifact(unit, draft, seen)

    def _fetch_moment(
        self,
        draft: Draft,
        before: SourceRecord | None,
        seen: Seen[GitRepository] | Seen[ArtifactSource],
        updated_at: datetime,
    ) -> Moment:
        """Date a fetch. What was fetched while nobody watched may have been stored again since: only a bracket."""
        if seen.is_told:
            return exact(updated_at, Evidence.EVENT)
        mark = self._registry.stream_marks.get((draft.cluster, seen.key.kind))
        if seen.was_held or before is None or before.revision == seen.object.revision or mark is None:
            return exact(updated_at, Evidence.ARTIFACT)
        return bracket(mark - MARK_SLACK, updated_at, evidence=Evidence.ARTIFACT)

    async def _retarget(self, unit: Unit, draft: Draft, before: SourceRecord | None, source: SourceRecord) -> None:
        """Bring the source's targets in line with where it points now."""
        now = self.pointing_of(source)
        place = (now["repository_id"], now["branch"])
        for target in self._registry.targets_of_source(draft.cluster, source.key):
            if (target.repository_id, target.branch, target.follows_tags) == (*place, source.follows_tags):
                continue
            is_first = target.repository_id is None or target.branch is None
            moved: TargetRecord = replace(target, **now)
            if is_first or self._is_learnt(before, source):
                moved = await self._move(unit, draft, moved, source, is_first=is_first)
            elif (target.repository_id, target.branch) != place:
                moved = await repoint(unit, draft, moved, source.observed_at)
            draft.put_target(await unit.put_target(moved))

    async def _move(
        self, unit: Unit, draft: Draft, moved: TargetRecord, source: SourceRecord, *, is_first: bool
    ) -> TargetRecord:
        """Take a target to where its artifacts stand now that this is known."""
        if source.key.kind not in ARTIFACT_KINDS or source.repository_id is None:
            return moved
        if not is_first:
            await abandon(unit, draft, moved, source.observed_at)
        renamed = await self.naming.rename(unit, draft, moved, source)
        if renamed is None and not is_first:
            return await repoint(unit, draft, moved, source.observed_at)
        return renamed or moved

    def _is_learnt(self, before: SourceRecord | None, source: SourceRecord) -> bool:
        """True if the same artifact was followed as itself until now, and is followed by its commit from now on."""
        if before is None or before.repository_id is None or source.repository_id is None:
            return False
        known = self._registry.repositories
        is_same = (before.url, before.revision) == (source.url, source.revision)
        return is_same and known[before.repository_id].is_artifact and not known[source.repository_id].is_artifact

    # -- what it is made from ------------------------------------------------------------------------------------

    def _inputs(self, draft: Draft, item: ArtifactSource) -> tuple[SourceInput, ...]:
        stated = self._registry.inputs.get((draft.cluster, item.key))
        if stated is not None:
            return stated
        before = self._registry.sources.get((draft.cluster, item.key))
        if item.key.kind == "ExternalArtifact":
            return before.inputs if before is not None else ()
        if item.made_from is None:
            return ()
        return (SourceInput(item.made_from, taken_path(item.chart) if item.key.kind == CHART_KIND else ()),)

    def _revisions_of(self, draft: Draft, inputs: tuple[SourceInput, ...]) -> dict[str, str]:
        """Return the present revisions of the inputs: Flux does not say which ones an artifact was made from."""
        sources = {part.key: self._registry.sources.get((draft.cluster, part.key)) for part in inputs}
        return {str(key): source.revision for key, source in sources.items() if source and source.revision}


def _record(
    cluster: ClusterUid,
    before: SourceRecord | None,
    seen: Seen[GitRepository] | Seen[ArtifactSource],
    pointing: Pointing,
    fields: Mapping[str, Any],
) -> SourceRecord:
    item: GitRepository | ArtifactSource = seen.object
    repository = pointing.repository
    failure = item.find_condition("FetchFailed") or item.find_condition("Ready")
    return SourceRecord(
        id=before.id if before else SourceId(UNSAVED),
        cluster=cluster,
        key=item.key,
        uid=item.uid,
        url=item.url,
        repository_id=repository.id if repository else None,
        branch=pointing.branch,
        follows_tags=pointing.follows_tags,
        is_suspended=item.is_suspended,
        revision=item.revision,
        digest=item.digest,
        sha=name_in(repository, item.revision, pointing.origin) if repository else followed_sha(item.revision),
        problem=failure.message if failure and _is_failing(failure.type, failure.status) else None,
        observed_at=seen.observed_at,
        **fields,
    )


def _is_failing(kind: str, status: str) -> bool:
    return status == ("True" if kind == "FetchFailed" else "False")
