"""How a workload stands on its way to running what was applied: one rule a kind.

Everything here is a function of the cluster's state: no clock, no memory, no order among pods. What a state means for
a sync, and when it was first so, is latched elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from fluxtrail.model.rollout import Rollout
from fluxtrail.model.workloads import APPS_GROUP, BATCH_GROUP, CORE_GROUP, Pod, Workload
from fluxtrail.trail.rollouts.answers import ABSENT, BEING_DELETED
from fluxtrail.trail.rollouts.changes import is_changed
from fluxtrail.trail.rollouts.customs import judge_custom
from fluxtrail.trail.rollouts.daemon_sets import judge_daemon_set
from fluxtrail.trail.rollouts.deployments import judge_deployment, judge_replica_set
from fluxtrail.trail.rollouts.digests import digests_of
from fluxtrail.trail.rollouts.jobs import judge_job
from fluxtrail.trail.rollouts.pods import judge_pod
from fluxtrail.trail.rollouts.stateful_sets import judge_stateful_set
from fluxtrail.trail.workloads.anchors import CRON_JOB, DEPLOYMENT, JOB, REPLICA_SET

__all__ = ["digests_of", "is_changed", "judge_rollout"]


def judge_rollout(
    workload: Workload | Pod, pods: Sequence[Pod], below: Sequence[Workload], *, owns_pods: bool = False
) -> Rollout:
    """Return how a workload stands at its present generation, and if it does not run, why.

    Never fails on a value. In `ROLLED_OUT`, `reached` is the cluster's own moment, never before Flux's last change; it
    is missing where the pods that were seen do not tell, and may come with a later look at them.

    Args:
        workload: a bare pod is its own.
        pods: all of its pods, of all revisions, those on their way out too.
        below: what it controls, directly or further down: its ReplicaSets; a custom resource's workloads and theirs.
        owns_pods: others of this custom kind own pods: one that has nothing below it (yet) is waited for unless it
            says that it is ready.
    """
    if isinstance(workload, Pod):
        return judge_pod(workload)
    kind, progress = (workload.key.group, workload.key.kind), workload.progress
    if kind == (BATCH_GROUP, CRON_JOB):
        return ABSENT
    if progress is not None and kind == (BATCH_GROUP, JOB):
        return judge_job(workload, progress, pods)
    if workload.is_deleting:
        return BEING_DELETED
    if progress is None:
        return judge_custom(workload, pods, below, judge=judge_rollout, owns_pods=owns_pods)
    if kind == (APPS_GROUP, DEPLOYMENT):
        return judge_deployment(workload, progress, pods, below)
    if kind == (APPS_GROUP, "StatefulSet"):
        return judge_stateful_set(workload, progress, pods)
    if kind == (APPS_GROUP, "DaemonSet"):
        return judge_daemon_set(workload, progress, pods)
    if kind in ((APPS_GROUP, REPLICA_SET), (CORE_GROUP, "ReplicationController")):
        return judge_replica_set(workload, progress, pods)
    return judge_custom(workload, pods, below, judge=judge_rollout, owns_pods=owns_pods)
