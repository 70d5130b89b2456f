"""Whose a pod is: the nearest controller above it, past its ReplicaSet and its Job.

    Pod → ReplicaSet → Deployment, Rollout, any kind      that controller
    Pod → ReplicaSet                                      the ReplicaSet
    Pod → Job → CronJob                                   the CronJob
    Pod → Job (whatever else owns it)                     the Job
    Pod → StatefulSet, DaemonSet, any other kind          that controller
    Pod                                                   the pod; a node's own without the node in its name

Nothing is asked of the server: what owns what is in the objects that are watched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fluxtrail.model.deployment import Place
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.workloads import APPS_GROUP, BATCH_GROUP, CORE_GROUP, Owner, Pod, Workload

POD = "Pod"
REPLICA_SET = "ReplicaSet"
DEPLOYMENT = "Deployment"
JOB = "Job"
CRON_JOB = "CronJob"
FAMILIAR = frozenset(
    {
        (CORE_GROUP, POD),
        (APPS_GROUP, REPLICA_SET),
        (APPS_GROUP, DEPLOYMENT),
        (APPS_GROUP, "StatefulSet"),
        (APPS_GROUP, "DaemonSet"),
        (BATCH_GROUP, JOB),
        (BATCH_GROUP, CRON_JOB),
    }
)
"""Kinds whose templates are read. All others are known by their metadata alone."""


class Anchor(NamedTuple):
    """The workload that a container's name is made of; `kind` has its group where it is none of Kubernetes' own."""

    namespace: str
    kind: str
    name: str

    def place(self, container: str) -> Place:
        return Place(self.namespace, self.kind, self.name, container)


def anchor_of_place(place: Place) -> Anchor:
    return Anchor(place.namespace, place.kind, place.workload)


def anchor_of_key(key: ObjectKey) -> Anchor:
    return Anchor(key.namespace, kind_text(key.group, key.kind), key.name)


def kind_text(group: str, kind: str) -> str:
    """Return a kind as anchors have it: `Deployment`, `Rollout.argoproj.io`, `ReplicationController`."""
    return kind if not group or (group, kind) in FAMILIAR else f"{kind}.{group}"


def split_kind(text: str) -> tuple[str, str]:
    """Return (group, kind) of an anchor's kind."""
    kind, dot, group = text.partition(".")
    if dot:
        return group, kind
    return next((known for known in FAMILIAR if known[1] == kind), (CORE_GROUP, kind))


class Unresolved(NamedTuple):
    """The pod's chain goes through an object that has not been seen (yet)."""

    owner: Owner


Lookup = Callable[[ObjectUid], Workload | None]


def controller_of(owners: Sequence[Owner]) -> Owner | None:
    return next((owner for owner in owners if owner.is_controller), owners[0] if owners else None)


def find_anchor(pod: Pod, lookup: Lookup) -> Anchor | Unresolved:
    """Return whose the pod is, as far as the objects that were seen tell."""
    owner = None if pod.is_static else controller_of(pod.owners)
    if owner is None:
        return Anchor(pod.namespace, POD, _static_name(pod) if pod.is_static else pod.name)
    passes = (APPS_GROUP, REPLICA_SET), (BATCH_GROUP, JOB)
    if (owner.group, owner.kind) not in passes:
        return Anchor(pod.namespace, kind_text(owner.group, owner.kind), owner.name)
    found = lookup(owner.uid)
    if found is None:
        return Unresolved(owner)
    above = controller_of(found.owners)
    if above is None or (owner.kind == JOB and (above.group, above.kind) != (BATCH_GROUP, CRON_JOB)):
        return Anchor(pod.namespace, owner.kind, owner.name)
    return Anchor(pod.namespace, kind_text(above.group, above.kind), above.name)


def guess_anchor(pod: Pod, owner: Owner, has_cron_job: Callable[[str], bool]) -> Anchor:
    """Return whose a pod probably is, by how controllers name what they make; for owners that cannot be seen.

    Args:
        has_cron_job: whether there is a CronJob of that name in the pod's namespace.
    """
    stem, dash, suffix = owner.name.rpartition("-")
    if owner.kind == JOB:
        is_scheduled = bool(stem) and suffix.isdecimal() and has_cron_job(stem)
        return Anchor(pod.namespace, CRON_JOB if is_scheduled else JOB, stem if is_scheduled else owner.name)
    return Anchor(pod.namespace, DEPLOYMENT, stem if dash and stem else owner.name)


def _static_name(pod: Pod) -> str:
    return pod.name.removesuffix(f"-{pod.node}") if pod.node else pod.name
