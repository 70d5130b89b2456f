"""All workload controllers of one simulated cluster, on one loop: what changed is looked at again, with its owner."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

import structlog

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.truth import Truth
from fluxtrail.simulator.workloads.deployments import Deployments
from fluxtrail.simulator.workloads.events import EventRecorder
from fluxtrail.simulator.workloads.images import Registry
from fluxtrail.simulator.workloads.jobs import CronJobs, Jobs
from fluxtrail.simulator.workloads.kubelet import Kubelet
from fluxtrail.simulator.workloads.objects import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    REPLICA_SETS,
    RESOURCE_OF_KIND,
    RESOURCES,
    ROLLOUTS,
    STATEFUL_SETS,
    Object,
    end_pod,
    find_controller,
    is_going,
)
from fluxtrail.simulator.workloads.records import RecordsTruth
from fluxtrail.simulator.workloads.replicasets import ReplicaSets
from fluxtrail.simulator.workloads.rollouts import Rollouts
from fluxtrail.simulator.workloads.running import RunningTruth
from fluxtrail.simulator.workloads.sets import DaemonSets, StatefulSets
from fluxtrail.simulator.workloads.troubles import Trouble, Troubles

log = structlog.get_logger(__name__)

_TURN_SECONDS = 0.05
"""Real seconds between two turns: changes that come together are looked at together."""
_FOREGROUND = "foregroundDeletion"

Key = tuple[str, str, str]
"""(resource, namespace, name)."""


class _Steps(Protocol):
    def step(self, namespace: str, name: str) -> None:
        """Bring an object one step nearer to what it wants; nothing happens when it is there."""


class WorkloadController:
    """Runs what makes pods on one cluster, and its nodes.

    It acts on what the API server holds, whoever wrote it.

    Args:
        prefix: of image ids, as the nodes' container runtime writes one.
        resources: that are served here.
    """

    def __init__(
        self,
        cluster: str,
        *,
        store: Store,
        clock: SimulatedClock,
        truth: Truth,
        registry: Registry,
        dice: random.Random,
        prefix: str = "",
        resources: Sequence[str] = RESOURCES,
    ) -> None:
        self.registry = registry
        self.records = RecordsTruth(cluster, store=store, truth=truth)
        self.cron_jobs = CronJobs(store, clock=clock)
        self.troubles = Troubles()
        events = EventRecorder(store, clock)
        self.kubelet = Kubelet(
            store=store,
            clock=clock,
            registry=registry,
            truth=self.records,
            dice=dice,
            spawn=self._spawn,
            troubles=self.troubles,
            events=events,
            prefix=prefix,
        )
        self.store = store
        self._cluster = cluster
        self._clock = clock
        self._group: asyncio.TaskGroup | None = None
        self._changes = {resource: store.subscribe(resource) for resource in resources}
        self._dirty: dict[Key, None] = {}
        self._ending: set[Key] = set()
        """Deletions in the foreground: looked at again in every turn."""
        self._poked = asyncio.Event()
        self._waiting = 0
        jobs = Jobs(store, clock=clock, end_later=self._end_job_later)
        self.running = RunningTruth(
            cluster, store=store, clock=clock, truth=truth, lives=self.kubelet.lives, jobs_ended_at=jobs.ended_at
        )
        self._steps: dict[str, _Steps] = {
            REPLICA_SETS: ReplicaSets(store, clock=clock, troubles=self.troubles, events=events),
            DEPLOYMENTS: Deployments(store, clock=clock, later=self._perhaps_later),
            STATEFUL_SETS: StatefulSets(store),
            DAEMON_SETS: DaemonSets(store),
            JOBS: jobs,
            CRON_JOBS: self.cron_jobs,
            ROLLOUTS: Rollouts(store, clock=clock, later=self._later),
        }

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for resource in self._changes:
                group.create_task(self._watch(resource), name=f"{self._cluster} watch {resource}")
            while True:
                await self._poked.wait()
                self._poked.clear()
                self._turn()
                await asyncio.sleep(_TURN_SECONDS)

    def is_settled(self) -> bool:
        """Whether nothing will change any more by itself."""
        is_idle = not (self._dirty or self._poked.is_set() or self._waiting or self.kubelet.busy)
        return is_idle and not any(changes.has_news() for changes in self._changes.values())

    def _turn(self) -> None:
        dirty, self._dirty = self._dirty | dict.fromkeys(self._ending), {}
        for resource, namespace, name in dirty:
            if resource in self._steps:
                self._finish_foreground(resource, namespace, name)
                self._steps[resource].step(namespace, name)
        self.records.refresh(dirty)
        self.running.refresh(dirty)

    async def _watch(self, resource: str) -> None:
        for obj in self.store.list(resource):
            self._see(resource, obj)
        async for event in self._changes[resource]:
            if event.type == "RESYNC":
                for obj in self.store.list(resource):
                    self._see(resource, obj)
            elif event.type == "DELETED":
                self._collect(resource, event.object)
            elif event.type != "CLOSED":
                self._see(resource, event.object)

    def _see(self, resource: str, obj: Object) -> None:
        if resource == PODS:
            self.kubelet.see(obj)
        self._mark(resource, obj)

    def _mark(self, resource: str, obj: Object) -> None:
        metadata = obj["metadata"]
        self._dirty[resource, metadata["namespace"], metadata["name"]] = None
        owner = find_controller(obj)
        if owner is not None and owner["kind"] in RESOURCE_OF_KIND:
            self._dirty[RESOURCE_OF_KIND[owner["kind"]], metadata["namespace"], owner["name"]] = None
        self._poked.set()

    def _collect(self, resource: str, gone: Object) -> None:
        """Delete what a deleted object owned: the garbage collector, in the background."""
        if resource == PODS:
            self.kubelet.forget(gone)
        else:
            self._delete_owned(gone)
        self._mark(resource, gone)

    def _delete_owned(self, owner: Object) -> bool:
        """Let everything go that an object owns; return whether there was anything."""
        namespace, uid = owner["metadata"]["namespace"], owner["metadata"]["uid"]
        had_any = False
        for resource in (REPLICA_SETS, JOBS, PODS):
            for obj in self.store.list(resource, namespace):
                if any(ref["uid"] == uid for ref in obj["metadata"].get("ownerReferences") or ()):
                    had_any = True
                    self._delete(resource, obj)
        return had_any

    def _delete(self, resource: str, obj: Object) -> None:
        if resource == PODS:
            end_pod(self.store, obj)
        else:
            self.store.delete(resource, obj["metadata"]["name"], obj["metadata"]["namespace"])

    def _finish_foreground(self, resource: str, namespace: str, name: str) -> None:
        """A deletion in the foreground: the object goes when all that it owned is gone, directly or not."""
        obj = self.store.find(resource, name, namespace)
        if obj is None or not is_going(obj) or _FOREGROUND not in (obj["metadata"].get("finalizers") or ()):
            self._ending.discard((resource, namespace, name))
            return
        self._ending.add((resource, namespace, name))
        if not self._delete_owned(obj) and not self._has_pods(obj):
            self.store.patch(resource, name, namespace, {"metadata": {"finalizers": None}})

    def _has_pods(self, obj: Object) -> bool:
        labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return bool(selector) and bool(self.store.list(PODS, obj["metadata"]["namespace"], label_selector=selector))

    def delete_in_foreground(self, resource: str, namespace: str, name: str) -> None:
        """Delete an object the way that lets it outlive what it owns."""
        self.store.patch(resource, name, namespace, {"metadata": {"finalizers": [_FOREGROUND]}})
        self.store.delete(resource, name, namespace)

    def impose(self, namespace: str, workload: str, trouble: Trouble | None) -> None:
        """Bring trouble on a workload, or take it away; what could not be made is tried again."""
        self.troubles.impose(namespace, workload, trouble)
        for resource in (DEPLOYMENTS, REPLICA_SETS, JOBS, STATEFUL_SETS):
            for obj in self.store.list(resource, namespace):
                if obj["metadata"]["name"].startswith(workload):
                    self._mark(resource, obj)

    def scale(self, resource: str, namespace: str, name: str, replicas: int) -> None:
        """What an autoscaler does: by the scale subresource, and in its own name."""
        obj = self.store.get(resource, name, namespace)
        entry = {
            "manager": "kube-controller-manager",
            "operation": "Update",
            "apiVersion": "autoscaling/v1",
            "time": wire_time(self._clock.now()),
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
            "subresource": "scale",
        }
        others = [e for e in obj["metadata"].get("managedFields") or () if e.get("subresource") != "scale"]
        patch = {"metadata": {"managedFields": [*others, entry]}, "spec": {"replicas": replicas}}
        self.store.patch(resource, name, namespace, patch, manager="kube-controller-manager")

    def _later(self, delay_seconds: float, resource: str, namespace: str, name: str) -> None:
        self._waiting += 1
        self._spawn(self._wait(delay_seconds, (resource, namespace, name)), f"{name} waits")

    async def _wait(self, delay_seconds: float, key: Key) -> None:
        try:
            await self._clock.sleep(delay_seconds)
        finally:
            self._waiting -= 1
        self._dirty[key] = None
        self._poked.set()

    def _perhaps_later(self, delay_seconds: float, resource: str, namespace: str, name: str) -> None:
        """As `_later`, but nobody expects that anything comes of it: the cluster counts as settled meanwhile."""

        async def wait() -> None:
            await self._clock.sleep(delay_seconds)
            self._dirty[resource, namespace, name] = None
            self._poked.set()

        self._spawn(wait(), f"{name} has a deadline")

    def _end_job_later(self, delay_seconds: float, namespace: str, name: str) -> None:
        async def end() -> None:
            await self._clock.sleep(delay_seconds)
            if self.store.find(JOBS, name, namespace) is not None:
                self.store.delete(JOBS, name, namespace)

        self._spawn(end(), f"{name} expires")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        assert self._group is not None
        self._group.create_task(work, name=f"{self._cluster} {name}")
