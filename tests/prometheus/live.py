"""A Prometheus that scrapes a running Fluxtrail and the programs of a simulated Flux, asked at three moments."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from tests.monitoring.queries import panel_queries
from tests.prometheus.objects import TEAMS, Object, held_by, install, tell
from tests.prometheus.official import CLUSTER, CONTROL_PLANE, filled
from tests.prometheus.server import Prometheus, Sample, scraping
from tests.runtime.worlds import Running, make_environ, make_settings, running, until
from tests.simulator.conftest import quick_options

from fluxtrail.simulator.clock import CLOCK_VARIABLE
from fluxtrail.simulator.control import Control
from fluxtrail.simulator.controller_metrics import ControllerMetrics
from fluxtrail.simulator.kustomize_controller import Pace
from fluxtrail.simulator.layout import NAMESPACE
from fluxtrail.simulator.script import Action, Step
from fluxtrail.simulator.world import World

CLUSTER_NAME = "staging"
NAMESPACES = [NAMESPACE, "platform", *TEAMS]
"""All there are: what `$namespace` is where everything is chosen."""
TARGETS = 5
"""Fluxtrail, three programs, and the kubelet."""
COUNTERS = (
    "controller_runtime_reconcile_total",
    "controller_runtime_reconcile_time_seconds_bucket",
    "gotk_reconcile_duration_seconds_sum",
    "gotk_reconcile_duration_seconds_count",
    "rest_client_requests_total",
)
FIGURES = ("fluxtrail_commits_inflight", "fluxtrail_attribution_pending", "fluxtrail_reports_waiting")
"""Of Fluxtrail's own."""
_SCRIPT = (
    Step(Action.SETTINGS, app="cart", folder=CLUSTER_NAME),
    Step(Action.RELEASE),
    Step(Action.LASTING_FAILURE, folder=CLUSTER_NAME),
)
_SCALE = 3.0
_PACE = Pace(interval_seconds=600, retry_seconds=600, dependency_seconds=1, timeout_seconds=60)
"""Nothing happens between what the script does: Prometheus is to be asked about a world that stands still."""
_DELETED = (("kustomizations", "good"), ("gitrepositories", "failing"), ("helmreleases", "held"), ("alerts", "held"))


class Moment(NamedTuple):
    """The world, and what Prometheus says of it."""

    objects: list[Object]
    programs: dict[str, list[Sample]]
    """What the programs had counted, by sample."""
    ours: dict[str, list[Sample]]
    """What Fluxtrail served of `FIGURES`."""
    answers: dict[str, list[Sample]]
    """By the query's name: `official all/…`, `official one/…`, `official/…`, the names of our own panels, `raw/…`."""
    increases: dict[str, list[Sample]]
    """By how much each counter grew since it was first scraped."""
    stretch: float
    """`rate` and `increase` extrapolate to the ends of their range, each by an interval and a tenth of it at most: what
    they give is at most so many times what was seen."""
    namespaces: list[str]
    """What Grafana would offer for `$namespace`."""


class Story(NamedTuple):
    before: Moment
    after: Moment
    """Of what the script did."""
    gone: Moment
    """Some objects were deleted."""
    text: str
    """`/metrics` at the end, as text."""
    openmetrics: str


def queries() -> dict[str, str]:
    """Return every query that is asked, by its name."""
    everything = {"operator_namespace": [NAMESPACE], "namespace": NAMESPACES}
    one = {"operator_namespace": [NAMESPACE], "namespace": [TEAMS[0]]}
    found = {f"official all/{name}": filled(query, **everything) for name, query in CLUSTER.items()}
    found |= {f"official one/{name}": filled(query, **one) for name, query in CLUSTER.items()}
    found |= {f"official/{name}": filled(query, namespace=[NAMESPACE]) for name, query in CONTROL_PLANE.items()}
    found |= {f"raw/{name}": name for name in (*COUNTERS, "gotk_resource_info")}
    for name, query in panel_queries():
        repeated = sum(1 for other in found if other.partition(" #")[0] == name)
        found[f"{name} #{repeated + 1}" if repeated else name] = query
    return found


