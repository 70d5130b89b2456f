"""What following images needs of the outside, as Protocols: the ledger's images and roll-outs, and registries."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from fluxtrail.model.image_facts import ImageFacts
from fluxtrail.model.image_records import ImageRecord, ImageRun, ImageState
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import DeliveryRecord, SyncId, SyncRecord, TargetId
from fluxtrail.model.running_records import RolloutRecord, WorkloadId, WorkloadRecord
from fluxtrail.trail.ports import Unit

RolloutKey = tuple[SyncId, WorkloadId]


class ImageUnit(Unit, Protocol):
    """One transaction, as `trail.ports.Unit`, with images."""

    async def put_images(self, records: Sequence[ImageRecord]) -> None:
        """Insert, or replace by digest."""

    async def images(self, digests: Sequence[str]) -> dict[str, ImageRecord]: ...

    async def images_due(self, now: datetime, limit: int) -> list[ImageRecord]:
        """Those to be asked now, longest waiting first: pending without `retry_at`, or with one that has come."""

    async def images_in_state(self, state: ImageState, limit: int) -> list[ImageRecord]: ...

    async def put_image_runs(self, records: Sequence[ImageRun]) -> None:
        """Insert, or replace the live one by (cluster, namespace, kind, workload, container, digest).

        One with `until` ends it.
        """

    async def image_runs(self, cluster: ClusterUid) -> list[ImageRun]:
        """The live ones."""

    async def image_runs_at(
        self, cluster: ClusterUid, namespace: str, kind: str, workload: str, limit: int
    ) -> list[ImageRun]:
        """What a workload's containers run and ran, newest first."""

    async def untraced_rollouts(self, limit: int) -> list[RolloutRecord]:
        """Those that are not traced, oldest first by sync."""

    async def note_traced(self, keys: Sequence[RolloutKey]) -> None: ...

    async def workloads_by_id(self, ids: Sequence[WorkloadId]) -> dict[WorkloadId, WorkloadRecord]: ...

    async def workloads_of(self, targets: Sequence[TargetId]) -> list[WorkloadRecord]:
        """What is in the inventories of these targets, and there."""

    async def recent_syncs(self, target_id: TargetId, *, limit: int) -> list[SyncRecord]:
        """A target's newest syncs, oldest first."""

    async def applied_deliveries(self, syncs: Sequence[SyncId]) -> list[DeliveryRecord]:
        """Those whose `applied_sync` is one of these."""


class ImageLedger(Protocol):
    def unit(self) -> AbstractAsyncContextManager[ImageUnit]: ...


class ImageRegistries(Protocol):
    """Describes images. Errors are FluxtrailErrors: ConfigError where a registry may not be asked, AuthError,
    NotFoundError, RateLimitedError, UpstreamError, WireError.
    """

    async def describe(self, image: str, digest: str, *, insecure: bool = False) -> ImageFacts: ...

    def may_ask(self, image: str, *, insecure: bool = False) -> bool: ...
