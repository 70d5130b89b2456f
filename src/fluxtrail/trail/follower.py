"""Follows clusters' objects: on each observation, compare with what is kept, judge, and record. No git, no waiting.

Observations come in the order of their stream, in batches; a batch is one unit of the ledger. What follows from a
sync (which commits it carried) is the attributor's job, woken afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.flux import Kustomization
from fluxtrail.model.observation import ClusterUid, Current, Gone, Listed, ObjectKey, Observation, Seen, Unavailable
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    UNSAVED,
    RepositoryId,
    SourceRecord,
    SyncId,
    TargetId,
    TargetRecord,
)
from fluxtrail.model.sources import ArtifactGenerator, ArtifactSource, GitRepository, ImageUpdateAutomation
from fluxtrail.trail.draft import Draft, abandon, repoint
from fluxtrail.trail.judge import Look, judge
from fluxtrail.trail.ports import Ledger, Unit
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.sourcing import Sourcing

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

BATCH = 500


class Follower:
    def __init__(
        self,
        *,
        registry: Registry,
        ledger: Ledger,
        on_sync: Callable[[], None],
        on_source: Callable[[str], None],
        on_move: Callable[[RepositoryId], None],
    ) -> None:
        """Args:
        on_sync: a sync began or went on: attribution has work.
        on_source: a source with this URL is watched: its host may be asked.
        on_move: a source fetched something new: the branch probably moved.
        """
        self._registry = registry
        self._ledger = ledger
        self._on_sync = on_sync
        self._on_source = on_source
        self._on_move = on_move
        self._sourcing = Sourcing(registry)
        self._lock = asyncio.Lock()
        self.unfollowed = 0
        """Objects that could not be judged, since the start: each is a fault of ours, and logged."""

    async def observe(self, cluster: ClusterUid, observations: Sequence[Observation[Any]]) -> None:
        """Record a batch of one stream. Returns when it is kept; raises StoreError if it is not."""
        async with self._lock:
            for start in range(0, len(observations), BATCH):
                await self._keep(cluster, observations[start : start + BATCH])

    async def _keep(self, cluster: ClusterUid, batch: Sequence[Observation[Any]]) -> None:
        draft = Draft(self._registry, cluster)
        try:
            async with self._ledger.unit() as unit:
                draft.syncs = await unit.syncs(self._newest_syncs(cluster, batch))
                for observation in batch:
                    await self._take_safely(unit, draft, observation)
                for kind, mark in draft.marks.items():
                    await unit.put_stream_mark(cluster, kind, mark)
                await unit.add_transitions(draft.transitions)
        except BaseException:
            draft.undo()
            raise
        for kind, mark in draft.marks.items():
            self._registry.stream_marks[cluster, kind] = mark
        for url in draft.urls:
            self._on_source(url)
        if draft.has_syncs:
            self._on_sync()
        for repository_id in draft.moved:
            self._on_move(repository_id)

    def _newest_syncs(self, cluster: ClusterUid, batch: Sequence[Observation[Any]]) -> list[SyncId]:
        """Return the newest syncs of all targets of a batch: read together, they are one query."""
        seen = (item.key for item in batch if isinstance(item, Seen))
        targets = (self._registry.find_target(cluster, key) for key in seen)
        return [target.sync_id for target in targets if target is not None and target.sync_id is not None]

    async def _take_safely(self, unit: Unit, draft: Draft, observation: Observation[Any]) -> None:
        """One object that we cannot make sense of must not stop the others of its cluster."""
        try:
            await self._take(unit, draft, observation)
        except FluxtrailError:
            raise
        except Exception:
            self.unfollowed += 1
            log.exception("object not followed", cluster=draft.cluster, object=str(getattr(observation, "key", "")))

    async def _take(self, unit: Unit, draft: Draft, observation: Observation[Any]) -> None:
        match observation:
            case Seen(object=GitRepository()):
                await self._sourcing.see_git(unit, draft, observation)
            case Seen(object=ArtifactSource()):
                await self._sourcing.see_artifact(unit, draft, observation)
            case Seen(object=ArtifactGenerator()):
                await self._sourcing.see_generator(unit, draft, observation)
            case Seen(object=ImageUpdateAutomation()):
                await self._sourcing.see_automation(unit, draft, observation)
            case Seen(object=Kustomization()):
                await self._see_target(unit, draft, observation)
            case Gone(key=ObjectKey(kind="Kustomization")):
                await self._lose_target(unit, draft, observation)
            case Gone():
                await self._sourcing.lose(unit, draft, observation)
            case Listed() | Current():
                draft.mark(observation.kind, observation.observed_at)
            case Unavailable():
                log.warning("kind unavailable", kind=observation.kind, reason=observation.reason)

    # -- targets -------------------------------------------------------------------------------------------------

    async def _see_target(self, unit: Unit, draft: Draft, seen: Seen[Kustomization]) -> None:
        item = seen.object
        before = self._registry.find_target(draft.cluster, item.key)
        kept = await self._prepare_target(unit, draft, before, seen)
        last = draft.syncs.get(kept.sync_id) if kept.sync_id else None
        source = self._registry.source_of(kept)
        look = Look(
            observed_at=seen.observed_at,
            was_held=seen.was_held and before is not None,
            not_before=draft.not_before("Kustomization", kept) if before is not None else None,
            source=source,
            shas=await self._sourcing.naming.names_for(unit, source, item),
        )
        judgement = judge(kept, last, item, look)
        target = judgement.target
        for sync in judgement.syncs:
            saved = await unit.put_sync(sync)
            draft.syncs[saved.id] = saved
            draft.note_sync(target, last if last and last.id == saved.id else None, saved, seen.observed_at)
            target = replace(target, sync_id=saved.id)
        draft.note_phase(before, target, seen.observed_at)
        if before is None or judgement.syncs or replace(before, observed_at=target.observed_at) != target:
            target = await unit.put_target(target)
        draft.put_target(target)

    async def _prepare_target(
        self, unit: Unit, draft: Draft, before: TargetRecord | None, seen: Seen[Kustomization]
    ) -> TargetRecord:
        """Return the target with the spec's fields as they are now; re-pointed where it follows something else."""
        item = seen.object
        source = self._registry.sources.get((draft.cluster, item.source))
        if before is None:
            return await unit.put_target(self._new_target(draft.cluster, seen, source))
        after = replace(
            before,
            uid=item.uid,
            lands_on=_lands_on(draft.cluster, item),
            source=item.source,
            path=item.path,
            components=item.components,
            generation=item.generation,
            is_suspended=item.is_suspended,
            has_checks=item.has_checks,
            applied_generation=_applied_generation(before, item),
            deleted_at=None,
        )
        if before.source != item.source:
            after = replace(after, **self._sourcing.pointing_of(source))
        is_another = before.uid != item.uid or before.deleted_at is not None
        if is_another or (before.source, before.path, before.components) != (item.source, item.path, item.components):
            after = await repoint(unit, draft, after, seen.observed_at)
            if is_another:
                after = replace(after, applied=None, applied_digest=None, applied_generation=None, sync_id=None)
        return after

    def _new_target(self, cluster: ClusterUid, seen: Seen[Kustomization], source: SourceRecord | None) -> TargetRecord:
        item = seen.object
        pointing: dict[str, Any] = self._sourcing.pointing_of(source)
        return TargetRecord(
            id=TargetId(UNSAVED),
            cluster=cluster,
            key=item.key,
            uid=item.uid,
            lands_on=_lands_on(cluster, item),
            source=item.source,
            path=item.path,
            components=item.components,
            generation=item.generation,
            is_suspended=item.is_suspended,
            has_checks=item.has_checks,
            attempted=None,
            applied=None,
            applied_digest=None,
            applied_generation=None,
            phase=Outcome.UNKNOWN,
            reason="",
            message="",
            phase_since=None,
            baseline_sha=None,
            awaits_baseline=True,
            sync_id=None,
            first_seen_at=seen.observed_at,
            observed_at=seen.observed_at,
            **pointing,
        )

    async def _lose_target(self, unit: Unit, draft: Draft, gone: Gone) -> None:
        before = self._registry.find_target(draft.cluster, gone.key)
        if before is None or before.deleted_at is not None:
            return
        await abandon(unit, draft, before, gone.observed_at)
        draft.note_target(before, gone.observed_at, "deleted")
        draft.put_target(await unit.put_target(replace(before, deleted_at=gone.observed_at)))


def _applied_generation(before: TargetRecord, item: Kustomization) -> int | None:
    """Suspending and resuming are a generation of their own, and change nothing of what is made."""
    is_switched = before.is_suspended != item.is_suspended and item.generation == before.generation + 1
    return (
        item.generation if is_switched and before.applied_generation == before.generation else before.applied_generation
    )


def _lands_on(cluster: ClusterUid, item: Kustomization) -> str:
    return f"{cluster}/{item.kube_config}" if item.kube_config else cluster
