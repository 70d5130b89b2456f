"""Which of a workload's pods are of its newest template.

Deployment, Argo Rollout   those of the ReplicaSet with the highest revision
StatefulSet                those whose `controller-revision-hash` is its `updateRevision`
DaemonSet                  those of the same hash as a pod of its template generation, or of the highest there is
CronJob                    those of the newest pod's Job
anything else              those of the same hash as the newest pod; all, where they have none
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from fluxtrail.model.workloads import APPS_GROUP, Pod, Workload
from fluxtrail.trail.workloads.anchors import CRON_JOB, DEPLOYMENT, REPLICA_SET, controller_of

EARLIEST = datetime.min.replace(tzinfo=UTC)

_NAMED = re.compile(r'[Rr]eplica ?[Ss]et "([^"]{1,253})"')


def updated_pods(workload: Workload, pods: Sequence[Pod], below: Sequence[Workload] = ()) -> list[Pod]:
    """Return the pods of the newest template, without those on their way out; in the order they came in."""
    kind = workload.key.kind if workload.key.group == APPS_GROUP else ""
    live = [pod for pod in pods if not pod.is_deleting]
    if kind == "StatefulSet":
        return [pod for pod in live if pod.revision == workload.update_revision]
    if kind == "DaemonSet":
        return _of_newest_generation(workload, live)
    sets = [item for item in below if is_replica_set(item)]
    if sets:
        newest = newest_replica_set(workload, sets)
        return [] if newest is None else pods_of_owner(live, newest)
    if kind == DEPLOYMENT or workload.key.kind == CRON_JOB:
        return _of_newest_owner(live, named=_named_replica_set(workload))
    return _of_newest_hash(workload, live)


def newest_replica_set(workload: Workload, below: Sequence[Workload]) -> Workload | None:
    """Return the ReplicaSet that a roll-out fills.

    None where there is none, and where the Deployment names one that has not been seen: the streams of two kinds have
    no order, and the newest that is held would then be the one before.
    """
    found = [item for item in below if is_replica_set(item) and not item.is_deleting]
    if not found:
        return None
    newest = max(found, key=lambda item: (item.revision, item.created_at or EARLIEST, item.uid))
    named = _named_replica_set(workload)
    return newest if not named or any(item.key.name == named for item in found) else None


def is_replica_set(item: Workload) -> bool:
    return (item.key.group, item.key.kind) == (APPS_GROUP, REPLICA_SET)


def pods_of_owner(pods: Sequence[Pod], owner: Workload) -> list[Pod]:
    return [pod for pod in pods if (found := controller_of(pod.owners)) is not None and found.uid == owner.uid]


def _named_replica_set(workload: Workload) -> str:
    """Return which ReplicaSet a Deployment's `Progressing` speaks of; empty where it names none."""
    progressing = workload.progress.find_condition("Progressing") if workload.progress is not None else None
    found = _NAMED.search(progressing.message) if progressing is not None else None
    return found[1] if found is not None else ""


def _of_newest_owner(live: list[Pod], *, named: str = "") -> list[Pod]:
    """Return the pods of who made the newest; none, if another is named as the one that makes pods now."""
    owners = {
        (pod.created_at or EARLIEST, owner.uid, owner.name) for pod in live if (owner := controller_of(pod.owners))
    }
    if not owners:
        return []
    _, uid, name = max(owners)
    if named and name != named:
        return []
    return [pod for pod in live if (owner := controller_of(pod.owners)) is not None and owner.uid == uid]


def _of_newest_generation(workload: Workload, live: list[Pod]) -> list[Pod]:
    """Return a DaemonSet's pods of its newest template.

    A template that was there before keeps its hash, and its pods their older generation. Where the status counts none
    as updated and all pods are alike, none is: the first is still to be made.
    """
    if not live:
        return []
    exact = [pod for pod in live if pod.generation == workload.revision]
    revision = max((pod.generation, pod.created_at or EARLIEST, pod.revision) for pod in exact or live)[2]
    found = [pod for pod in live if pod.revision == revision]
    is_none_updated = workload.progress is not None and workload.progress.updated == 0
    return [] if is_none_updated and len(found) == len(live) else found


def _of_newest_hash(workload: Workload, live: list[Pod]) -> list[Pod]:
    if not live:
        return []
    wanted = workload.update_revision
    if not wanted:
        wanted = max((pod.created_at or EARLIEST, pod.revision) for pod in live)[1]
    return [pod for pod in live if pod.revision == wanted]
