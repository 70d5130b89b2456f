"""What the process says of itself: status, readiness, self-metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from fluxtrail import __version__
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.following import Following
from fluxtrail.runtime.stream_state import StreamState
from fluxtrail.runtime.streams import ClusterStreams
from fluxtrail.runtime.subjects import TARGET_KIND
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.web.measures import Kind, Measure, counter, watch_measures
from fluxtrail.web.status import AttributionStatus, Check, ClusterStatus, RepositoryProblem, StatusView, StreamView


class ProcessReport:
    """Satisfies the web side's `SelfReport` and `MetricSource`. Nothing here waits."""

    def __init__(
        self,
        *,
        ledger: FoldedLedger,
        clusters: Sequence[ClusterStreams],
        registry: Registry,
        following: Following,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._clusters = clusters
        self._registry = registry
        self._following = following
        self._clock = clock
        self._started_at: datetime = clock.now()

    def status(self) -> StatusView:
        attributor = self._following.attributor
        return StatusView(
            version=__version__,
            instance=self._ledger.store.instance_id,
            started_at=self._started_at,
            uptime_seconds=(self._clock.now() - self._started_at).total_seconds(),
            clusters=[self._cluster(cluster) for cluster in self._clusters],
            attribution=AttributionStatus(pending=attributor.pending, gaps=attributor.gaps),
            repository_problems=list(self._problems()),
            checks=list(self.checks()),
        )

    def _cluster(self, cluster: ClusterStreams) -> ClusterStatus:
        return ClusterStatus(
            uid=cluster.uid,
            name=cluster.name,
            streams=[
                StreamView(kind=item.kind, state=item.state, message=item.message, current_at=item.current_at)
                for item in cluster.streams.values()
            ],
        )

    def _problems(self) -> Iterable[RepositoryProblem]:
        for branch in self._registry.branches.values():
            if branch.problem:
                repository = self._registry.repositories[branch.repository_id]
                yield RepositoryProblem(repository=repository.canonical, branch=branch.name, problem=branch.problem)

    def checks(self) -> Sequence[Check]:
        """A stream counts from its first complete list on; one that cannot be had counts where a target needs it."""
        found = [Check(name="ledger", is_ok=not self._ledger.problem, reason=self._ledger.problem)]
        for cluster in self._clusters:
            for stream in cluster.streams.values():
                is_ok = stream.has_listed or not self._is_needed(cluster, stream)
                reason = "" if is_ok else f"{stream.state}{': ' + stream.message if stream.message else ''}"
                found.append(Check(name=f"cluster/{cluster.name}/{stream.kind}", is_ok=is_ok, reason=reason))
        return found

    def _is_needed(self, cluster: ClusterStreams, stream: StreamState) -> bool:
        if stream.is_required:
            return True
        if stream.state == "not_installed":
            return False
        if stream.state != "forbidden" or stream.kind == TARGET_KIND:
            return True
        return any(
            target.source.kind == stream.kind
            for target in self._registry.targets
            if target.cluster == cluster.uid and target.deleted_at is None
        )

    def measures(self) -> Iterable[Measure]:
        yield from watch_measures(
            (cluster.name, stream.kind, stream.stats)
            for cluster in self._clusters
            for stream in cluster.streams.values()
            if stream.stats is not None
        )
        yield Measure(
            name="fluxtrail_event_lag_seconds",
            help="Time from the arrival of a change of one of Flux's objects to its place in the ledger.",
            kind=Kind.HISTOGRAM,
            labels=("cluster",),
            spreads=[((cluster.name,), cluster.lag.spread()) for cluster in self._clusters],
        )
        yield counter(
            "fluxtrail_exporter_info_problems",
            "Exporter payloads and entries that could not be used.",
            self._following.exports.problems,
        )
        yield counter(
            "fluxtrail_objects_unfollowed", "Objects that could not be judged.", self._following.follower.unfollowed
        )
