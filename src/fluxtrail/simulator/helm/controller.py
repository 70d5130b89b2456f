"""A simulated helm-controller on one cluster: a worker for every HelmRelease that somebody puts there."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.controller_metrics import ControllerMetrics
from fluxtrail.simulator.helm.release import ReleaseController
from fluxtrail.simulator.helm.release_object import RESOURCE
from fluxtrail.simulator.helm.sources import HELM_REPOSITORIES, OCI_REPOSITORIES, HelmSources
from fluxtrail.simulator.helm.truth import ReleaseTruth
from fluxtrail.simulator.source_controller import REQUESTED_AT
from fluxtrail.simulator.truth import RolledAt, Truth
from fluxtrail.simulator.workloads.applying import Applier

_WATCHED = (HELM_REPOSITORIES, OCI_REPOSITORIES, RESOURCE)
_PARENT = "kustomize.toolkit.fluxcd.io/name"

Object = dict[str, Any]


class HelmController:
    """Watches HelmReleases and what their charts come from.

    Args:
        sources: what source-controller does for it.
        metrics: what it tells of itself.
        rolled_at: when workloads of this cluster ran.
        keeps_inventory: whether this Flux is new enough to write `status.inventory`.
    """

    def __init__(
        self,
        cluster: str,
        *,
        store: Store,
        clock: SimulatedClock,
        sources: HelmSources,
        metrics: ControllerMetrics,
        truth: Truth,
        rolled_at: RolledAt,
        dice: random.Random,
        keeps_inventory: bool = True,
    ) -> None:
        self.releases: dict[tuple[str, str], ReleaseController] = {}
        self._cluster = cluster
        self._store = store
        self._clock = clock
        self._truth = truth
        self._rolled_at = rolled_at
        self._dice = dice
        self._keeps_inventory = keeps_inventory
        self._sources = sources
        self._metrics = metrics
        self._applier = Applier(store, clock=clock, manager="helm-controller", toolkit="helm")
        self.outages: dict[tuple[str, str], str] = {}
        """(namespace, name) of releases whose actions fail for a reason of the cluster's, and that reason."""
        self._wishes: dict[tuple[str, str, str], tuple[Any, Any]] = {}
        self._changes = {resource: store.subscribe(resource) for resource in _WATCHED}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for resource in _WATCHED:
                group.create_task(self._watch(resource, group), name=f"{self._cluster} watch {resource}")

    def poke_all(self) -> None:
        for release in self.releases.values():
            release.duty.poke()

    def is_settled(self) -> bool:
        is_idle = all(release.is_settled() for release in self.releases.values())
        return is_idle and not any(changes.has_news() for changes in self._changes.values())

    async def _watch(self, resource: str, group: asyncio.TaskGroup) -> None:
        for obj in self._store.list(resource):
            self._see(resource, obj, group)
        async for event in self._changes[resource]:
            if event.type in ("ADDED", "MODIFIED"):
                self._see(resource, event.object, group)
            elif event.type == "DELETED" and (event.namespace, event.name) in self.releases:
                self.releases[event.namespace, event.name].duty.poke()

    def _see(self, resource: str, obj: Object, group: asyncio.TaskGroup) -> None:
        """Act on a new generation or a request to reconcile; what we wrote ourselves is neither."""
        metadata = obj["metadata"]
        key = (resource, metadata["namespace"], metadata["name"])
        wish = (metadata["generation"], (metadata.get("annotations") or {}).get(REQUESTED_AT))
        if self._wishes.get(key) == wish:
            return
        self._wishes[key] = wish
        if resource != RESOURCE:
            self._sources.refresh(resource, obj)
            self.poke_all()
        elif key[1:] in self.releases:
            self.releases[key[1:]].duty.poke()
        else:
            controller = self.releases[key[1:]] = self._begin(obj)
            group.create_task(controller.run(), name=f"{self._cluster} release {metadata['name']}")

    def _begin(self, obj: Object) -> ReleaseController:
        metadata, chart = obj["metadata"], (obj["spec"].get("chart") or {}).get("spec") or {}
        is_in_git = (chart.get("sourceRef") or {}).get("kind") == "GitRepository"
        target = ReleaseTruth(
            cluster=self._cluster,
            namespace=metadata["namespace"],
            release=metadata["name"],
            parent=(metadata.get("labels") or {}).get(_PARENT, ""),
            chart_path=chart["chart"] if is_in_git else None,
            truth=self._truth,
            rolled_at=self._rolled_at,
        )
        self._truth.releases.append(target)
        return ReleaseController(
            metadata["name"],
            metadata["namespace"],
            store=self._store,
            clock=self._clock,
            sources=self._sources,
            applier=self._applier,
            truth=target,
            metrics=self._metrics,
            dice=random.Random(self._dice.random()),  # noqa: S311 - delays of a simulation
            keeps_inventory=self._keeps_inventory,
            find_outage=lambda: self.outages.get((metadata["namespace"], metadata["name"]), ""),
            on_ready=self.poke_all if self._has_dependents(metadata["name"]) else lambda: None,
        )

    def _has_dependents(self, name: str) -> bool:
        others = self._store.list(RESOURCE)
        return any(item["name"] == name for obj in others for item in obj["spec"].get("dependsOn") or ())
