"""Metrics of Flux's objects: a watch of each kind beside the follower's, and the series that come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.incluster import own_namespace
from fluxtrail.clusters.subjects import Subject
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.observation import Observation, Unavailable
from fluxtrail.reports.resource_metrics.blocks import Block
from fluxtrail.reports.resource_metrics.configuration import Resource
from fluxtrail.reports.resource_metrics.flux import Extra, flux_resources
from fluxtrail.reports.resource_metrics.rendering import CLUSTER_LABEL, Lines, Renderer
from fluxtrail.reports.resource_metrics.selection import Rules, Shard
from fluxtrail.reports.resource_metrics.series import KindSeries, ResourceSeries
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.stream_state import StreamState
from fluxtrail.trail.ports import Clock
from fluxtrail.web.measures import Kind, Measure

log = structlog.get_logger(__name__)

STREAM_PREFIX = "resources/"
"""Of these streams' names in status, readiness and `fluxtrail_watch_*`: the follower watches the same kinds."""


class Resources:
    """The metrics of all clusters. Satisfies the web side's `ResourceLines` and `MetricSource`."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        chosen = settings.resources
        self._settings = settings
        self._clock = clock
        self._series = ResourceSeries(chosen.max_series)
        self._rules = Rules(keep=chosen.keep, drop=chosen.drop)
        self._shard = Shard(chosen.shard, chosen.total_shards)
        self._has_several = len(settings.contexts) > 1
        self._resources = flux_resources(
            labels=chosen.labels,
            extras={Extra(name) for name in chosen.extra_labels},
            prefix=chosen.prefix,
            without=chosen.without_labels,
        )

    def streams(self, cluster: str) -> ResourceStreams:
        """Return what watches the cluster so named."""
        # One cluster's series have exactly the labels that kube-state-metrics' have.
        fixed = {CLUSTER_LABEL: cluster} if self._has_several else {}
        return ResourceStreams(
            cluster,
            resources=self._resources,
            renderers={
                resource.kind: Renderer(resource, fixed=fixed, rules=self._rules, shard=self._shard)
                for resource in self._resources
            },
            series=self._series,
            namespaces=self._settings.resources.namespaces,
            fallback=self._settings.namespaces or _one(self._settings.runtime_namespace),
            clock=self._clock,
        )

    async def pieces(
        self, *, is_openmetrics: bool, resources: frozenset[str] | None, excluded: frozenset[str]
    ) -> list[bytes | Block]:
        return self._series.pieces(is_openmetrics=is_openmetrics, resources=resources, excluded=excluded)

    def measures(self) -> Iterable[Measure]:
        kinds = [kind for kind in self._series.kinds if kind.count or kind.over_budget]
        yield _by_kind("fluxtrail_resource_series", "Series of Flux's objects.", [(kind, kind.count) for kind in kinds])
        yield _by_kind(
            "fluxtrail_resource_series_over_budget",
            "Series of Flux's objects that are left out, because there would be more than the setting max_series.",
            [(kind, kind.over_budget) for kind in kinds],
        )


class ResourceStreams:
    """One cluster's. `follow` it for as long as its connection is good.

    Attributes:
        states: how each kind's stream stands, by its name.
    """

    def __init__(
        self,
        name: str,
        *,
        resources: Sequence[Resource],
        renderers: Mapping[str, Renderer],
        series: ResourceSeries,
        namespaces: tuple[str, ...],
        fallback: tuple[str, ...],
        clock: Clock,
    ) -> None:
        """Args:
        name: of the cluster, for people.
        namespaces: only these; all where empty.
        fallback: instead of the whole cluster, where that may not be read; the own namespace where empty.
        """
        self._name = name
        self._renderers = renderers
        self._series = series
        self._namespaces = namespaces
        self._fallback = fallback
        self._clock = clock
        self._kinds = [
            KindSeries(resource, cluster=name, budget=series.budget, now=clock.now) for resource in resources
        ]
        for kind in self._kinds:
            series.add(kind)
        self.states = {
            name: StreamState(kind=name) for name in (STREAM_PREFIX + resource.kind for resource in resources)
        }

    async def follow(self, connection: Connection) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in self._kinds:
                group.create_task(self._watch(connection, kind), name=f"{self._name}/resources/{kind.resource.kind}")

    async def _watch(self, connection: Connection, kind: KindSeries) -> None:
        """Watch a kind; where the whole cluster is forbidden, the namespaces that were meant, or the own one."""
        namespaces = self._namespaces
        state = self.states[STREAM_PREFIX + kind.resource.kind]
        while True:
            watcher: Watcher[Lines] = Watcher(connection, self._subject(kind, namespaces), clock=self._clock)
            state.stats = watcher.stats
            kind.begin()
            try:
                await watcher.run(self._emitter(kind, state, may_fall_back=not namespaces))
            except _ForbiddenError:
                namespaces = self._fallback or (own_namespace() or connection.namespace or "default",)
                log.warning(
                    "cluster-wide watch forbidden, metrics of some namespaces",
                    cluster=self._name,
                    kind=kind.resource.kind,
                    namespaces=list(namespaces),
                )

    def _subject(self, kind: KindSeries, namespaces: tuple[str, ...]) -> Subject[Lines]:
        renderer = self._renderers[kind.resource.kind]
        return Subject(
            group=kind.resource.group,
            kind=kind.resource.kind,
            versions=kind.resource.versions,
            wire=renderer.wire,
            project=renderer.project,
            namespaces=namespaces,
        )

    def _emitter(self, kind: KindSeries, state: StreamState, *, may_fall_back: bool) -> Any:
        async def emit(batch: Sequence[Observation[Lines]]) -> None:
            if may_fall_back and any(isinstance(item, Unavailable) and item.reason == "forbidden" for item in batch):
                raise _ForbiddenError
            self._series.observe(kind, batch)
            state.note(batch)

        return emit


class _ForbiddenError(Exception):
    """Ends a cluster-wide watch that is not allowed."""


def _one(namespace: str | None) -> tuple[str, ...]:
    return (namespace,) if namespace else ()


def _by_kind(name: str, text: str, counts: Iterable[tuple[KindSeries, int]]) -> Measure:
    return Measure(
        name=name,
        help=text,
        kind=Kind.GAUGE,
        labels=("cluster", "kind"),
        values=[((kind.cluster, kind.resource.kind), float(count)) for kind, count in counts],
    )
