"""One cluster from connecting to following: its identity, then a watcher for each kind, for as long as we run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from fluxtrail.clusters.connection import Connection, open_connection
from fluxtrail.clusters.discovery import find_resource
from fluxtrail.clusters.incluster import own_namespace
from fluxtrail.clusters.subjects import Subject, WatchStats
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.errors import AuthError, NotFoundError, UpstreamError
from fluxtrail.model.flux import (
    KUSTOMIZE_GROUP,
    KUSTOMIZE_VERSIONS,
    SOURCE_GROUP,
    SOURCE_VERSIONS,
    GitRepository,
    Kustomization,
    project_git_repository,
    project_kustomization,
)
from fluxtrail.model.observation import ClusterUid, Current, Listed, Observation, Unavailable
from fluxtrail.model.wire import WireGitRepository, WireKustomization
from fluxtrail.trail.follower import Follower
from fluxtrail.trail.ports import Clock, Ledger

log = structlog.get_logger(__name__)

RETRY_SECONDS = 15.0
KINDS = ("GitRepository", "Kustomization")
TRACKED_NAMES = ("kube-manifests-oci-{namespace}", "kube-manifests-{namespace}")
"""The one Kustomization that flux-commit-tracker watched in its namespace, newer name first."""


class StreamState(msgspec.Struct):
    """How one kind on one cluster stands now, for readiness and status."""

    kind: str
    state: str = "syncing"
    message: str = ""
    current_at: datetime | None = None
    has_listed: bool = False
    stats: WatchStats | None = None

    def note(self, batch: Sequence[Observation[Any]]) -> None:
        for observation in batch:
            match observation:
                case Listed():
                    self.state, self.message, self.has_listed = "current", "", True
                    self.current_at = observation.observed_at
                case Current():
                    self.state, self.message, self.current_at = "current", "", observation.observed_at
                case Unavailable():
                    self.state, self.message = observation.reason, observation.message
                case _:
                    self.current_at = observation.observed_at


class ClusterNarrowing(msgspec.Struct, frozen=True, kw_only=True):
    """What of a cluster is watched."""

    namespaces: tuple[str, ...] = ()
    runtime_namespace: str | None = None
    """flux-commit-tracker's setting: that namespace only, and its own Kustomization if there is one."""


class ClusterStreams:
    """Follows one cluster. `run` never ends by itself: what fails is tried again and shown meanwhile."""

    def __init__(
        self,
        *,
        context: str | None,
        name: str,
        narrowing: ClusterNarrowing,
        environ: Mapping[str, str],
        follower: Follower,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self.name = name
        self.uid = ClusterUid("")
        self.streams = {kind: StreamState(kind=kind) for kind in KINDS}
        self._context = context
        self._narrowing = narrowing
        self._environ = environ
        self._follower = follower
        self._ledger = ledger
        self._clock = clock

    async def run(self) -> None:
        while True:
            try:
                async with open_connection(self._context, self._environ, clock=self._clock) as connection:
                    await self._follow(connection)
            except UpstreamError as exc:
                log.warning("cluster unreachable", cluster=self.name, error=str(exc))
                reason = "unauthorized" if isinstance(exc, AuthError) else "unreachable"
                for stream in self.streams.values():
                    stream.state, stream.message = reason, str(exc)
                await self._clock.sleep(RETRY_SECONDS)

    async def _follow(self, connection: Connection) -> None:
        self.name = self.name or connection.name
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
        namespaces, selector = await self._narrow(connection)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(connection, _sources, ()), name=f"{self.name}/GitRepository")
            group.create_task(
                self._watch(connection, lambda chosen: _targets(chosen, selector), namespaces),
                name=f"{self.name}/Kustomization",
            )

    async def _watch(
        self, connection: Connection, subject: Callable[[tuple[str, ...]], Subject[Any]], namespaces: tuple[str, ...]
    ) -> None:
        """Watch a kind; where the whole cluster is forbidden, the own namespace."""
        while True:
            chosen = subject(namespaces)
            stream = self.streams[chosen.kind]
            watcher: Watcher[Any] = Watcher(connection, chosen, clock=self._clock)
            stream.stats = watcher.stats
            try:
                await watcher.run(self._emitter(stream, fall_back=not namespaces))
            except _ForbiddenError:
                namespaces = (self._own_namespace(connection),)
                log.warning(
                    "cluster-wide watch forbidden, watching the own namespace",
                    cluster=self.name,
                    kind=chosen.kind,
                    namespace=namespaces[0],
                )

    def _emitter(self, stream: StreamState, *, fall_back: bool) -> Any:
        async def emit(batch: Sequence[Observation[Any]]) -> None:
            if fall_back and any(isinstance(item, Unavailable) and item.reason == "forbidden" for item in batch):
                raise _ForbiddenError
            await self._follower.observe(self.uid, batch)
            stream.note(batch)

        return emit

    def _own_namespace(self, connection: Connection) -> str:
        return self._narrowing.runtime_namespace or own_namespace() or connection.namespace or "default"

    async def _narrow(self, connection: Connection) -> tuple[tuple[str, ...], str]:
        """Return (namespaces, field selector) for Kustomizations."""
        namespace = self._narrowing.runtime_namespace
        if self._narrowing.namespaces or namespace is None:
            return self._narrowing.namespaces, ""
        found = await self._find_tracked(connection, namespace)
        if found is not None:
            log.info("watching one kustomization, as flux-commit-tracker did", namespace=namespace, name=found)
        return (namespace,), f"metadata.name={found}" if found else ""

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


def _sources(namespaces: tuple[str, ...]) -> Subject[GitRepository]:
    return Subject(
        group=SOURCE_GROUP,
        kind="GitRepository",
        versions=SOURCE_VERSIONS,
        wire=WireGitRepository,
        project=project_git_repository,
        namespaces=namespaces,
    )


def _targets(namespaces: tuple[str, ...], field_selector: str) -> Subject[Kustomization]:
    return Subject(
        group=KUSTOMIZE_GROUP,
        kind="Kustomization",
        versions=KUSTOMIZE_VERSIONS,
        wire=WireKustomization,
        project=project_kustomization,
        namespaces=namespaces,
        field_selector=field_selector,
    )


def kube_environ(environ: Mapping[str, str], kubeconfig: str | None) -> dict[str, str]:
    """Return the environment with the setting's kubeconfig in place of KUBECONFIG."""
    return {**environ, **({"KUBECONFIG": str(Path(kubeconfig).expanduser())} if kubeconfig else {})}
