"""A simulated Flux on one simulated cluster: its source, its Kustomizations, and what people do to them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec

from fluxtrail.simulator.apiserver.resources import ARGO_ROLLOUTS, FLUX_RESOURCES, ResourceDefinition
from fluxtrail.simulator.apiserver.server import ApiServer
from fluxtrail.simulator.checkout import Checkout
from fluxtrail.simulator.clock import SimulatedClock, precise_time
from fluxtrail.simulator.controller_metrics import PROGRAMS, ControllerMetrics
from fluxtrail.simulator.helm.controller import HelmController
from fluxtrail.simulator.helm.sources import HelmSources
from fluxtrail.simulator.kustomize_controller import RESOURCE as KUSTOMIZATIONS
from fluxtrail.simulator.kustomize_controller import KustomizeController, Pace
from fluxtrail.simulator.layout import NAMESPACE, SOURCE, ClusterPlan, KustomizationPlan
from fluxtrail.simulator.repositories import Repository
from fluxtrail.simulator.revisions import RevisionStyle
from fluxtrail.simulator.source_controller import REQUESTED_AT, Network, SourceController
from fluxtrail.simulator.source_controller import RESOURCE as GIT_REPOSITORIES
from fluxtrail.simulator.truth import TargetTruth, Truth
from fluxtrail.simulator.workloads.applying import Applier
from fluxtrail.simulator.workloads.controller import WorkloadController
from fluxtrail.simulator.workloads.images import Registry
from fluxtrail.simulator.workloads.objects import RESOURCES, ROLLOUTS
from fluxtrail.simulator.workloads.tenants import install as install_tenants
from fluxtrail.simulator.workloads.tenants import install_nodes

SOURCE_INTERVAL_SECONDS = 15.0
_SOURCE, _KUSTOMIZE, _HELM = PROGRAMS
_RUNTIME_PREFIXES = {"prod-us": "docker-pullable://"}
"""How the nodes of a cluster begin image ids; the others, with containerd, do not."""
_LEGACY_VERSIONS = {
    "gitrepositories": ("v1beta2",),
    "kustomizations": ("v1beta2",),
}


class FluxCluster:
    """One cluster with its API server and its Flux.

    Args:
        plan: its name and its Kustomizations.
        manifests: the repository it is delivered from.
        style: how old its Flux is.
        registry: the images that run here.
        has_tenants: whether things run here that Flux did not deliver.
    """

    def __init__(
        self,
        plan: ClusterPlan,
        *,
        manifests: Repository,
        checkout: Checkout,
        clock: SimulatedClock,
        truth: Truth,
        seed: int,
        pace: Pace,
        style: RevisionStyle = RevisionStyle.PRESENT,
        registry: Registry,
        has_tenants: bool = False,
    ) -> None:
        dice = random.Random(seed)  # noqa: S311 - delays of a simulation
        self.name = plan.name
        self.network = Network()
        self._clock = clock
        resources = [*_resources(style), *((ARGO_ROLLOUTS,) if has_tenants else ())]
        self.server = ApiServer(name=plan.name, clock=clock.now, seed=seed, resources=resources)
        self.has_tenants = has_tenants
        self.workloads = self._run_workloads(registry, truth=truth, seed=seed)
        self.metrics = {program: ControllerMetrics(program, clock) for program in PROGRAMS}
        self._stores = {program: metrics.counted(self.server.store) for program, metrics in self.metrics.items()}
        self._applier = Applier(
            self._stores[_KUSTOMIZE], clock=clock, manager="kustomize-controller", toolkit="kustomize"
        )
        self._pace = pace
        self._manifests = manifests
        self._create_source()
        self.source = SourceController(
            cluster=plan.name,
            name=SOURCE,
            namespace=NAMESPACE,
            store=self._stores[_SOURCE],
            checkout=checkout,
            network=self.network,
            clock=clock,
            truth=truth,
            style=style,
            dice=random.Random(dice.random()),  # noqa: S311
            metrics=self.metrics[_SOURCE],
            on_artifact=self._poke_all,
        )
        sources = HelmSources(
            self._stores[_SOURCE],
            clock=clock,
            git=self.source,
            registry=registry.hosted,
            metrics=self.metrics[_SOURCE],
            asking=self._stores[_HELM],
        )
        self.helm = HelmController(
            plan.name,
            store=self._stores[_HELM],
            clock=clock,
            sources=sources,
            metrics=self.metrics[_HELM],
            truth=truth,
            rolled_at=self.workloads.running.rolled_at,
            dice=random.Random(f"{seed} helm"),  # noqa: S311
            keeps_inventory=style.keeps_history,
        )
        self.controllers: dict[str, KustomizeController] = {}
        for item in plan.kustomizations:
            self._add(item, truth=truth, style=style, dice=random.Random(dice.random()))  # noqa: S311

    async def run(self) -> None:
        """Run the controllers until cancelled. The API server is started and stopped by the world."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.source.run(interval_seconds=SOURCE_INTERVAL_SECONDS), name=f"{self.name} source")
            for controller in self.controllers.values():
                group.create_task(controller.run(), name=f"{self.name} {controller.name}")
            for resource in (GIT_REPOSITORIES, KUSTOMIZATIONS):
                group.create_task(self._watch(resource), name=f"{self.name} watch {resource}")
            group.create_task(self.helm.run(), name=f"{self.name} helm")
            group.create_task(self.workloads.run(), name=f"{self.name} workloads")

    def request_fetch(self) -> None:
        """What a Receiver does when the forge's webhook comes."""
        annotations = {REQUESTED_AT: precise_time(self._clock.now())}
        patch = {"metadata": {"annotations": annotations}}
        self.server.store.patch(GIT_REPOSITORIES, SOURCE, NAMESPACE, patch)

    def suspend(self, name: str, *, is_suspended: bool = True) -> None:
        self.server.store.patch(KUSTOMIZATIONS, name, NAMESPACE, {"spec": {"suspend": is_suspended}})

    def is_settled(self) -> bool:
        """Whether all of it has dealt with the branch as it is now."""
        artifact = self.source.artifact
        if artifact is None or artifact.sha != self._manifests.head or self.source.is_busy:
            return False
        return all(controller.is_settled() for controller in self.controllers.values()) and self.helm.is_settled()

    def is_quiet(self) -> bool:
        """Whether no pod comes or goes, and none is on its way to something else."""
        return self.workloads.is_settled()

    def _run_workloads(self, registry: Registry, *, truth: Truth, seed: int) -> WorkloadController:
        workloads = WorkloadController(
            self.name,
            store=self.server.store,
            clock=self._clock,
            truth=truth,
            registry=registry,
            dice=random.Random(f"{seed} workloads"),  # noqa: S311 - delays of a simulation
            prefix=_RUNTIME_PREFIXES.get(self.name, ""),
            resources=[r for r in RESOURCES if r != ROLLOUTS or self.has_tenants],
        )
        install_nodes(self.server.store)
        if self.has_tenants:
            install_tenants(self.server.store)
        return workloads

    def _create_source(self) -> None:
        spec = {
            "interval": f"{SOURCE_INTERVAL_SECONDS:g}s",
            "ref": {"branch": self._manifests.branch},
            "url": self._manifests.url,
        }
        self.server.store.create(GIT_REPOSITORIES, {"metadata": {"name": SOURCE, "namespace": NAMESPACE}, "spec": spec})

    def _add(self, item: KustomizationPlan, *, truth: Truth, style: RevisionStyle, dice: random.Random) -> None:
        manifest = item.manifest(
            timeout_seconds=self._pace.timeout_seconds, interval_seconds=self._pace.interval_seconds
        )
        self.server.store.create(KUSTOMIZATIONS, manifest)
        target = TargetTruth(
            cluster=self.name,
            name=f"Kustomization/{NAMESPACE}/{item.name}",
            source=SOURCE,
            path=item.path,
            has_checks=item.wait,
            keeps_history=style.keeps_history,
            rolled_at=None if item.kube_config else self.workloads.running.rolled_at,
        )
        truth.targets.append(target)
        self.controllers[item.name] = KustomizeController(
            name=item.name,
            namespace=NAMESPACE,
            store=self._stores[_KUSTOMIZE],
            source=self.source,
            clock=self._clock,
            truth=truth,
            truth_of_target=target,
            commits=self._manifests.commits,
            style=style,
            pace=self._pace,
            dice=dice,
            on_ready=lambda: self._poke_dependents(item.name),
            metrics=self.metrics[_KUSTOMIZE],
            applier=None if item.kube_config else self._applier,
        )

    def _poke_all(self) -> None:
        for controller in self.controllers.values():
            controller.duty.poke()
        self.helm.poke_all()

    def _poke_dependents(self, name: str) -> None:
        for other, controller in self.controllers.items():
            spec = self.server.store.get(KUSTOMIZATIONS, other, NAMESPACE)["spec"]
            if any(item["name"] == name for item in spec.get("dependsOn") or ()):
                controller.duty.poke()

    async def _watch(self, resource: str) -> None:
        """Controllers act at once on a new generation or a request to reconcile, whoever wrote it."""
        seen = {obj["metadata"]["name"]: _wish(obj) for obj in self.server.store.list(resource, NAMESPACE)}
        async for event in self.server.store.subscribe(resource, NAMESPACE):
            wanted = _wish(event.object)
            is_new = seen.get(event.name) != wanted
            seen[event.name] = wanted
            if is_new and resource == GIT_REPOSITORIES:
                self.source.duty.poke()
            elif is_new and event.name in self.controllers:
                self.controllers[event.name].duty.poke()


def _wish(obj: dict[str, Any]) -> tuple[Any, Any]:
    """Return what of an object a controller acts on."""
    metadata = obj.get("metadata") or {}
    return metadata.get("generation"), (metadata.get("annotations") or {}).get(REQUESTED_AT)


def _resources(style: RevisionStyle) -> list[ResourceDefinition]:
    if style is RevisionStyle.PRESENT:
        return list(FLUX_RESOURCES)
    return [
        msgspec.structs.replace(definition, versions=_LEGACY_VERSIONS.get(definition.plural, definition.versions))
        for definition in FLUX_RESOURCES
    ]
