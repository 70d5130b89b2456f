"""Metrics of Flux's objects: a watch of each kind beside the follower's, and the series that come of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import structlog

from fluxtrail.clusters.connection import Connection
from fluxtrail.reports.resource_metrics.blocks import Block
from fluxtrail.reports.resource_metrics.configuration import Resource, SampledMetric
from fluxtrail.reports.resource_metrics.flux import Extra, flux_resources
from fluxtrail.reports.resource_metrics.rendering import CLUSTER_LABEL, Renderer
from fluxtrail.reports.resource_metrics.sampling import Refusal
from fluxtrail.reports.resource_metrics.selection import Rules, Shard
from fluxtrail.reports.resource_metrics.series import KindSeries, ResourceSeries
from fluxtrail.runtime.kind_streams import KindStream
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.stream_state import StreamState
from fluxtrail.runtime.user_configuration import find_configuration
from fluxtrail.runtime.user_kinds import UserKinds
from fluxtrail.trail.ports import Clock
from fluxtrail.web.measures import Kind, Measure

log = structlog.get_logger(__name__)


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
        self._refusals = _Refusals()
        self._clusters: list[ResourceStreams] = []
        self._configuration = find_configuration(chosen)
        self._resources = (
            flux_resources(
                labels=chosen.labels,
                extras={Extra(name) for name in chosen.extra_labels},
                prefix=chosen.prefix,
                without=chosen.without_labels,
            )
            if self._configuration is None
            else ()
        )

    def streams(self, cluster: str) -> ResourceStreams:
        """Return what watches the cluster so named."""
        open_stream = partial(self._open_stream, cluster)
        user = None
        if self._configuration is not None:
            user = UserKinds(self._configuration, open_stream, cluster=cluster, clock=self._clock)
        fixed = [open_stream(resource.kind, resource) for resource in self._resources]
        streams = ResourceStreams(cluster, fixed=fixed, user=user)
        self._clusters.append(streams)
        return streams

    def _open_stream(self, cluster: str, name: str, resource: Resource) -> KindStream:
        renderer = Renderer(
            resource,
            # One cluster's series have exactly the labels that kube-state-metrics' have.
            fixed={CLUSTER_LABEL: cluster} if self._has_several else {},
            rules=self._rules,
            shard=self._shard,
            on_refusal=partial(self._refusals.note, cluster, resource),
        )
        return KindStream(
            name,
            cluster=cluster,
            renderer=renderer,
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
        overlapping: Counter[tuple[str, str]] = Counter()
        for streams in self._clusters:
            for stream in streams.open:
                overlapping[streams.name, stream.resource.kind] += stream.overlapping
        yield _gauge(
            "fluxtrail_resource_series_overlapping",
            "Series that have the labels of another object's, so that Prometheus drops them.",
            {labels: count for labels, count in overlapping.items() if count},
        )
        yield self._refusals.measure()


class ResourceStreams:
    """One cluster's. `follow` it for as long as its connection is good."""

    def __init__(self, name: str, *, fixed: Sequence[KindStream], user: UserKinds | None) -> None:
        """Args:
        name: of the cluster, for people.
        fixed: the kinds that are known beforehand.
        user: those that a user's configuration means.
        """
        self.name = name
        self._fixed = fixed
        self._user = user

    @property
    def open(self) -> Sequence[KindStream]:
        """The kinds that are watched now."""
        return [*self._fixed, *(self._user.streams if self._user is not None else ())]

    @property
    def states(self) -> Mapping[str, StreamState]:
        """How each kind's stream stands, by its name."""
        known = {stream.state.kind: stream.state for stream in self._fixed}
        return {**known, **self._user.states} if self._user is not None else known

    async def follow(self, connection: Connection) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for stream in self._fixed:
                group.create_task(stream.watch(connection), name=f"{self.name}/{stream.state.kind}")
            if self._user is not None:
                group.create_task(self._user.follow(connection), name=f"{self.name}/resources")


class _Refusals:
    """What gave no series, counted; each cause is said once for each metric of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._said: set[tuple[str, str, str, Refusal]] = set()

    def note(self, cluster: str, resource: Resource, metric: SampledMetric, refusal: Refusal, name: str) -> None:
        self._counts[cluster, resource.kind, refusal.value] += 1
        cause = (cluster, f"{resource.kind}.{resource.versions}.{resource.group}", metric.family.name, refusal)
        if cause in self._said:
            return
        self._said.add(cause)
        is_quiet = metric.is_quiet or refusal is Refusal.MISSING
        (log.debug if is_quiet else log.warning)(
            "an object gives no series",
            cluster=cluster,
            kind=resource.kind,
            object=name,
            metric=metric.family.name,
            reason=refusal.value,
        )

    def measure(self) -> Measure:
        return Measure(
            name="fluxtrail_resource_refusals",
            help="What a metric of the user's configuration found in an object and could make no series of.",
            kind=Kind.COUNTER,
            labels=("cluster", "kind", "reason"),
            values=[(labels, float(count)) for labels, count in self._counts.items()],
        )


def _one(namespace: str | None) -> tuple[str, ...]:
    return (namespace,) if namespace else ()


def _by_kind(name: str, text: str, counts: Iterable[tuple[KindSeries, int]]) -> Measure:
    """Kinds of one name in several groups or versions count together."""
    totals: Counter[tuple[str, str]] = Counter()
    for kind, count in counts:
        totals[kind.cluster, kind.resource.kind] += count
    return _gauge(name, text, totals)


def _gauge(name: str, text: str, values: Mapping[tuple[str, str], int]) -> Measure:
    return Measure(
        name=name,
        help=text,
        kind=Kind.GAUGE,
        labels=("cluster", "kind"),
        values=[(labels, float(count)) for labels, count in values.items()],
    )
