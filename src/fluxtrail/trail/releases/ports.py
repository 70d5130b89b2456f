"""What handing over needs of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from fluxtrail.model.records import DeliveryRecord, SyncId, SyncRecord, TargetId
from fluxtrail.model.running_records import HandoverRecord
from fluxtrail.trail.ports import Unit


class HandingUnit(Unit, Protocol):
    """One transaction, as `trail.ports.Unit`."""

    async def unhanded(self, *, limit: int) -> list[HandoverRecord]:
        """Those whose Kustomization's sync is attributed, and whose commits are not handed over yet."""

    async def put_handovers(self, records: Sequence[HandoverRecord]) -> None: ...

    async def mark_handed(self, records: Sequence[HandoverRecord]) -> None: ...

    async def handovers_of(self, releases: Sequence[TargetId]) -> list[HandoverRecord]:
        """By generation."""

    async def applied_deliveries(self, syncs: Sequence[SyncId]) -> list[DeliveryRecord]:
        """The deliveries whose commits these syncs first applied."""

    async def syncs_from(self, target_id: TargetId, *, generation: int) -> list[SyncRecord]:
        """The target's syncs of this or a later generation, oldest first."""

    async def recent_syncs(self, target_id: TargetId, *, limit: int) -> list[SyncRecord]:
        """The target's newest syncs, oldest first."""


class HandingLedger(Protocol):
    def unit(self) -> AbstractAsyncContextManager[HandingUnit]: ...
