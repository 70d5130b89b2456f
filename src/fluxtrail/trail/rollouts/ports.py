"""What following roll-outs needs of the outside: the ledger's rows, and a look at one object."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from fluxtrail.model.moment import Moment
from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.records import (
    DeliveryRecord,
    SyncId,
    SyncRecord,
    TargetId,
    Transition,
)
from fluxtrail.model.releases import HelmRelease
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.running_records import HandoverRecord, RolloutRecord, WorkloadRecord
from fluxtrail.model.workloads import Pod, Workload

RunningNote = tuple[SyncId, RunningState, Moment | None]


class RunningUnit(Protocol):
    """One transaction, as `trail.ports.Unit`."""

    async def syncs(self, ids: Sequence[SyncId]) -> dict[SyncId, SyncRecord]: ...

    async def recent_syncs(self, target_id: TargetId, *, limit: int) -> list[SyncRecord]:
        """A target's newest syncs, oldest first."""

    async def unread_syncs(self, cluster: ClusterUid, *, limit: int) -> list[SyncRecord]:
        """Applied, and not read again yet; of targets that are there, oldest first."""

    async def note_running(self, changes: Sequence[RunningNote]) -> list[DeliveryRecord]:
        """Note what is known of the last stage. Returns the deliveries that these syncs applied and that run now."""

    async def applied_deliveries(self, syncs: Sequence[SyncId]) -> list[DeliveryRecord]:
        """The deliveries whose commits these syncs first applied."""

    async def workloads(self, cluster: ClusterUid) -> list[WorkloadRecord]:
        """Those that are there."""

    async def put_workloads(self, records: Sequence[WorkloadRecord]) -> list[WorkloadRecord]:
        """Insert (id 0) or update by id; returns them in the same order with their ids."""

    async def put_rollouts(self, records: Sequence[RolloutRecord]) -> None:
        """Insert, or replace by (sync, workload)."""

    async def open_rollouts(self, cluster: ClusterUid) -> list[RolloutRecord]:
        """Neither running nor dropped."""

    async def rollouts_of(self, syncs: Sequence[SyncId]) -> list[RolloutRecord]: ...

    async def put_handovers(self, records: Sequence[HandoverRecord]) -> None: ...

    async def handed_generations(self, cluster: ClusterUid) -> dict[TargetId, int]:
        """Up to which generation something was handed over to each HelmRelease of a cluster."""

    async def add_transitions(self, transitions: Sequence[Transition]) -> None: ...

    async def get_note(self, name: str) -> str | None: ...

    async def put_note(self, name: str, value: str) -> None: ...


class RunningLedger(Protocol):
    def unit(self) -> AbstractAsyncContextManager[RunningUnit]: ...


class Rereader(Protocol):
    """Looks at one object as it is now, past every watch."""

    async def read(self, key: ObjectKey) -> Workload | Pod | HelmRelease | None:
        """None where there is none. Raises AuthError where it may not be read, UpstreamError and its kin."""
