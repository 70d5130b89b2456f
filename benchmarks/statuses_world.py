"""A fleet of simulated clusters that one pair of repositories is delivered to, and what forges must say of it.

The world is the simulator's, with its Flux, its script and its truth; only there are 200 clusters of it, they hear of
a push one after the other over some minutes, and looking at the branch costs no process.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from fluxtrail.simulator import flux
from fluxtrail.simulator.compare_statuses import DEFAULT_CONTEXT, differences_of_statuses
from fluxtrail.simulator.kustomize_controller import Pace
from fluxtrail.simulator.layout import MANIFESTS_REPOSITORY, SOURCE_REPOSITORY, ClusterPlan, KustomizationPlan
from fluxtrail.simulator.processes import Listeners, write_settings
from fluxtrail.simulator.script import Action, Step, plan_script
from fluxtrail.simulator.world import World, WorldOptions

Json = dict[str, Any]

ENVIRONMENTS: tuple[Json, ...] = (
    {"name": "europe", "clusters": ["prod-eu*"]},
    {"name": "america", "clusters": ["prod-us*"]},
    {"name": "staging", "clusters": ["staging*"]},
    {"name": "edge", "clusters": ["edge*"]},
)
TOLD = (SOURCE_REPOSITORY, MANIFESTS_REPOSITORY)
DEPLOYMENT_ENVIRONMENTS = ("europe", "staging")
STATUSES, DEPLOYMENTS = "github", "github_deployments"
FETCH_SECONDS = 300.0
"""Flux looks by itself; mostly it is told of a push before."""
_WITHOUT_RELEASES = {
    Action.RELEASE: Action.SETTINGS,
    Action.CHART: Action.ASIDE,
    Action.BAD_RELEASE: Action.BURST,
    Action.IMAGE: Action.FEATURE,
}
_WITHOUT_PODS = {
    Action.BAD_HEALTH: Action.BAD_BUILD,
    Action.BAD_ROLLOUT: Action.REVERT,
    Action.LASTING_BLOCK: Action.FEATURE,
}


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """How large the fleet is, and how fast everything goes."""

    clusters: int = 200
    per_hour: float = 50.0
    hours: float = 1.0
    spread_seconds: float = 120.0
    """Simulated, from the first cluster that hears of a push to the last."""
    time_scale: float = 6.0
    seed: int = 1
    has_pods: bool = False
    """Whether what is applied makes workloads with pods: most of the simulator's work, and nothing of statuses that
    say `deployed`."""

    @property
    def changes(self) -> int:
        return max(round(self.per_hour * self.hours), 1)


class FleetWorld(World):
    """The simulator's world with many clusters. Its own process's loop serves all of it."""

    def __init__(self, directory: Path, plan: FleetPlan, script: Sequence[Step] | None = None) -> None:
        flux.SOURCE_INTERVAL_SECONDS = FETCH_SECONDS
        options = WorldOptions(
            directory=directory,
            seed=plan.seed,
            time_scale=plan.time_scale,
            hold_seconds=60.0 / plan.time_scale,
            clusters=cluster_plans(plan.clusters),
            script=script if script is not None else script_of(plan),
            pace=Pace(interval_seconds=7200.0, retry_seconds=60.0, dependency_seconds=15.0, timeout_seconds=60.0),
        )
        super().__init__(options)
        self._spread_seconds = plan.spread_seconds
        self._order = random.Random(plan.seed)
        for cluster in self.clusters.values():
            cluster.source._checkout.head = self._head  # type: ignore[method-assign]
            for controller in cluster.controllers.values():
                controller._applier = controller._applier if plan.has_pods else None

    async def _head(self, branch: str) -> str | None:
        """What `git ls-remote` says: two hundred processes for each push would be another benchmark."""
        del branch
        return self.manifests_repository.head

    async def _announce_pushes(self) -> None:
        """Clusters hear of a push in another order each time; those that have not yet, skip what is overtaken."""
        while True:
            await self._webhook.wait(None)
            self._is_announcing = True
            clusters = list(self.clusters.values())
            self._order.shuffle(clusters)
            for cluster in clusters:
                cluster.request_fetch()
                await self.clock.sleep(self._spread_seconds / len(clusters))
            self._is_announcing = False


def cluster_plans(count: int) -> tuple[ClusterPlan, ...]:
    """Return clusters of four environments in turns: three Kustomizations each, one where it is an edge."""
    kinds = ("prod-eu", "prod-us", "staging", "edge")
    return tuple(_cluster(kinds[index % len(kinds)], index // len(kinds)) for index in range(count))


def _cluster(folder: str, number: int) -> ClusterPlan:
    name = f"{folder}-{number:03d}" if number else folder
    apps = KustomizationPlan("apps", f"{folder}/apps")
    if folder == "edge":
        return ClusterPlan(name, (apps,))
    backend = KustomizationPlan("backend", f"{folder}/backend", wait=True)
    return ClusterPlan(name, (apps, backend, KustomizationPlan("infra", f"{folder}/infra", depends_on=("backend",))))


def script_of(plan: FleetPlan) -> list[Step]:
    """Return the simulator's script for so many commits: ordinary ones, and an episode of each kind among them.

    Episodes wait until their commits are everywhere: the pauses between the others are shorter for it.
    """
    steps = plan_script(plan.seed, changes=plan.changes, rate=2.0 * plan.per_hour / 3600)
    others = _WITHOUT_RELEASES if plan.has_pods else _WITHOUT_RELEASES | _WITHOUT_PODS
    return [replace(step, action=others.get(step.action, step.action)) for step in steps]


def write_fleet_settings(path: Path, world: Json, *, listeners: Listeners, routes: Sequence[Json], **more: Any) -> None:
    """Write the settings of a `run` that watches the world and tells its forges by these routes."""
    write_settings(path, world, listeners=listeners, settle_seconds=60.0, poll_seconds=2.0, has_routes=True)
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings |= {"environments": list(ENVIRONMENTS), "routes": list(routes), **more}
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def routes_of(forge: str, *, has_deployments: bool = True, has_webhook: bool = True) -> list[Json]:
    """Return statuses on every commit, deployments of source commits to two environments, and a webhook."""
    told = [f"*/{name}" for name in TOLD]
    routes: list[Json] = [{"name": "checks", "to": "github_status", "repositories": told}]
    if has_deployments:
        routes.append(
            {
                "name": "deployments",
                "to": "github_deployment",
                "repositories": told,
                "commits": "source",
                "environments": list(DEPLOYMENT_ENVIRONMENTS),
                "production": ["europe"],
            }
        )
    if has_webhook:
        routes.append({"name": "hook", "to": "webhook", "repositories": told, "address": f"{forge}/webhooks/fleet"})
    return routes


def wrong_statuses(
    truth: Sequence[Json],
    statuses: Sequence[Json],
    *,
    environments: Sequence[Json] = ENVIRONMENTS,
    told: Sequence[str] = TOLD,
    deployed_to: Sequence[str] = DEPLOYMENT_ENVIRONMENTS,
) -> list[str]:
    """Return where statuses and deployments are not what is true.

    Args:
        truth: `commits` of the simulator's truth.
        statuses: of the forges' record.
        deployed_to: environments whose deployments are told of source commits; none: there is no such route.
    """
    wrong = differences_of_statuses(
        truth, statuses, environments, system=STATUSES, context=DEFAULT_CONTEXT, repositories=told
    )
    if deployed_to:
        patterns = [p for item in environments if item["name"] in deployed_to for p in item["clusters"]]
        some = [_within(commit, patterns) for commit in truth if not commit["is_carrier"]]
        wrong += differences_of_statuses(
            some, statuses, environments, system=DEPLOYMENTS, context="{environment}", repositories=told
        )
    return wrong


def _within(commit: Json, patterns: Sequence[str]) -> Json:
    there = [d for d in commit["deliveries"] if any(fnmatchcase(d["cluster"], pattern) for pattern in patterns)]
    return {**commit, "deliveries": there}


def calls_by_kind(writes: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how often each call was made with each state."""
    found = Counter(f"{item['call']} {item['state']}".strip() for item in writes)
    return dict(sorted(found.items()))
