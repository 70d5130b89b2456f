"""One kind of a cluster, watched for its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.incluster import own_namespace
from fluxtrail.clusters.subjects import Subject
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.observation import Listed, Observation, Unavailable
from fluxtrail.reports.resource_metrics.configuration import Resource
from fluxtrail.reports.resource_metrics.overlap import Overlap
from fluxtrail.reports.resource_metrics.rendering import Lines, Renderer
from fluxtrail.reports.resource_metrics.series import KindSeries, ResourceSeries
from fluxtrail.runtime.stream_state import StreamState
from fluxtrail.trail.ports import Clock

log = structlog.get_logger(__name__)

STREAM_PREFIX = "resources/"
"""Of these streams' names in status, readiness and `fluxtrail_watch_*`: the follower watches the same kinds."""


class KindStream:
    """Its series are there from the beginning to `drop`.

    Attributes:
        state: how its stream stands.
    """

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        renderer: Renderer,
        series: ResourceSeries,
        namespaces: tuple[str, ...],
        fallback: tuple[str, ...],
        clock: Clock,
    ) -> None:
        """Args:
        name: of the stream; several kinds of one cluster may have one name.
        cluster: its name, for people.
        namespaces: only these; all where empty.
        fallback: instead of the whole cluster, where that may not be read; the own namespace where empty.
        """
        self.state = StreamState(kind=STREAM_PREFIX + name)
        self._cluster = cluster
        self._renderer = renderer
        self._all = series
        self._namespaces = namespaces
        self._fallback = fallback
        self._clock = clock
        self._overlap = Overlap(renderer.resource)
        self._has_overlapped = False
        self._is_open = True
        self._series = KindSeries(renderer.resource, cluster=cluster, budget=series.budget, now=clock.now)
        series.add(self._series)

    @property
    def overlapping(self) -> int:
        """Series that have the labels of another object's."""
        return self._overlap.count

    @property
    def resource(self) -> Resource:
        return self._renderer.resource

    def drop(self) -> None:
        """Take its series away, for good."""
        self._is_open = False
        kind = self.resource
        self._series.begin()
        self._all.observe(self._series, [Listed(group=kind.group, kind=kind.kind, observed_at=self._clock.now())])
        self._all.kinds.remove(self._series)

    async def watch(self, connection: Connection) -> None:
        """Watch until cancelled; where the whole cluster is forbidden, the namespaces that were meant, or the own."""
        namespaces = self._namespaces
        while True:
            watcher: Watcher[Lines] = Watcher(connection, self._subject(namespaces), clock=self._clock)
            self.state.stats = watcher.stats
            self._series.begin()
            self._overlap.begin()
            try:
                await watcher.run(self._emitter(may_fall_back=not namespaces))
            except _ForbiddenError:
                namespaces = self._fallback or (own_namespace() or connection.namespace or "default",)
                log.warning(
                    "cluster-wide watch forbidden, metrics of some namespaces",
                    cluster=self._cluster,
                    kind=self.resource.kind,
                    namespaces=list(namespaces),
                )

    def _subject(self, namespaces: tuple[str, ...]) -> Subject[Lines]:
        kind = self.resource
        return Subject(
            group=kind.group,
            kind=kind.kind,
            versions=kind.versions,
            wire=self._renderer.wire,
            project=self._renderer.project,
            namespaces=namespaces,
        )

    def _emitter(self, *, may_fall_back: bool) -> Any:
        async def emit(batch: Sequence[Observation[Lines]]) -> None:
            if may_fall_back and any(isinstance(item, Unavailable) and item.reason == "forbidden" for item in batch):
                raise _ForbiddenError
            if not self._is_open:
                return  # its end is on the way
            self._all.observe(self._series, batch)
            self._overlap.observe(batch)
            self.state.note(batch)
            if self._overlap.count and not self._has_overlapped:
                self._has_overlapped = True
                log.warning(
                    "series of several objects have the same labels",
                    cluster=self._cluster,
                    kind=self.resource.kind,
                    remedy="add the names of object and namespace to labelsFromPath",
                )

        return emit


class _ForbiddenError(Exception):
    """Ends a cluster-wide watch that is not allowed."""
