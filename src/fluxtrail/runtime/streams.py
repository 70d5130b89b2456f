"""One cluster from connecting to following: its identity, then a watcher for each kind, for as long as we run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from fluxtrail.clusters.connection import Connection, open_connection
from fluxtrail.clusters.discovery import find_resource
from fluxtrail.clusters.incluster import own_namespace
from fluxtrail.clusters.lookup import ObjectLookup
from fluxtrail.clusters.subjects import Problem
from fluxtrail.clusters.watcher import Watcher, log_problem
from fluxtrail.model.distribution import Distribution
from fluxtrail.model.errors import AuthError, ConfigError, NotFoundError, UpstreamError, WireError
from fluxtrail.model.flux import KUSTOMIZE_GROUP, KUSTOMIZE_VERSIONS
from fluxtrail.model.notices import FluxNotice
from fluxtrail.model.observation import ClusterUid, Gone, Observation, Seen, Unavailable
from fluxtrail.runtime.hinted import HintedLooks
from fluxtrail.runtime.stream_state import StreamState
from fluxtrail.runtime.subjects import KINDS, RELEASE_KIND, TARGET_KIND, Kind
from fluxtrail.runtime.workload_streams import WorkloadStreams
from fluxtrail.trail.census import Census
from fluxtrail.trail.follower import Follower
from fluxtrail.trail.ports import Clock, Ledger
from fluxtrail.trail.registry import Registry

if TYPE_CHECKING:  # it takes memory of those who have no such metrics
    from fluxtrail.runtime.resources import ResourceStreams

log = structlog.get_logger(__name__)

RETRY_SECONDS = (1.0, 15.0)
"""The first wait before a cluster that did not answer is asked again, and the longest."""
TRACKED_NAMES = ("kube-manifests-oci-{namespace}", "kube-manifests-{namespace}")
"""The one Kustomization that flux-commit-tracker watched in its namespace, newer name first."""


class ClusterNarrowing(msgspec.Struct, frozen=True, kw_only=True):
    """What of a cluster is watched."""

    namespaces: tuple[str, ...] = ()
    runtime_namespace: str | None = None
    """flux-commit-tracker's setting: that namespace only, and its own Kustomization if there is one."""


