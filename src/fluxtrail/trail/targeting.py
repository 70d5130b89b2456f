"""Follows targets: what each points at, what it has applied, and the syncs that made it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fluxtrail.model.flux import Kustomization
from fluxtrail.model.observation import ClusterUid, Gone, Seen
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import UNSAVED, SourceRecord, SyncRecord, TargetId, TargetRecord
from fluxtrail.model.releases import HelmRelease
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.sources import ARTIFACT_KINDS
from fluxtrail.trail.draft import MARK_SLACK, Draft, abandon, repoint
from fluxtrail.trail.judge import judge
from fluxtrail.trail.judgement import Judgement, Look
from fluxtrail.trail.ports import Unit
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.releases.judge import judge_release
from fluxtrail.trail.sourcing import Sourcing

replace = msgspec.structs.replace

Delivered = Kustomization | HelmRelease


class Targeting:
    def __init__(self, registry: Registry, sourcing: Sourcing, *, follows_running: bool = True) -> None:
        """Args:
        follows_running: whether workloads are watched; else nobody will find out what runs.
        """
        self._registry = registry
        self._sourcing = sourcing
        self._begun_as = RunningState.UNREAD if follows_running else RunningState.UNKNOWN

    async def see_kustomization(self, unit: Unit, draft: Draft, seen: Seen[Kustomization]) -> None:
        item = seen.object
        before, kept = await self._prepare(unit, draft, seen)
        source = self._registry.source_of(kept)
        look = self._look(draft, seen, before, kept, await self._sourcing.naming.names_for(unit, source, item))
        last = draft.syncs.get(kept.sync_id) if kept.sync_id else None
        await self._keep(unit, draft, seen, before, last, judge(kept, last, item, look))

    async def see_release(self, unit: Unit, draft: Draft, seen: Seen[HelmRelease]) -> None:
        item = seen.object
        before, kept = await self._prepare(unit, draft, seen)
        source = self._registry.source_of(kept)
        is_named = source is not None and source.key.kind in ARTIFACT_KINDS and source.repository_id is not None
        names = await self._sourcing.naming.names_of(unit, source) if is_named and source is not None else {}
        look = self._look(draft, seen, before, kept, names)
        last = draft.syncs.get(kept.sync_id) if kept.sync_id else None
        judgement = judge_release(kept, last, item, look)
        await self._keep(unit, draft, seen, before, last, judgement)
        if judgement.syncs:
            draft.releases.add(judgement.target.id)

    async def lose(self, unit: Unit, draft: Draft, gone: Gone) -> None:
        self._registry.inventories.pop((draft.cluster, gone.key), None)
        self._registry.histories.pop((draft.cluster, gone.key), None)
        before = self._registry.find_target(draft.cluster, gone.key)
        if before is None or before.deleted_at is not None:
            return
        await abandon(unit, draft, before, gone.observed_at)
        draft.note_target(before, gone.observed_at, "deleted")
        draft.put_target(await unit.put_target(replace(before, deleted_at=gone.observed_at)))

    # -- one target ----------------------------------------------------------------------------------------------

    def _look(
        self, draft: Draft, seen: Seen[Any], before: TargetRecord | None, kept: TargetRecord, names: Mapping[str, str]
    ) -> Look:
        return Look(
            observed_at=seen.observed_at,
            was_held=seen.was_held and before is not None,
            is_told=seen.is_told,
            not_before=draft.not_before(seen.key.kind, kept) if before is not None else None,
            source=self._registry.source_of(kept),
            shas=names,
        )

    async def _keep(
        self,
        unit: Unit,
        draft: Draft,
        seen: Seen[Any],
        before: TargetRecord | None,
        last: SyncRecord | None,
        judgement: Judgement,
    ) -> None:
        self._registry.inventories[draft.cluster, seen.key] = seen.object.inventory
        if isinstance(seen.object, Kustomization):
            self._registry.histories[draft.cluster, seen.key] = seen.object.history
        target = judgement.target
        begun_as = RunningState.UNKNOWN if seen.is_told else self._begun_as  # events tell nothing of workloads
        for sync in judgement.syncs:
            saved = await unit.put_sync(replace(sync, running_state=begun_as) if sync.id == UNSAVED else sync)
            draft.syncs[saved.id] = saved
            draft.note_sync(target, last if last and last.id == saved.id else None, saved, seen.observed_at)
            target = replace(target, sync_id=saved.id)
        draft.note_phase(before, target, seen.observed_at)
        if before is None or judgement.syncs or replace(before, observed_at=target.observed_at) != target:
            target = await unit.put_target(target)
        draft.put_target(target)

    async def _prepare(self, unit: Unit, draft: Draft, seen: Seen[Any]) -> tuple[TargetRecord | None, TargetRecord]:
        """Return the target as kept, and as its spec is now: re-pointed where it follows something else."""
        item: Delivered = seen.object
        before = self._registry.find_target(draft.cluster, item.key)
        source = self._registry.sources.get((draft.cluster, item.source))
        if before is None:
            return None, await unit.put_target(self._new_target(draft, seen, source))
        after = replace(
            before,
            **_spec_fields(draft.cluster, item),
            applied_generation=_applied_generation(before, item),
            deleted_at=None,
        )
        if before.source != item.source:
            after = replace(after, **self._sourcing.pointing_of(source))
        is_another = before.uid != item.uid or before.deleted_at is not None
        if is_another or (before.source, before.path, before.components) != (item.source, after.path, after.components):
            after = await repoint(unit, draft, after, seen.observed_at)
            if is_another:
                after = replace(
                    after,
                    applied=None,
                    applied_digest=None,
                    applied_generation=None,
                    sync_id=None,
                    first_generation=self._first_generation(draft, item),
                )
        return before, after

    def _new_target(self, draft: Draft, seen: Seen[Any], source: SourceRecord | None) -> TargetRecord:
        item: Delivered = seen.object
        pointing: dict[str, Any] = self._sourcing.pointing_of(source)
        return TargetRecord(
            id=TargetId(UNSAVED),
            cluster=draft.cluster,
            key=item.key,
            **_spec_fields(draft.cluster, item),
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
            first_generation=self._first_generation(draft, item),
            first_seen_at=seen.observed_at,
            observed_at=seen.observed_at,
            **pointing,
        )

    def _first_generation(self, draft: Draft, item: Delivered) -> int:
        """Return 0 of an object that was made while its cluster was watched: whoever made it, is told of it."""
        mark = self._registry.stream_marks.get((draft.cluster, item.key.kind))
        is_new = mark is not None and item.created_at is not None and item.created_at > mark - MARK_SLACK
        return 0 if is_new else item.generation


def _spec_fields(cluster: ClusterUid, item: Delivered) -> dict[str, Any]:
    """Return what an object itself says of what it delivers."""
    return {
        "uid": item.uid,
        "lands_on": _lands_on(cluster, item),
        "source": item.source,
        "path": _path(item),
        "components": _components(item),
        "generation": item.generation,
        "is_suspended": item.is_suspended,
        "has_checks": _has_checks(item),
        "parent": item.parent,
    }


def _applied_generation(before: TargetRecord, item: Delivered) -> int | None:
    """Suspending and resuming are a generation of their own, and change nothing of what is made.

    Of a release each generation that was handled has a sync of its own, also one that changed nothing.
    """
    if isinstance(item, HelmRelease):
        return before.applied_generation
    is_switched = before.is_suspended != item.is_suspended and item.generation == before.generation + 1
    return (
        item.generation if is_switched and before.applied_generation == before.generation else before.applied_generation
    )


def _lands_on(cluster: ClusterUid, item: Delivered) -> str:
    return f"{cluster}/{item.kube_config}" if item.kube_config else cluster


def _path(item: Delivered) -> str:
    """Return where in its source a target's manifests come from: a chart's folder, where it is one."""
    if isinstance(item, Kustomization):
        return item.path
    made_from = item.chart_source
    return item.chart if made_from is not None and made_from.kind in ("GitRepository", "Bucket") else ""


def _components(item: Delivered) -> tuple[str, ...]:
    return item.components if isinstance(item, Kustomization) else ()


def _has_checks(item: Delivered) -> bool:
    return item.has_checks or (isinstance(item, HelmRelease) and item.has_tests)
