"""A Flux that a driver plays on any API server: sources, Kustomizations and what they apply, write by write.

The order of writes is that of kustomize-controller 1.9: conditions first, `lastAttemptedRevision`, the objects, the
health checks, Ready, and only then `lastAppliedRevision` with inventory and history.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from benchmarks import objects
from benchmarks.hostile_pods import MERGE, Api
from benchmarks.rollouts_script import IMAGE, Manner, Rolling, signed
from benchmarks.rollouts_truth import Followed, Instant, SyncTruth

from fluxtrail.clusters.connection import Connection
from fluxtrail.simulator.statuses import Conditions, upsert_snapshot

APPLY = "application/apply-patch+yaml"
MANAGER = "kustomize-controller"
SOURCES = "/apis/source.toolkit.fluxcd.io/v1/namespaces"
KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces"

Json = dict[str, Any]


class FluxApi(Api):
    """Plain requests, to Flux's kinds too."""

    def __init__(self, connection: Connection, namespace: str, *, is_simulated: bool) -> None:
        super().__init__(connection, namespace)
        self.is_simulated = is_simulated

    @asynccontextmanager
    async def inside(self) -> AsyncIterator[FluxApi]:
        async with super().inside():
            try:
                yield self
            finally:
                await self.call("DELETE", f"{KUSTOMIZATIONS}/{self.namespace}/kustomizations")
                await self.call("DELETE", f"{SOURCES}/{self.namespace}/gitrepositories")

    async def write_status(self, base: str, plural: str, name: str, status: Json) -> Instant:
        sent = datetime.now(UTC)
        path = f"{base}/{self.namespace}/{plural}/{name}/status"
        await self.call("PATCH", path, {"status": status}, content_type=MERGE)
        return Instant(sent, datetime.now(UTC))

    async def apply(self, item: Followed, manifest: Json) -> Json:
        """Apply a Deployment on the server, as kustomize-controller does; returns it as it is then."""
        path = self.path("Deployment", item.name)
        if not self.is_simulated:
            query = f"?fieldManager={MANAGER}&force=true"
            found: Json = await self.call("PATCH", path + query, manifest, content_type=APPLY)
            return found
        if not item.uid:
            manifest["metadata"]["managedFields"] = signed({"metadata": {}}, MANAGER)
            return await self.create("Deployment", manifest)
        old = await self.call("GET", path)
        manifest["metadata"]["managedFields"] = signed(old, MANAGER)
        merged: Json = await self.call("PATCH", path, manifest, content_type=MERGE)
        return merged


