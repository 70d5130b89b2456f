"""What is true of roll-outs: for each workload, when which generation of it ran.

Kept by the cluster itself, from what its nodes did and when exactly. The rule is the design's, written once more:
the generation is observed, as many pods as wanted are of the newest template, and of those as many are available
as `maxUnavailable` leaves. It happened when the last pod that it takes became ready.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.truth import Truth
from fluxtrail.simulator.workloads.kubelet import NODES, PodLife
from fluxtrail.simulator.workloads.objects import (
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    REPLICA_SETS,
    REVISION,
    STATEFUL_SETS,
    Object,
    active,
    owned,
    revision,
    template_hash,
    wanted_pods,
)

_JUDGED = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, JOBS)


class Latch(NamedTuple):
    generation: int
    at: datetime


class Standing(NamedTuple):
    """How a workload stands whose roll-out is over."""

    generation: int
    at: datetime | None
    """When its pods were as they should be; None: they do not say, it is as it is seen."""


class RunningTruth:
    """Latches of all workloads of one cluster. `refresh` is called after every turn of its controllers."""

    def __init__(
        self,
        cluster: str,
        *,
        store: Store,
        clock: SimulatedClock,
        truth: Truth,
        lives: Mapping[str, PodLife],
        jobs_ended_at: Mapping[str, datetime],
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._clock = clock
        self._truth = truth
        self._lives = lives
        self._jobs_ended_at = jobs_ended_at
        self._latches: dict[str, list[Latch]] = {}
        """By the workload's uid, oldest first."""
        self._seen: dict[str, Latch] = {}
        """By uid: when the newest generation was first there."""

    def refresh(self, changed: Collection[tuple[str, str, str]]) -> None:
        for resource, namespace, name in changed:
            found = self._store.find(resource, name, namespace) if resource in _JUDGED else None
            if found is not None:
                self._latch(resource, found)

    def rolled_at(self, uid: str, generation: int) -> datetime | None:
        """Return when this generation of a workload, or a later one, first ran; None: not yet."""
        return next((latch.at for latch in self._latches.get(uid, ()) if latch.generation >= generation), None)

    def _latch(self, resource: str, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        latches = self._latches.setdefault(uid, [])
        seen = self._seen.get(uid)
        if seen is None or seen.generation != obj["metadata"]["generation"]:
            seen = self._seen[uid] = Latch(obj["metadata"]["generation"], self._clock.now())
        if latches and latches[-1].generation >= obj["metadata"]["generation"]:
            return
        standing = self._judge(resource, obj)
        if standing is None or (latches and latches[-1].generation >= standing.generation):
            return
        # Pods that were ready before belong to a generation only from when it was there: fewer replicas, a way back.
        at = max(standing.at or self._clock.now(), seen.at)
        latches.append(Latch(standing.generation, at))
        metadata = obj["metadata"]
        self._truth.note(
            "rolled_out",
            cluster=self._cluster,
            workload=f"{obj['kind']}/{metadata['namespace']}/{metadata['name']}",
            generation=standing.generation,
            pods_at=at,
        )

    def _judge(self, resource: str, obj: Object) -> Standing | None:
        if resource == JOBS:
            ended_at = self._jobs_ended_at.get(obj["metadata"]["uid"])
            return Standing(obj["metadata"]["generation"], ended_at) if ended_at else None
        observed = int((obj.get("status") or {}).get("observedGeneration") or 0)
        if observed < obj["metadata"]["generation"]:
            return None
        wanted, spared = _wanted(resource, obj)
        pods = [self._lives[pod["metadata"]["uid"]] for pod in self._updated(resource, obj)]
        ready = sorted(pod.ready_at for pod in pods if pod.ready_at)
        needed = wanted - spared
        if len(pods) < wanted or len(ready) < needed:
            return None
        born = sorted(pod.born_at for pod in pods)
        moments = [*born[wanted - 1 : wanted], *ready[needed - 1 : needed]]
        return Standing(observed, max(moments) if moments else None)

    def _updated(self, resource: str, obj: Object) -> list[Object]:
        """Return the pods of the newest template that count."""
        template = obj["spec"]["template"]
        if resource == DEPLOYMENTS:
            sets = owned(self._store, REPLICA_SETS, obj)
            label = template_hash(template)
            newest = [s for s in sets if s["metadata"]["labels"].get("pod-template-hash") == label]
            pods = [pod for item in newest for pod in owned(self._store, PODS, item)]
            is_newest = newest and revision(newest[0]) == max(revision(item, REVISION) for item in sets)
            return [p for p in active(pods) if p["metadata"]["uid"] in self._lives] if is_newest else []
        update = template_hash(template)
        update = f"{obj['metadata']['name']}-{update}" if resource == STATEFUL_SETS else update
        pods = active(owned(self._store, PODS, obj))
        fresh = [pod for pod in pods if pod["metadata"]["labels"].get("controller-revision-hash") == update]
        return [pod for pod in fresh if pod["metadata"]["uid"] in self._lives]


def _wanted(resource: str, obj: Object) -> tuple[int, int]:
    """Return how many pods a workload wants of its newest template, and how many of them need not be available."""
    spec = obj["spec"]
    if resource == DAEMON_SETS:
        rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
        return len(NODES), _of(rolling.get("maxUnavailable", 1), len(NODES), is_up=True)
    wanted = wanted_pods(obj)
    if resource == STATEFUL_SETS:
        rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
        return max(wanted - int(rolling.get("partition") or 0), 0), 0
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return wanted, 0
    return wanted, _of((strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%"), wanted)


def _of(value: int | str, wanted: int, *, is_up: bool = False) -> int:
    if isinstance(value, int):
        return value
    share = wanted * int(value.rstrip("%"))
    return -(-share // 100) if is_up else share // 100
