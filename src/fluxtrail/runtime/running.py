"""What runs: wires roll-outs and handovers to each cluster's view, and wakes them when a sync went on."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

import msgspec

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.reading import ObjectReader
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.records import TargetId
from fluxtrail.model.releases import HelmRelease
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.workloads import Pod, Workload
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.subjects import find_kind
from fluxtrail.runtime.telemetry import Job
from fluxtrail.runtime.workload_streams import WorkloadConsumer
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.releases.handing import Hander
from fluxtrail.trail.rollouts.asking import EventAsker
from fluxtrail.trail.rollouts.keeper import RolloutKeeper, since_note
from fluxtrail.trail.workloads.anchors import Anchor
from fluxtrail.trail.workloads.view import WorkloadListener, WorkloadView
from fluxtrail.web.measures import Measure, counter

replace = msgspec.structs.replace

GIVEN_UP = 100_000
"""Syncs that wait to be read again at one start; there are few."""


class Running:
    """All clusters' last stage. Tell it of syncs, and run its jobs."""

    def __init__(self, *, registry: Registry, ledger: FoldedLedger, clock: Clock) -> None:
        self._registry = registry
        self._ledger = ledger
        self._clock = clock
        self._hander = Hander(registry=registry, ledger=ledger, clock=clock)
        self._keepers: dict[ClusterUid, RolloutKeeper] = {}

    def keeper(self, view: WorkloadView, connection: Connection) -> RolloutKeeper:
        """Return what follows the roll-outs of a cluster that was connected to."""
        reader = ObjectReader(connection)
        keeper = RolloutKeeper(
            view.cluster,
            view=view,
            ledger=self._ledger,
            registry=self._registry,
            rereader=_Rereader(reader),
            events=reader,
            clock=self._clock,
            on_handover=self._hander.wake,
        )
        self._keepers[view.cluster] = keeper
        return keeper

    def asker(self, view: WorkloadView, connection: Connection) -> WorkloadConsumer:
        """Return what asks for events of a cluster that `keeper` was called for."""
        return _Asker(self._keepers[view.cluster].asker)

    def note_syncs(self, clusters: Collection[ClusterUid]) -> None:
        """Syncs of these clusters began, went on, or were attributed; of others' there is nothing to read again."""
        for cluster in clusters:
            keeper = self._keepers.get(cluster)
            if keeper is not None:
                keeper.note_syncs()
        self._hander.wake()

    def note_releases(self, releases: Collection[TargetId]) -> None:
        """Syncs of these HelmReleases began or went on."""
        self._hander.note_releases(releases)

    def measures(self) -> Iterable[Measure]:
        unjudged = sum(keeper.unjudged for keeper in self._keepers.values())
        yield counter("fluxtrail_workloads_unjudged", "Workloads that could not be judged.", unjudged)

    @property
    def jobs(self) -> dict[str, Job]:
        return {"handovers": self._hander.run}


class _Asker(WorkloadListener):
    """A job beside the keeper's, for as long as the cluster is connected to; what changes it is told by the keeper."""

    def __init__(self, asker: EventAsker) -> None:
        self._asker = asker

    def changed(self, anchors: set[Anchor]) -> None:
        pass

    def gone(self, key: ObjectKey, uid: ObjectUid, seen_at: datetime) -> None:
        pass

    def noted(self, group: str, kind: str) -> None:
        pass

    async def run(self) -> None:
        await self._asker.run()


async def give_up_running(ledger: FoldedLedger, registry: Registry, now: datetime) -> None:
    """Say of all that waits to run that nobody will find out: workloads are not watched (any more).

    What was known of workloads is forgotten with it: it does not hold any longer, and begins anew one day.
    """
    async with ledger.unit() as unit:
        for cluster in {target.cluster for target in registry.targets}:
            rows = await unit.open_rollouts(cluster)
            await unit.put_rollouts([replace(row, is_dropped=True) for row in rows])
            waiting = await unit.waiting_syncs(cluster)
            waiting += await unit.unread_syncs(cluster, limit=GIVEN_UP)
            await unit.note_running([(sync.id, RunningState.UNKNOWN, None) for sync in waiting])
            known = await unit.workloads(cluster)
            await unit.put_workloads([replace(record, deleted_at=now) for record in known])
            await unit.put_note(since_note(cluster), "")


class _Rereader:
    """Reads any object of an inventory in the shape that its kind is watched in."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def read(self, key: ObjectKey) -> Workload | Pod | HelmRelease | None:
        kind = find_kind(key.group, key.kind)
        if kind is None:
            return await self._reader.read_any(key)
        found: Workload | Pod | HelmRelease | None = await self._reader.read(kind.subject(()), key.namespace, key.name)
        return found
