"""StatefulSets: pods are replaced one by one from the highest ordinal down to the partition.

With `OnDelete`, or a partition that spares all of them, pods keep the old template until somebody acts: manual. With a
partition that lets some through, those are what was asked for. A pod of an older template that is not ready keeps the
newer one from its place (`OrderedReady`): where no new pod tells, its trouble is the reason.

Sources: pkg/controller/statefulset/stateful_set_control.go; `rollout status` of kubectl.
"""

from __future__ import annotations

from collections.abc import Sequence

from fluxtrail.model.rollout import Rollout, RolloutCause
from fluxtrail.model.workloads import Pod, Progress, Workload
from fluxtrail.trail.rollouts.answers import ABSENT, blocked, by_sign, needed_of, not_observed, rolled_out
from fluxtrail.trail.rollouts.causes import find_sign
from fluxtrail.trail.rollouts.moments import moment_of_pods
from fluxtrail.trail.rollouts.revisions import updated_pods

ON_DELETE = "OnDelete"


def judge_stateful_set(workload: Workload, progress: Progress, pods: Sequence[Pod]) -> Rollout:
    if progress.wanted <= 0:
        return ABSENT
    if progress.observed_generation < max(workload.generation, 1):
        return not_observed(workload.generation, progress.observed_generation)
    newest = updated_pods(workload, pods)
    partition = 0 if progress.strategy == ON_DELETE else max(progress.partition, 0)
    target = max(progress.wanted - partition, 0)
    if target == 0:
        return _spared(workload, progress, pods)
    needed = needed_of(target, progress)
    if progress.updated >= target and _are_available(progress, newest, partition, needed):
        return rolled_out(moment_of_pods(workload, newest, wanted=target, needed=needed))
    sign = find_sign(newest) or find_sign(pods)
    if sign is None and progress.strategy == ON_DELETE and progress.total > progress.updated:
        return blocked(RolloutCause.MANUAL, "OnDelete: pods keep their template until they are deleted")
    return by_sign(sign)


def _spared(workload: Workload, progress: Progress, pods: Sequence[Pod]) -> Rollout:
    """Judge one whose partition lets no pod through: a new template reaches none."""
    revisions = {workload.update_revision, progress.current_revision} - {""}
    if len(revisions) > 1 and progress.updated < progress.wanted:
        return blocked(RolloutCause.MANUAL, f"partition {progress.partition}: no pod gets the new template")
    needed = needed_of(progress.wanted, progress)
    if progress.total >= progress.wanted and _available(progress) >= needed:
        newest = updated_pods(workload, pods)
        return rolled_out(moment_of_pods(workload, newest, wanted=progress.wanted, needed=needed))
    return by_sign(find_sign(pods))


def _are_available(progress: Progress, newest: Sequence[Pod], partition: int, needed: int) -> bool:
    """Whether enough updated pods are available.

    Old pods below a partition stay, and the status does not say which are available: where all of them off is too
    few, the updated pods themselves may tell. What `minReadySeconds` asks beyond ready they do not.
    """
    old = max(progress.total - progress.updated, 0)
    if _available(progress) - old >= needed:
        return True
    is_told = partition > 0 and progress.min_ready_seconds <= 0 and _available(progress) >= needed
    return is_told and sum(pod.is_ready for pod in newest) >= needed


def _available(progress: Progress) -> int:
    """Return how many pods are available; before Kubernetes 1.22 a StatefulSet only said how many are ready."""
    return progress.available if progress.min_ready_seconds > 0 else max(progress.available, progress.ready)
