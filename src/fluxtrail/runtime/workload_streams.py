"""What runs in one cluster, watched for its deployment records: pods, what owns them, and what owns that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.errors import StoreError
from fluxtrail.model.observation import ClusterUid, Observation
from fluxtrail.runtime.stream_state import StreamState
from fluxtrail.runtime.subjects import WORKLOAD_KINDS, Kind, owner_kind
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.workloads.anchors import kind_text
from fluxtrail.trail.workloads.keeper import KeeperNumbers, RecordRules, WorkloadKeeper
from fluxtrail.trail.workloads.ports import RecordLedger, ReportOf

log = structlog.get_logger(__name__)

SYNC_SECONDS = 60.0
"""After which a list that has not come is complained of. Source: deployment-tracker's limit."""
RETRY_SECONDS = 5.0


class WorkloadStreams:
    """One cluster's. `follow` it for as long as its connection is good.

    Attributes:
        states: how each kind's stream stands, by kind; owners of other kinds come as they are found.
    """

    def __init__(
        self,
        name: str,
        *,
        ledger: RecordLedger,
        clock: Clock,
        rules: RecordRules,
        report_of: ReportOf,
        numbers: KeeperNumbers,
        on_begun: Callable[[ClusterUid], None],
    ) -> None:
        """Args:
        name: of the cluster, for people.
        on_begun: called once all that was there at the beginning is recorded.
        """
        self._name = name
        self._ledger = ledger
        self._clock = clock
        self._rules = rules
        self._report_of = report_of
        self._numbers = numbers
        self._on_begun = on_begun
        self.states = {item.kind: StreamState(kind=item.kind, is_required=True) for item in WORKLOAD_KINDS}

    async def follow(self, connection: Connection, uid: ClusterUid) -> None:
        """Watch and record until cancelled."""
        async with asyncio.TaskGroup() as group:

            def watch(item: Kind) -> None:
                group.create_task(self._watch(connection, item, keeper), name=f"{self._name}/{item.kind}")

            keeper = WorkloadKeeper(
                uid,
                ledger=self._ledger,
                clock=self._clock,
                rules=self._rules,
                report_of=self._report_of,
                on_kind=lambda owner_group, kind: watch(owner_kind(owner_group, kind)),
                on_begun=partial(self._on_begun, uid),
                numbers=self._numbers,
            )
            for item in WORKLOAD_KINDS:
                watch(item)
            group.create_task(self._record(keeper), name=f"{self._name}/records")
            group.create_task(self._complain(keeper), name=f"{self._name}/sync")

    async def _watch(self, connection: Connection, item: Kind, keeper: WorkloadKeeper) -> None:
        rules = self._rules
        subject = item.subject(tuple(sorted(rules.namespaces)), excluded=tuple(sorted(rules.excluded)))
        state = self.states.setdefault(kind_text(item.group, item.kind), StreamState(kind=item.kind))
        watcher: Watcher[Any] = Watcher(connection, subject, clock=self._clock)
        state.stats = watcher.stats

        async def emit(batch: Sequence[Observation[Any]]) -> None:
            await keeper.observe(batch)
            state.note(batch)

        await watcher.run(emit)

    async def _record(self, keeper: WorkloadKeeper) -> None:
        """Keep recording: a ledger that cannot be written now must not cost the streams."""
        while True:
            try:
                await keeper.run()
            except StoreError as exc:
                log.error("records not kept", cluster=self._name, error=str(exc), retry_in_seconds=RETRY_SECONDS)
            await self._clock.sleep(RETRY_SECONDS)

    async def _complain(self, keeper: WorkloadKeeper) -> None:
        """Say once why nothing is recorded, where that takes long."""
        await self._clock.sleep(SYNC_SECONDS)
        if keeper.awaited:
            log.error(
                "timed out waiting for caches to sync",
                cluster=self._name,
                kinds=keeper.awaited,
                remedy="check that pods, their owners and the API server can be reached, listed and watched",
            )
