"""What runs: wires roll-outs and handovers to each cluster's view, and wakes them when a sync went on."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.reading import ObjectReader
from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.records import TargetId
from fluxtrail.model.releases import HelmRelease
from fluxtrail.model.workloads import Pod, Workload
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.subjects import find_kind
from fluxtrail.runtime.telemetry import Job
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.releases.handing import Hander
from fluxtrail.trail.rollouts.keeper import RolloutKeeper
from fluxtrail.trail.workloads.view import WorkloadView
from fluxtrail.web.measures import Measure, counter


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
        keeper = RolloutKeeper(
            view.cluster,
            view=view,
            ledger=self._ledger,
            registry=self._registry,
            rereader=_Rereader(ObjectReader(connection)),
            clock=self._clock,
            on_handover=self._hander.wake,
        )
        self._keepers[view.cluster] = keeper
        return keeper

    def note_syncs(self) -> None:
        """Syncs began, went on, or were attributed."""
        for keeper in self._keepers.values():
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
