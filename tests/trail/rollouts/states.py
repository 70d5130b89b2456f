"""Workloads and pods in few words: the model's own objects, as a projection would give them.

Times are seconds after noon. Flux touches everything at 0, pods are made from 10 on, and are ready 20 seconds later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.rollout import Rollout, RolloutCause, RolloutState
from fluxtrail.model.workloads import (
    ContainerKind,
    ContainerRun,
    ContainerSpec,
    ContainerTrouble,
    Owner,
    Pod,
    PodTrouble,
    Progress,
    StatusCondition,
    Workload,
)
from fluxtrail.trail.rollouts.rules import judge_rollout

replace = msgspec.structs.replace
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def digest(version: int) -> str:
    return f"sha256:{version:064x}"


# -- workloads ----------------------------------------------------------------------------------------------------

GROUPS = {"CronJob": "batch", "Job": "batch", "Deployment": "apps", "ReplicaSet": "apps", "StatefulSet": "apps"}
GROUPS |= {"DaemonSet": "apps", "ReplicationController": "", "Rollout": "argoproj.io", "Cluster": "postgresql.cnpg.io"}


def workload(kind: str, name: str = "web", *, owner: Workload | None = None, **fields: Any) -> Workload:
    given: dict[str, Any] = {
        "uid": ObjectUid(f"{kind}-{name}".lower()),
        "key": ObjectKey(GROUPS.get(kind, "example.org"), kind, "shop", name),
        "owners": owned_by(owner),
        "notes": (),
        "containers": (ContainerSpec("app", "ghcr.io/acme/app:2", ContainerKind.MAIN),),
        "replicas": None,
        "revision": 0,
        "update_revision": "",
        "created_at": at(0),
        "is_deleting": False,
        "generation": 2,
        "touched_at": at(0),
    }
    return Workload(**(given | fields))


def owned_by(owner: Workload | None) -> tuple[Owner, ...]:
    if owner is None:
        return ()
    return (Owner(owner.key.group, owner.key.kind, owner.key.name, owner.uid, is_controller=True),)


def condition(kind: str, status: str = "True", reason: str = "", message: str = "", when: float = 0) -> StatusCondition:
    return StatusCondition(kind, status, reason, message, at(when))


def templated(kind: str, counts: str, **fields: Any) -> Workload:
    """Return a workload with `wanted/total/updated/available`, e.g. `3/4/2/3`, at generation 2, observed."""
    wanted, total, updated, available = (int(each) for each in counts.split("/"))
    own = {name: fields.pop(name) for name in list(fields) if name in Progress.__struct_fields__}
    given: dict[str, Any] = {"observed_generation": 2, "ready": available, "strategy": "RollingUpdate"}
    given |= {"wanted": wanted, "total": total, "updated": updated, "available": available}
    made: dict[str, Any] = {"progress": Progress(**(given | own)), "replicas": wanted}
    return workload(kind, **(made | fields))


def deployment(counts: str, **fields: Any) -> Workload:
    return templated("Deployment", counts, **fields)


def stateful_set(counts: str, **fields: Any) -> Workload:
    return templated("StatefulSet", counts, **({"update_revision": "new", "current_revision": "old"} | fields))


def daemon_set(counts: str, **fields: Any) -> Workload:
    return templated("DaemonSet", counts, **({"max_unavailable": 1} | fields))


def job(*conditions: StatusCondition, counts: str = "1/1/0/0", **fields: Any) -> Workload:
    return templated("Job", counts, **({"conditions": conditions, "observed_generation": 0, "strategy": ""} | fields))


def custom(*conditions: StatusCondition, kind: str = "Cluster", observed: int = 0, **fields: Any) -> Workload:
    progress = Progress(conditions=conditions, observed_generation=observed)
    return workload(kind, "db", **({"containers": None, "progress": progress} | fields))


def replica_set(owner: Workload, revision: int, replicas: int = 3, **fields: Any) -> Workload:
    given = {"revision": revision, "replicas": replicas, "containers": None}
    return workload("ReplicaSet", f"{owner.key.name}-{revision}", owner=owner, **(given | fields))


# -- pods -----------------------------------------------------------------------------------------------------------


def pod(owner: Workload | None = None, name: str = "web-0", **fields: Any) -> Pod:
    """Return a pod that is ready, unless told otherwise."""
    given: dict[str, Any] = {
        "uid": ObjectUid(f"pod-{name}"),
        "namespace": "shop",
        "name": name,
        "owners": owned_by(owner),
        "containers": (container(),),
        "phase": "Running",
        "created_at": at(10),
        "is_deleting": False,
        "is_ready": True,
        "is_static": False,
        "node": "node-1",
        "revision": "",
        "generation": 0,
        "notes": (),
        "ready_at": at(30),
    }
    return Pod(**(given | fields))


def pods(owner: Workload, count: int, **fields: Any) -> list[Pod]:
    """Return ready pods, each made and ready a second after the one before, each on its own node."""
    return [
        pod(
            owner,
            f"{owner.key.name}-{number}",
            **({"created_at": at(10 + number), "ready_at": at(30 + number), "node": f"node-{number}"} | fields),
        )
        for number in range(count)
    ]


def container(name: str = "app", version: int = 2, **fields: Any) -> ContainerRun:
    given: dict[str, Any] = {"image": "ghcr.io/acme/app:2", "kind": ContainerKind.MAIN, "image_id": digest(version)}
    given |= {"name": name, "is_ready": True, "started_at": at(20)}
    return ContainerRun(**(given | fields))


def bad(owner: Workload | None, name: str = "web-bad", *, restarts: int = 0, **trouble: Any) -> Pod:
    """Return a pod whose only container is not ready, and why: the fields of `ContainerTrouble`."""
    kind, phase = trouble.pop("kind", ContainerKind.MAIN), trouble.pop("phase", "Running")
    own = trouble.pop("pod", {})
    run = container(
        is_ready=False,
        image_id="",
        restarts=restarts,
        kind=kind,
        trouble=ContainerTrouble(**trouble) if trouble else None,
    )
    return pod(owner, name, **({"is_ready": False, "ready_at": None, "phase": phase, "containers": (run,)} | own))


def waiting(owner: Workload | None, reason: str, **fields: Any) -> Pod:
    return bad(owner, waiting=reason, **({"phase": "Pending"} | fields))


def stuck(owner: Workload | None, reason: str, message: str = "", name: str = "web-stuck", **fields: Any) -> Pod:
    """Return a pod that says itself why it is not where it should be; its containers have not begun."""
    run = container(is_ready=False, image_id="", started_at=None)
    given: dict[str, Any] = {"is_ready": False, "ready_at": None, "phase": "Pending", "node": "", "containers": (run,)}
    return pod(owner, name, **(given | {"trouble": PodTrouble(reason, message)} | fields))


def lost(owner: Workload | None, name: str = "web-lost", **fields: Any) -> Pod:
    """Return a pod as the node controller leaves it: not ready, its containers as last reported."""
    return pod(owner, name, **({"is_ready": False, "ready_at": None, "node": "node-lost"} | fields))


# -- what is asked of them -------------------------------------------------------------------------------------------


class World(NamedTuple):
    workload: Workload | Pod
    pods: Sequence[Pod] = ()
    below: Sequence[Workload] = ()
    owns_pods: bool = False

    def judge(self) -> Rollout:
        return judge_rollout(self.workload, self.pods, self.below, owns_pods=self.owns_pods)


class Row(NamedTuple):
    name: str
    state: RolloutState
    cause: RolloutCause | None
    world: World
    words: str = ""
    """Part of the message."""
    where: str = ""
    """`pod/container`."""
    reached: float | None = None
