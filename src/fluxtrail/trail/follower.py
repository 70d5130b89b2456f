"""Follows clusters' objects: on each observation, compare with what is kept, judge, and record. No git, no waiting.

Observations come in the order of their stream, in batches; what several streams bring at once is one unit of the
ledger. What follows from a sync (which commits it carried) is the attributor's job, woken afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import structlog

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.flux import Kustomization
from fluxtrail.model.observation import ClusterUid, Current, Gone, Listed, ObjectKey, Observation, Seen, Unavailable
from fluxtrail.model.records import RepositoryId, SyncId, TargetId
from fluxtrail.model.releases import HelmRelease
from fluxtrail.model.scanning import ImagePolicy, ImageRepository, registry_url
from fluxtrail.model.sources import ArtifactGenerator, ArtifactSource, GitRepository, ImageUpdateAutomation
from fluxtrail.trail.draft import Draft
from fluxtrail.trail.gathering import Gatherer
from fluxtrail.trail.ports import Ledger, Unit
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.sourcing import Sourcing
from fluxtrail.trail.targeting import Targeting

log = structlog.get_logger(__name__)
BATCH = 500
"""Observations of a unit."""


class _Batch(NamedTuple):
    """Observations of one stream, in their order."""

    cluster: ClusterUid
    observations: Sequence[Observation[Any]]


class Follower:
    def __init__(
        self,
        *,
        registry: Registry,
        ledger: Ledger,
        on_sync: Callable[[ClusterUid], None],
        on_source: Callable[[str], None],
        on_move: Callable[[RepositoryId], None],
        on_release: Callable[[Collection[TargetId]], None] = lambda _: None,
        on_image: Callable[[str, str], None] = lambda image, digest: None,
        on_git: Callable[[ClusterUid, ObjectKey, GitRepository | None], None] = lambda cluster, key, source: None,
        follows_running: bool = True,
    ) -> None:
        """Args:
        on_sync: a sync of this cluster began or went on: attribution has work.
        on_source: a source with this URL is watched: its host may be asked.
        on_move: a source fetched something new: the branch probably moved.
        on_release: syncs of these HelmReleases began or went on: what was handed over to them may be carried.
        on_image: an image policy has chosen this image and digest: it will run soon.
        on_git: a GitRepository is this now, or is gone; told before `on_source`.
        follows_running: whether workloads are watched.
        """
        self._registry = registry
        self._ledger = ledger
        self._on_sync = on_sync
        self._on_source = on_source
        self._on_move = on_move
        self._sourcing = Sourcing(registry)
        self._targeting = Targeting(registry, self._sourcing, follows_running=follows_running)
        self._on_release = on_release
        self._on_image = on_image
        self._on_git = on_git
        self._gatherer = Gatherer(self._keep, size_of=lambda batch: len(batch.observations), limit=BATCH)
        self.unfollowed = 0
        """Objects that could not be judged, since the start: each is a fault of ours, and logged."""

    async def observe(self, cluster: ClusterUid, observations: Sequence[Observation[Any]]) -> None:
        """Record a batch of one stream. Returns when it is kept; raises StoreError if it is not."""
        for start in range(0, len(observations), BATCH):
            await self._gatherer.hand_over(_Batch(cluster, observations[start : start + BATCH]))

    async def _keep(self, batches: Sequence[_Batch]) -> None:
        """Keep batches of several streams, all or none: each has a draft, and builds on those before it."""
        drafts: list[Draft] = []
        try:
            async with self._ledger.unit() as unit:
                syncs = await unit.syncs(self._newest_syncs(batches))
                for batch in batches:
                    drafts.append(Draft(self._registry, batch.cluster, syncs))
                    for observation in batch.observations:
                        await self._take_safely(unit, drafts[-1], observation)
                await unit.put_stream_marks(
                    {(draft.cluster, kind): mark for draft in drafts for kind, mark in draft.marks.items()}
                )
                await unit.add_transitions([transition for draft in drafts for transition in draft.transitions])
        except BaseException:
            for draft in reversed(drafts):
                draft.undo()
            raise
        for draft in drafts:
            self._tell(draft)

    def _tell(self, draft: Draft) -> None:
        """Tell others of what was kept."""
        for kind, mark in draft.marks.items():
            self._registry.stream_marks[draft.cluster, kind] = mark
        for url in draft.urls:
            self._on_source(url)
        for image, digest in draft.images:
            self._on_image(image, digest)
        if draft.has_syncs:
            self._on_sync(draft.cluster)
        for repository_id in draft.moved:
            self._on_move(repository_id)
        if draft.releases:
            self._on_release(draft.releases)

    def _newest_syncs(self, batches: Sequence[_Batch]) -> list[SyncId]:
        """Return the newest syncs of all targets that are seen: read together, they are one query."""
        seen = ((batch.cluster, item.key) for batch in batches for item in batch.observations if isinstance(item, Seen))
        targets = (self._registry.find_target(cluster, key) for cluster, key in seen)
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

    def _tell_of_git(self, cluster: ClusterUid, observation: Observation[Any]) -> None:
        match observation:
            case Seen(object=GitRepository() as source):
                self._on_git(cluster, observation.key, source)
            case Gone(key=ObjectKey(kind="GitRepository")):
                self._on_git(cluster, observation.key, None)

    async def _take(self, unit: Unit, draft: Draft, observation: Observation[Any]) -> None:
        self._tell_of_git(draft.cluster, observation)
        match observation:
            case Seen(object=GitRepository()):
                await self._sourcing.see_git(unit, draft, observation)
            case Seen(object=ArtifactSource()):
                await self._sourcing.see_artifact(unit, draft, observation)
            case Seen(object=ArtifactGenerator()):
                await self._sourcing.see_generator(unit, draft, observation)
            case Seen(object=ImageUpdateAutomation()):
                await self._sourcing.see_automation(unit, draft, observation)
            case Seen(object=ImageRepository(image=image, is_insecure=is_insecure)):
                draft.urls |= {url} if (url := registry_url(image, is_insecure=is_insecure)) else set()
            case Seen(object=ImagePolicy(image=image, digest=str(digest))):
                draft.images.add((image, digest))
            case Seen(object=Kustomization()):
                await self._targeting.see_kustomization(unit, draft, observation)
            case Seen(object=HelmRelease()):
                await self._targeting.see_release(unit, draft, observation)
                self._registry.note_release(draft.cluster, observation)
            case Gone(key=ObjectKey(kind="Kustomization" | "HelmRelease")):
                await self._targeting.lose(unit, draft, observation)
                self._registry.released.pop((draft.cluster, observation.key), None)
            case Gone():
                await self._sourcing.lose(unit, draft, observation)
            case Listed() | Current():
                draft.mark(observation.kind, observation.observed_at)
            case Unavailable():
                log.warning("kind unavailable", kind=observation.kind, reason=observation.reason)
