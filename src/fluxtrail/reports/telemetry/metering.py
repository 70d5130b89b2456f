"""Exports the delivery figures at an interval, by one process of those that share a ledger.

They are cumulative: an export that is lost is made up for by the next one, so they need no outbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from fluxtrail.model.counts import Counts
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.figures import Figures
from fluxtrail.model.records import CommitId
from fluxtrail.model.telling import TrackedCommit
from fluxtrail.reports.ports import Clock, Facts, Leadership
from fluxtrail.reports.telemetry.messages import Envelope
from fluxtrail.reports.telemetry.metrics import Place, Snapshot, scopes
from fluxtrail.reports.telemetry.parts import parts

log = structlog.get_logger(__name__)

LEAD = "metrics"
LEASES_AN_INTERVAL = 4
"""Who does not renew for as many intervals has lost the lead."""
LAST_SECONDS = 5.0
"""For the export at a stop."""

Export = Callable[[ExportMetricsServiceRequest], Awaitable[None]]


class Gauges(Protocol):
    """What is on its way now."""

    async def counts(self, *, now: datetime) -> Counts: ...


class Meter:
    """Run it beside the dispatchers."""

    def __init__(
        self,
        *,
        figures: Callable[[], Figures],
        gauges: Gauges,
        facts: Facts,
        source_kinds: Callable[[], Mapping[Place, str]],
        leadership: Leadership,
        exports: Sequence[Export],
        envelope: Envelope,
        started_at: datetime,
        clock: Clock,
        owner: str,
        interval_seconds: float,
        on_lead: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Args:
        started_at: when the ledger began.
        on_lead: awaited when this process becomes the one that exports: its figures must be up to date then.
        """
        self._figures = figures
        self._gauges = gauges
        self._facts = facts
        self._source_kinds = source_kinds
        self._leadership = leadership
        self._exports = exports
        self._envelope = envelope
        self._started_at = started_at
        self._clock = clock
        self._owner = owner
        self._interval = interval_seconds
        self._on_lead = on_lead
        self._leads = False
        self.failed = 0
        self.problem = ""

    async def run(self) -> None:
        """Export for ever. Raises StoreError where the ledger cannot be read."""
        try:
            while True:
                await self.export()
                await self._clock.sleep(self._interval)
        except asyncio.CancelledError:
            await self.close()
            raise

    async def export(self) -> bool:
        """Export once, if this is the process to do so; returns whether it is."""
        lease = timedelta(seconds=self._interval * LEASES_AN_INTERVAL)
        if not await self._leadership.acquire(LEAD, self._owner, lease):
            self._leads = False
            return False
        if not self._leads and self._on_lead is not None:
            await self._on_lead()
        self._leads = True
        requests = await self.requests()
        for export in self._exports:
            await self._export(export, requests)
        return True

    async def _export(self, export: Export, requests: Sequence[ExportMetricsServiceRequest]) -> None:
        try:
            for request in requests:
                await export(request)
        except FluxtrailError as exc:
            self.failed += 1
            if not self.problem:
                log.warning("metrics_not_exported", error=str(exc))
            self.problem = str(exc)
        else:
            self.problem = ""

    async def requests(self) -> list[ExportMetricsServiceRequest]:
        """Return everything as it stands now."""
        now = self._clock.now()
        counts = await self._gauges.counts(now=now)
        snapshot = Snapshot.take(
            self._figures(),
            counts.inflight,
            source_kinds=self._source_kinds(),
            started_at=self._started_at,
            now=now,
        )
        sampled = await self._facts.commit_tellings(snapshot.sampled(), now=now, settle_after=timedelta())
        commits = {id_: told.commit for id_, told in sampled.items()}
        # A fleet's are half a second of work.
        return await asyncio.to_thread(self._encode, snapshot, commits)

    def _encode(
        self, snapshot: Snapshot, commits: Mapping[CommitId, TrackedCommit]
    ) -> list[ExportMetricsServiceRequest]:
        return [self._envelope.metrics(part) for part in parts(scopes(snapshot, commits))]

    async def close(self) -> None:
        """Export once more, and let another process lead."""
        if not self._leads:
            return
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self.export()
                await self._leadership.release(LEAD, self._owner)
        except (TimeoutError, FluxtrailError) as exc:
            log.warning("metrics_not_exported", error=str(exc) or "no answer in time")
