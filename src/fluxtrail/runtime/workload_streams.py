"""What runs in one cluster, watched: pods, what owns them, and what owns that; for all who draw conclusions from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.errors import StoreError
from fluxtrail.model.observation import ClusterUid, Observation
from fluxtrail.runtime.stream_state import StreamState
from fluxtrail.runtime.subjects import WORKLOAD_KINDS, Kind, owner_kind
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.workloads.anchors import kind_text
from fluxtrail.trail.workloads.view import WorkloadListener, WorkloadView

log = structlog.get_logger(__name__)

SYNC_SECONDS = 60.0
"""After which a list that has not come is complained of. Source: deployment-tracker's limit."""
RETRY_SECONDS = 5.0


class WorkloadConsumer(WorkloadListener, Protocol):
    """Listens to a cluster's view, and does in a job of its own what follows from it."""

    async def run(self) -> None:
        """Work for ever. Raises StoreError; nothing may be forgotten then: it is run again after RETRY_SECONDS."""


ConsumerOf = Callable[[WorkloadView, Connection], WorkloadConsumer]
"""Makes a consumer for each time that a cluster is connected to; it need not `listen` itself."""


class WorkloadStreams:
    """One cluster's. `follow` it for as long as its connection is good.

    Attributes:
        states: how each kind's stream stands, by kind; owners of other kinds come as they are found.
        view: of the present connection, or of the last one; None before there was one.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        consumers: Mapping[str, ConsumerOf],
        namespaces: Sequence[str] = (),
        excluded: Sequence[str] = (),
        is_required: bool = False,
    ) -> None:
        """Args:
        name: of the cluster, for people.
        consumers: by what their jobs are called.
        namespaces: only what runs in these; all where empty.
        excluded: and not in these.
        is_required: whether the process is not ready without these streams.
        """
        self._name = name
        self._clock = clock
        self._consumers = consumers
        self._namespaces = tuple(sorted(namespaces))
        self._excluded = tuple(sorted(excluded))
        self.states = {item.kind: StreamState(kind=item.kind, is_required=is_required) for item in WORKLOAD_KINDS}
        self.view: WorkloadView | None = None

    async def follow(self, connection: Connection, uid: ClusterUid) -> None:
        """Watch, and let the consumers work, until cancelled."""
        async with asyncio.TaskGroup() as group:

            def watch(item: Kind) -> None:
                group.create_task(self._watch(connection, item, view), name=f"{self._name}/{item.kind}")

            view = WorkloadView(
                uid,
                clock=self._clock,
                on_kind=lambda owner_group, kind: watch(owner_kind(owner_group, kind)),
                covers=self._covers,
            )
            self.view = view
            for name, make in self._consumers.items():
                consumer = make(view, connection)
                view.listen(consumer)
                group.create_task(self._work(name, consumer), name=f"{self._name}/{name}")
            for item in WORKLOAD_KINDS:
                watch(item)
            group.create_task(self._complain(view), name=f"{self._name}/sync")

    def _covers(self, namespace: str) -> bool:
        return namespace not in self._excluded and (not self._namespaces or namespace in self._namespaces)

    async def _watch(self, connection: Connection, item: Kind, view: WorkloadView) -> None:
        subject = item.subject(self._namespaces, excluded=self._excluded)
        state = self.states.setdefault(kind_text(item.group, item.kind), StreamState(kind=item.kind))
        watcher: Watcher[Any] = Watcher(connection, subject, clock=self._clock)
        state.stats = watcher.stats

        async def emit(batch: Sequence[Observation[Any]]) -> None:
            await view.observe(batch)
            state.note(batch)

        await watcher.run(emit)

    async def _work(self, name: str, consumer: WorkloadConsumer) -> None:
        """Keep working: a ledger that cannot be written now must not cost the streams."""
        while True:
            try:
                await consumer.run()
            except StoreError as exc:
                log.error(
                    "workloads not kept",
                    cluster=self._name,
                    by=name,
                    error=str(exc),
                    retry_in_seconds=RETRY_SECONDS,
                )
            await self._clock.sleep(RETRY_SECONDS)

    async def _complain(self, view: WorkloadView) -> None:
        """Say once why nothing is judged, where that takes long."""
        await self._clock.sleep(SYNC_SECONDS)
        if view.awaited:
            log.error(
                "timed out waiting for caches to sync",
                cluster=self._name,
                kinds=view.awaited,
                remedy="check that pods, their owners and the API server can be reached, listed and watched",
            )