@dataclass
class Member:
    """One Deployment of a Kustomization, and who rolls it."""

    item: Followed
    rolling: Rolling
    has_replicas: bool
    """Its manifest says how many; else somebody else does."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Target:
    """One Kustomization."""

    name: str
    number: int
    source: str
    has_checks: bool
    members: list[Member] = field(default_factory=list)
    status: Json = field(default_factory=dict)

    def find(self, name: str) -> Member:
        return next(member for member in self.members if member.item.name == name)


class Flux:
    """Plays one Flux. Deployments of several Kustomizations are applied at once, as many as `Api` lets through."""

    def __init__(self, api: FluxApi, dice: random.Random, tasks: asyncio.TaskGroup) -> None:
        self.truths: list[SyncTruth] = []
        self.rolls: list[asyncio.Task[None]] = []
        self._api = api
        self._dice = dice
        self._tasks = tasks

    # -- sources -------------------------------------------------------------------------------------------------

    async def make_source(self, name: str, url: str, sha: str) -> None:
        body = objects.git_repository(url, sha, datetime.now(UTC))
        body["metadata"] = {"name": name, "namespace": self._api.namespace}
        await self._api.call("POST", f"{SOURCES}/{self._api.namespace}/gitrepositories", body)
        await self.fetch(name, sha)

    async def fetch(self, name: str, sha: str) -> None:
        now = datetime.now(UTC)
        ready = objects.condition("Ready", "True", "Succeeded", f"stored artifact for {objects.revision_of(sha)}", now)
        status = {"observedGeneration": 1, "conditions": [ready], "artifact": objects.artifact(sha, now)}
        await self._api.write_status(SOURCES, "gitrepositories", name, status)

    # -- Kustomizations ------------------------------------------------------------------------------------------

    async def make(self, target: Target, sha: str) -> None:
        """Be at `sha` since long."""
        body = {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": target.name, "namespace": self._api.namespace},
            "spec": {
                "interval": "10m0s",
                "path": f"./{objects.directory_of(target.number)}",
                "prune": True,
                "wait": target.has_checks,
                "timeout": "5m0s",
                "sourceRef": {"kind": "GitRepository", "name": target.source},
            },
        }
        await self._api.call("POST", f"{KUSTOMIZATIONS}/{self._api.namespace}/kustomizations", body)
        await asyncio.gather(*(self._begin(target, member) for member in target.members))
        await self._ready(target, sha)
        await self._finish(target, sha, "0", took_seconds=0.3)

    async def _begin(self, target: Target, member: Member) -> None:
        wanted = member.item.wanted
        await self._apply(target, member, "0")
        if not member.has_replicas:
            await member.rolling.scale(wanted)
        await member.rolling.settle()

    async def sync(
        self,
        target: Target,
        sha: str,
        version: str,
        changed: Sequence[str],
        *,
        ending: Sequence[str],
        rest_seconds: float,
        is_undone: bool = False,
    ) -> None:
        """Reconcile once.

        Args:
            version: of the images: what a template of this revision says.
            changed: Deployments whose templates differ.
            ending: those of them whose roll-out will end.
            rest_seconds: how long it takes from the last object applied until that is written.
        """
        truth = SyncTruth(target.name, objects.revision_of(sha), is_undone=is_undone)
        self.truths.append(truth)
        began = time.monotonic()
        await self._step(target, "Fetching manifests", sha, starts=True)
        await self._step(target, "Building manifests", sha)
        await self._patch(target, {"lastAttemptedRevision": truth.revision})
        await self._step(target, "Detecting drift", sha)
        rolls = [
            asyncio.ensure_future(self._change(target, target.find(name), version, truth, is_to_end=name in ending))
            for name in changed
        ]
        done = await asyncio.gather(*rolls)
        await asyncio.sleep(rest_seconds)
        if target.has_checks:
            truth.applied = await self._step(target, "Running health checks", sha)
            await asyncio.gather(*done)
            if set(changed) - set(ending):
                await self._fail(target, sha)
                return
        ready = await self._ready(target, sha)
        truth.applied = truth.applied or ready
        await self._finish(target, sha, version, took_seconds=time.monotonic() - began)

    async def _change(
        self, target: Target, member: Member, version: str, truth: SyncTruth, *, is_to_end: bool
    ) -> asyncio.Task[None]:
        await self._apply(target, member, version)
        truth.changed[member.item.name] = member.item.generation
        task = self._tasks.create_task(self._roll(member, is_to_end=is_to_end), name=member.item.name)
        self.rolls.append(task)
        return task

    async def _roll(self, member: Member, *, is_to_end: bool) -> None:
        """Let one roll-out after the other have its turn: a controller sees the newest template only."""
        async with member.turn:
            await member.rolling.roll(is_to_end=is_to_end)

    async def _apply(self, target: Target, member: Member, version: str) -> None:
        item = member.item
        labels = {"app": item.name}
        spec: Json = {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": f"{IMAGE}-{item.name}:{version}"}]},
            },
        }
        if member.has_replicas:
            spec["replicas"] = item.wanted
        group = "kustomize.toolkit.fluxcd.io"
        owner = {f"{group}/name": target.name, f"{group}/namespace": self._api.namespace}
        manifest = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": item.name, "namespace": self._api.namespace, "labels": labels | owner},
            "spec": spec,
        }
        async with item.lock:
            sent = datetime.now(UTC)
            found = await self._api.apply(item, manifest)
            item.uid, item.generation = found["metadata"]["uid"], found["metadata"]["generation"]
            item.target = target.name
            item.note(sent)

    # -- statuses ------------------------------------------------------------------------------------------------

    async def _step(self, target: Target, what: str, sha: str, *, starts: bool = False) -> Instant:
        conditions, now = self._conditions(target), datetime.now(UTC)
        said = f"{what} for revision {objects.revision_of(sha)} with a timeout of 5m0s"
        conditions.set("Reconciling", "True", "Progressing", said, at=now)
        if starts:
            conditions.set("Ready", "Unknown", "Progressing", "Reconciliation in progress", at=now)
        if what == "Running health checks":
            conditions.set("Healthy", "Unknown", "Progressing", said, at=now)
        return await self._patch(target, {"conditions": conditions.listed()})

    async def _ready(self, target: Target, sha: str) -> Instant:
        conditions, now = self._conditions(target), datetime.now(UTC)
        conditions.remove("Reconciling")
        said = f"Applied revision: {objects.revision_of(sha)}"
        conditions.set("Ready", "True", "ReconciliationSucceeded", said, at=now)
        if target.has_checks:
            conditions.set("Healthy", "True", "Succeeded", "Health check passed", at=now)
        return await self._patch(target, {"conditions": conditions.listed()})

    async def _fail(self, target: Target, sha: str) -> None:
        conditions, now = self._conditions(target), datetime.now(UTC)
        said = f"Running health checks for revision {objects.revision_of(sha)} with a timeout of 5m0s"
        conditions.set("Reconciling", "True", "ProgressingWithRetry", said, at=now)
        conditions.set("Ready", "False", "HealthCheckFailed", "timeout waiting for: [Deployment]", at=now)
        conditions.set("Healthy", "False", "HealthCheckFailed", "timeout waiting for: [Deployment]", at=now)
        await self._patch(target, {"conditions": conditions.listed()})

    async def _finish(self, target: Target, sha: str, version: str, *, took_seconds: float) -> None:
        revision, namespace = objects.revision_of(sha), self._api.namespace
        digest = f"sha256:{target.number:032x}{int(version):032x}"
        history = upsert_snapshot(
            target.status.get("history"),
            digest=digest,
            status="ReconciliationSucceeded",
            revision=revision,
            at=datetime.now(UTC),
            seconds=took_seconds,
        )
        entries = [{"id": f"{namespace}_{member.item.name}_apps_Deployment", "v": "v1"} for member in target.members]
        await self._patch(
            target,
            {
                "observedGeneration": 1,
                "lastAppliedRevision": revision,
                "lastAttemptedRevision": revision,
                "history": history,
                "inventory": {"entries": entries},
            },
        )

    def _conditions(self, target: Target) -> Conditions:
        return Conditions(target.status.get("conditions"), generation=1)

    async def _patch(self, target: Target, change: Json) -> Instant:
        target.status |= change
        return await self._api.write_status(KUSTOMIZATIONS, "kustomizations", target.name, change)


def make_manner(number: int) -> Manner:
    """Return how the Deployment of this number behaves: the same share of each for any number of them."""
    return Manner(
        has_replica_sets=number % 10 in (0, 1),
        has_pods=number % 10 == 1,
        is_scaled=number % 10 == 2,
        is_scaled_late=number % 20 == 13,
        flickers=number % 20 == 3,
        is_held=number % 10 == 4,
    )