class ClusterStreams:
    """Follows one cluster. `run` never ends by itself: what fails is tried again and shown meanwhile.

    Raises:
        ConfigError: the context names no cluster that could be asked.
    """

    def __init__(
        self,
        *,
        context: str | None,
        names: Mapping[str, str],
        narrowing: ClusterNarrowing,
        environ: Mapping[str, str],
        follower: Follower,
        registry: Registry,
        ledger: Ledger,
        clock: Clock,
        workloads: Callable[[str], WorkloadStreams] | None = None,
        resources: Callable[[str], ResourceStreams] | None = None,
    ) -> None:
        """Args:
        names: what to call the cluster of a context.
        workloads: makes what watches the workloads of the cluster so named; None where nothing should.
        resources: the same, of what watches Flux's objects for their metrics.
        """
        self._context = context
        self._narrowing = narrowing
        self._environ = environ
        self._follower = follower
        self._registry = registry
        self._ledger = ledger
        self._clock = clock
        # Opened for its name only: a broken kubeconfig is said at the start, and not again and again.
        connection_name = self._open().name
        self.name = names.get(connection_name, connection_name)
        self.uid = ClusterUid("")
        self._streams = {item.kind: StreamState(kind=item.kind) for item in KINDS}
        self._workloads = workloads(self.name) if workloads is not None else None
        self._resources = resources(self.name) if resources is not None else None
        self._connection: Connection | None = None
        self._hinted = asyncio.Event()
        self._looks = HintedLooks(self.name, clock)
        self.lag = Distribution()
        """Seconds from the arrival of what was seen to its place in the ledger."""
        self.lookup = ObjectLookup(lambda: self.uid, self.name, lambda: self._connection)
        """Reads single objects when somebody asks about them."""

    @property
    def streams(self) -> dict[str, StreamState]:
        """How each kind stands, by kind."""
        beside = [part.states for part in (self._workloads, self._resources) if part is not None]
        return {kind: state for states in (self._streams, *beside) for kind, state in states.items()}

    def _open(self) -> Connection:
        return open_connection(self._context, self._environ, clock=self._clock)

    async def run(self) -> None:
        wait, longest = RETRY_SECONDS
        while True:
            try:
                async with self._open() as connection:
                    self._connection = connection
                    await self._follow(connection)
            except (UpstreamError, ConfigError, WireError) as exc:
                log.warning("cluster unreachable", cluster=self.name, error=str(exc), retry_in_seconds=wait)
                self._connection = None
                self._note_failure("unauthorized" if isinstance(exc, AuthError) else "unreachable", str(exc))
                await self._rest(max(wait, exc.retry_after_seconds or 0.0), is_asked_for=bool(exc.retry_after_seconds))
                wait = min(wait * 2, longest)

    def nudge(self, notice: FluxNotice | None = None) -> None:
        """Somebody says that something has changed: a cluster that is away is tried now, and not later; of one that is
        there it is seen whether the watch over the object is alive.
        """
        self._hinted.set()
        if notice is not None:
            self._looks.hint(notice)

    async def _rest(self, seconds: float, *, is_asked_for: bool) -> None:
        """Wait; a hint ends it sooner, unless it is the server that asked to be left alone."""
        if is_asked_for:
            await self._clock.sleep(seconds)
            return
        self._hinted.clear()
        async with asyncio.TaskGroup() as group:
            waits = {group.create_task(self._clock.sleep(seconds)), group.create_task(self._hinted.wait())}
            _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in pending:
                wait.cancel()

    def _note_failure(self, reason: str, message: str) -> None:
        for stream in self.streams.values():
            stream.state, stream.message = reason, message

    async def _follow(self, connection: Connection) -> None:
        identity = await connection.identity()
        self.uid = identity.uid
        if identity.is_derived:
            log.warning(
                "cluster uid derived",
                cluster=self.name,
                remedy="allow to get the namespace kube-system: its uid is the lasting identity",
            )
        async with self._ledger.unit() as unit:
            await unit.put_cluster(self.uid, self.name, self._clock.now())
        namespaces, name = await self._narrow(connection)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._looks.run(), name=f"{self.name}/hinted")
            if self._workloads is not None:
                group.create_task(self._workloads.follow(connection, self.uid), name=f"{self.name}/workloads")
            if self._resources is not None:
                group.create_task(self._resources.follow(connection), name=f"{self.name}/resources")
            for item in KINDS:
                if item.kind == RELEASE_KIND and name:
                    self._streams.pop(item.kind, None)
                    continue  # in flux-commit-tracker's place one Kustomization is all that is followed
                narrowed: tuple[tuple[str, ...], str] = ((), "")
                if item.kind in (TARGET_KIND, RELEASE_KIND):
                    narrowed = (namespaces, name)
                group.create_task(self._watch(connection, item, *narrowed), name=f"{self.name}/{item.kind}")

    async def _watch(self, connection: Connection, item: Kind, namespaces: tuple[str, ...], name: str) -> None:
        """Watch a kind; where the whole cluster is forbidden, the namespaces that were meant, or the own one."""
        while True:
            chosen = item.subject(namespaces, name=name)
            stream = self._streams[chosen.kind]
            census = Census(self._registry, self.uid, chosen.kind, namespaces=namespaces, name=name)
            watcher: Watcher[Any] = Watcher(
                connection, chosen, clock=self._clock, on_problem=partial(_note_problem, census)
            )
            stream.stats = watcher.stats
            self._looks.watches(chosen.kind, watcher)
            try:
                await watcher.run(self._emitter(stream, census, fall_back=not namespaces))
            except _ForbiddenError:
                namespaces = self._fall_back(connection, chosen.kind)

    def _fall_back(self, connection: Connection, kind: str) -> tuple[str, ...]:
        """Return the namespaces to watch where the whole cluster is forbidden, and say so."""
        stated = self._narrowing.namespaces
        if stated:
            log.warning(
                "cluster-wide watch forbidden, watching the stated namespaces",
                cluster=self.name,
                kind=kind,
                namespaces=list(stated),
            )
            return stated
        own = self._narrowing.runtime_namespace or own_namespace() or connection.namespace or "default"
        log.warning(
            "cluster-wide watch forbidden, watching the own namespace", cluster=self.name, kind=kind, namespace=own
        )
        return (own,)

    def _emitter(self, stream: StreamState, census: Census, *, fall_back: bool) -> Any:
        async def emit(batch: Sequence[Observation[Any]]) -> None:
            if fall_back and any(isinstance(item, Unavailable) and item.reason == "forbidden" for item in batch):
                raise _ForbiddenError
            await self._follower.observe(self.uid, census.complete(batch))
            stream.note(batch)
            now = self._clock.now()
            for item in batch:
                if isinstance(item, Seen | Gone):
                    self.lag.add((now - item.observed_at).total_seconds())

        return emit

    async def _narrow(self, connection: Connection) -> tuple[tuple[str, ...], str]:
        """Return the namespaces and the name that Kustomizations are narrowed to; empty ones where they are not."""
        namespace = self._narrowing.runtime_namespace
        if self._narrowing.namespaces or namespace is None:
            return self._narrowing.namespaces, ""
        found = await self._find_tracked(connection, namespace)
        if found is not None:
            log.info("watching one kustomization, as flux-commit-tracker did", namespace=namespace, name=found)
        return (namespace,), found or ""

    async def _find_tracked(self, connection: Connection, namespace: str) -> str | None:
        served = await find_resource(connection, KUSTOMIZE_GROUP, "Kustomization", KUSTOMIZE_VERSIONS)
        if served is None:
            return None
        for pattern in TRACKED_NAMES:
            name = pattern.format(namespace=namespace)
            try:
                await connection.get(f"{served.path(namespace)}/{name}", _Named)
            except (NotFoundError, AuthError):
                continue
            return name
        return None


class _ForbiddenError(Exception):
    """Ends a cluster-wide watch that is not allowed."""


class _Named(msgspec.Struct):
    kind: str | None = None


def _note_problem(census: Census, problem: Problem) -> None:
    census.note_unreadable(problem.key)
    log_problem(problem)


def kube_environ(environ: Mapping[str, str], kubeconfig: str | None) -> dict[str, str]:
    """Return the environment with the setting's kubeconfig in place of KUBECONFIG."""
    return {**environ, **({"KUBECONFIG": str(Path(kubeconfig).expanduser())} if kubeconfig else {})}