async def play(folder: Path) -> Story:
    """Let the story happen."""
    options = quick_options(folder / "world", *_SCRIPT, time_scale=_SCALE, pace=_PACE)
    async with World(options) as world:
        store = world.clusters[CLUSTER_NAME].server.store
        install(store)
        await until(lambda: _is_taken_up(store), "the sources that were put there by hand")
        tell(store)
        control = Control(world)
        await control.start()
        try:
            settings = make_settings(
                folder,
                kubeconfig=str(world.kubeconfig),
                kube_contexts=(CLUSTER_NAME,),
                resources={"enabled": True},
            )
            async with running(settings, make_environ(folder, **{CLOCK_VARIABLE: world.clock.text()})) as run:
                await run.until_ready()
                async with scraping(folder, _jobs(run, control)) as prometheus:
                    return await _ask_three_times(world, run, prometheus)
        finally:
            await control.stop()


async def _ask_three_times(world: World, run: Running, prometheus: Prometheus) -> Story:
    await prometheus.until_scraped(TARGETS)
    before = await _moment(world, run, prometheus)
    world.begin()
    await world.until_finished()
    after = await _moment(world, run, prometheus)
    store = world.clusters[CLUSTER_NAME].server.store
    for plural, name in _DELETED:
        store.delete(plural, name, TEAMS[0])

    async def are_gone() -> bool:
        found = {
            (labels["customresource_kind"].lower() + "s", labels["name"])
            for labels, _ in (await run.samples())["gotk_resource_info"]
            if labels["exported_namespace"] == TEAMS[0]
        }
        return not any((plural.replace("ories", "orys"), name) in found for plural, name in _DELETED)

    await until(are_gone, "the end of series whose objects were deleted")
    gone = await _moment(world, run, prometheus)
    _, text = await run.get("metrics", "/metrics")
    return Story(before, after, gone, text, await _openmetrics(run))


async def _moment(world: World, run: Running, prometheus: Prometheus) -> Moment:
    """Ask everything between two looks at the world that are the same."""
    cluster = world.clusters[CLUSTER_NAME]
    async with asyncio.timeout(40):
        while True:
            objects, programs = copy.deepcopy(held_by(cluster.server.store)), _counted(cluster.metrics)
            ours = await _figures(run)
            at = await prometheus.until_scraped(TARGETS, after=time.time())
            moment = Moment(
                objects=objects,
                programs=programs,
                ours=ours,
                answers={name: await prometheus.vector(query, at=at) for name, query in queries().items()},
                increases={name: await prometheus.increases(name, at=at) for name in COUNTERS},
                stretch=1 + 2.2 / (await prometheus.scrapes(at=at) - 1),
                namespaces=await prometheus.ask(
                    "label/exported_namespace/values",
                    **{"match[]": "gotk_resource_info", "start": f"{at - 0.5:.3f}", "end": f"{at:.3f}"},
                ),
            )
            now = (held_by(cluster.server.store), _counted(cluster.metrics), await _figures(run))
            if (objects, programs, ours) == now:
                return moment


def _counted(programs: dict[str, ControllerMetrics]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {name: [] for name in COUNTERS}
    for metrics in programs.values():
        for family in text_string_to_metric_families(metrics.exposition().decode()):
            for sample in family.samples:
                if sample.name in found:
                    found[sample.name].append(({**sample.labels, "pod": metrics.pod}, sample.value))
    return found


async def _figures(run: Running) -> dict[str, list[Sample]]:
    samples = await run.samples()
    return {name: samples.get(name, []) for name in FIGURES}


def _is_taken_up(store: Any) -> bool:
    """A HelmRepository is dealt with as soon as it is seen; what a test says of it must come later."""
    return all(obj.get("status", {}).get("artifact") for obj in store.list("helmrepositories"))


def _jobs(run: Running, control: Control) -> Iterator[dict[str, Any]]:
    ours = run.addresses["metrics"].removeprefix("http://")
    yield {"job_name": "fluxtrail", "honor_labels": True, "static_configs": [{"targets": [ours]}]}
    discovery = {"url": f"{control.url}/controllers", "refresh_interval": "1s"}
    yield {"job_name": "flux", "http_sd_configs": [discovery]}


async def _openmetrics(run: Running) -> str:
    accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
    async with (
        aiohttp.ClientSession(headers=accept) as session,
        session.get(f"{run.addresses['metrics']}/metrics") as answer,
    ):
        return await answer.text()
