"""The way from any object in a cluster back to a commit: whoever made it, up to what Flux fetched.

    Pod → ReplicaSet → Deployment    by owner references, until something has Flux's labels
    → HelmRelease                    by label; → its chart → the chart's source
    → Kustomization                  by label; → its source → the revision → the commit

Each object is read anew when somebody asks, so that the answer is the cluster's and not our memory's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from fluxtrail.model.chained import Chained
from fluxtrail.model.errors import AuthError, UpstreamError, WireError
from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.redaction import redact
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.revision import find_revision
from fluxtrail.model.views import ChainLink, ChainView
from fluxtrail.trail.registry import Registry

MAX_LINKS = 16
"""Owners may own each other in a circle, and releases may be applied by releases."""
MAX_FOUND = 20
"""Objects of one name in several namespaces."""
SECONDS = 20.0
"""For one cluster; what does not answer by then is a problem of its chain."""

log = structlog.get_logger(__name__)


class ChainCluster(Protocol):
    """A cluster as chains ask it. Raises UpstreamError and its kin."""

    @property
    def uid(self) -> ClusterUid: ...

    @property
    def name(self) -> str: ...

    async def find_kind(self, text: str) -> tuple[str, str] | None:
        """Return (group, kind) of what people write, or None where the cluster serves no such kind."""

    async def read(self, key: ObjectKey) -> Chained | None:
        """Return the object, None where it is not there."""

    async def find(self, group: str, kind: str, name: str, *, limit: int) -> Sequence[Chained]:
        """Return the objects of this name in any namespace."""


class ChainFinder:
    """Satisfies the web side's `Chains`.

    Args:
        clusters: those that are watched now.
        registry: says what the revisions of artifacts are followed as.
    """

    def __init__(self, clusters: Callable[[], Sequence[ChainCluster]], registry: Registry) -> None:
        self._clusters = clusters
        self._registry = registry

    async def find_chains(
        self, kind: str, namespace: str, name: str, *, cluster: str | None
    ) -> Sequence[ChainView] | None:
        """Return the chain of an object on each cluster that has it; None where none knows the kind.

        Raises:
            UpstreamError: no cluster that could have it answered.
        """
        asked = [one for one in self._clusters() if cluster in (None, one.name, one.uid)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(one, kind, namespace, name), name="chain") for one in asked]
        answers = [task.result() for task in tasks]
        failures = [answer for answer in answers if isinstance(answer, UpstreamError | WireError)]
        chains = [chain for answer in answers if isinstance(answer, list) for chain in answer]
        if failures and not chains:
            raise failures[0]
        if asked and all(answer is None for answer in answers):
            return None
        return chains

    async def _ask(
        self, cluster: ChainCluster, kind: str, namespace: str, name: str
    ) -> list[ChainView] | UpstreamError | WireError | None:
        try:
            async with asyncio.timeout(SECONDS):
                found = await cluster.find_kind(kind)
                if found is None:
                    return None
                try:
                    started = await self._start(cluster, found, namespace, name)
                except AuthError as exc:
                    return [_forbidden(cluster, ObjectKey(*found, namespace, name), str(exc))]
                return [await _Walk(cluster, self._registry).run(item) for item in started]
        except TimeoutError:
            return UpstreamError(f"no whole answer within {SECONDS:g} s", subject=cluster.name, retryable=True)
        except (UpstreamError, WireError) as exc:
            log.warning("chain_unreadable", cluster=cluster.name, kind=kind, error=str(exc))
            return exc

    async def _start(
        self, cluster: ChainCluster, kind: tuple[str, str], namespace: str, name: str
    ) -> Sequence[Chained]:
        if not namespace:
            return await cluster.find(*kind, name, limit=MAX_FOUND)
        found = await cluster.read(ObjectKey(*kind, namespace, name))
        return [found] if found is not None else []


def _forbidden(cluster: ChainCluster, key: ObjectKey, said: str) -> ChainView:
    remedy = "" if key.namespace else " in all namespaces: state one"
    asked = ChainLink(
        relation="asked", kind=key.kind, group=key.group, namespace=key.namespace, name=key.name, found=False
    )
    problem = f"{key.kind} may not be read{remedy} ({redact(said)})"
    return ChainView(cluster=cluster.name, cluster_uid=cluster.uid, links=[asked], problem=problem)


class _Walk:
    """One chain in the making."""

    def __init__(self, cluster: ChainCluster, registry: Registry) -> None:
        self._cluster = cluster
        self._registry = registry
        self._links: list[ChainLink] = []
        self._seen: set[ObjectKey] = set()
        self._problem = ""

    async def run(self, asked: Chained) -> ChainView:
        await self._follow(self._add("asked", asked))
        return ChainView(
            cluster=self._cluster.name, cluster_uid=self._cluster.uid, links=self._links, problem=self._problem
        )

    async def _follow(self, item: Chained) -> None:
        """Go up from `item`, which is in the chain already."""
        current: Chained | None = item
        while current is not None and len(self._links) < MAX_LINKS:
            if current.key.kind == "Kustomization" and current.source is not None:
                await self._end(current)
                return
            if current.key.kind in ("HelmRelease", "HelmChart"):
                await self._chart(current)
            above = current.applied_by or (current.owner if not _is_source(current) else None)
            if above is None:
                self._end_without(current)
                return
            current = await self._step("applied_by" if current.applied_by else "owned_by", above)

    async def _chart(self, item: Chained) -> None:
        """The release's chart and what that was made from: a branch of the way, not the way itself."""
        chart = item
        if item.key.kind == "HelmRelease" and item.chart is not None:
            found = await self._step("chart", item.chart)
            chart = found if found is not None else item
        if chart.source is not None and chart.source not in self._seen:
            await self._step("source", chart.source)

    async def _end(self, kustomization: Chained) -> None:
        assert kustomization.source is not None
        source = await self._step("source", kustomization.source)
        revision = kustomization.revision
        if revision is None:
            self._problem = self._problem or f"{kustomization.key} has applied nothing yet"
            return
        self._links.append(self._commit(kustomization, source, revision))

    def _end_without(self, item: Chained) -> None:
        """Nobody applied it: a source may still say its commit."""
        if _is_source(item) and item.revision is not None:
            self._links.append(self._commit(item, item, item.revision))
            return
        self._problem = self._problem or (
            f"{item.key} has no label of Flux, and nothing that owns it has: it was not applied by Flux"
            if not self._has_flux
            else f"{item.key} has no label of Flux: it was applied by hand, so that no commit of its own is known"
        )

    @property
    def _has_flux(self) -> bool:
        return any(link.group.endswith("toolkit.fluxcd.io") for link in self._links)

    def _commit(self, item: Chained, source: Chained | None, revision: str) -> ChainLink:
        """The last link. What an artifact was made from is said by its annotations, or was found out before."""
        parsed = find_revision(revision)
        origin = find_revision(item.origin or (source.origin if source is not None else None))
        sha = parsed.commit_sha if parsed is not None else None
        url = source.url if source is not None else ""
        if sha is None and origin is not None and origin.commit_sha is not None:
            sha, url = origin.commit_sha, source.origin_url if source is not None else ""
        target = self._registry.find_target(self._cluster.uid, item.key)
        if sha is None and target is not None and target.applied == revision:
            sha = target.applied_sha
        followed = self._registry.source_of(target) if target is not None else None
        canonical = _canonical(url)
        if not canonical and followed is not None and followed.repository_id is not None:
            canonical = self._registry.repositories[followed.repository_id].canonical
        return ChainLink(
            relation="revision",
            kind="Commit" if sha is not None else "Revision",
            name=sha or revision,
            revision=revision,
            url=url,
            repository=canonical,
            sha=sha,
        )

    async def _step(self, relation: str, key: ObjectKey) -> Chained | None:
        """Read the next object and put it into the chain, found or not."""
        if key in self._seen:
            self._problem = f"{key} leads back to itself"
            return None
        try:
            found = await self._cluster.read(key)
        except AuthError as exc:
            self._miss(relation, key, f"{key} may not be read: {redact(str(exc))}")
            return None
        if found is None:
            self._miss(relation, key, f"{key} is named, and is not there")
            return None
        return self._add(relation, found)

    def _miss(self, relation: str, key: ObjectKey, problem: str) -> None:
        self._seen.add(key)
        self._problem = self._problem or problem
        self._links.append(
            ChainLink(
                relation=relation, kind=key.kind, group=key.group, namespace=key.namespace, name=key.name, found=False
            )
        )

    def _add(self, relation: str, item: Chained) -> Chained:
        self._seen.add(item.key)
        parsed = find_revision(item.revision) if item.key.kind == "GitRepository" else None
        ready = item.ready
        link = ChainLink(
            relation=relation,
            kind=item.key.kind,
            group=item.key.group,
            namespace=item.key.namespace,
            name=item.key.name,
            revision=item.revision,
            last_reconciled=item.reconciled_at,
            is_suspended=item.is_suspended,
            url=item.url,
            path=item.path,
            branch=item.follows,
            repository=_canonical(item.url) if item.key.kind == "GitRepository" else "",
            sha=parsed.commit_sha if parsed is not None else None,
        )
        if ready is not None:
            link = msgspec.structs.replace(link, ready=ready.status, reason=ready.reason, message=ready.message)
        self._links.append(link)
        return item


def _is_source(item: Chained) -> bool:
    return item.key.group == SOURCE_GROUP


def _canonical(url: str) -> str:
    try:
        return parse_repository(url).canonical if url and not url.startswith(("oci://", "bucket://")) else ""
    except WireError:
        return ""
