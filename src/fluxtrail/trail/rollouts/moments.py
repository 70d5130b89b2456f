"""When a workload had rolled out, by the cluster's own clocks.

A pod is available `minReadySeconds` after its `Ready` condition became True, which is a timestamp of the node; whether
somebody watched does not matter. Only what pods do not tell is bounded by a Deployment's own condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from fluxtrail.model.moment import Evidence, Moment, bracket, exact
from fluxtrail.model.workloads import Pod, StatusCondition, Workload

COMPLETE_REASON = "NewReplicaSetAvailable"


def moment_of_pods(workload: Workload, pods: Sequence[Pod], *, wanted: int, needed: int) -> Moment | None:
    """Return when `wanted` pods had been made and `needed` of them were available; None if these pods do not tell.

    Never before Flux last changed the workload: a change that leaves the template as it is finds its pods there. A pod
    that was ready, failed and is ready again counts from then: the API keeps no earlier moment.

    Args:
        pods: of the newest template.
        wanted: how many the roll-out is to make.
        needed: how many of them must be available.
    """
    seconds = workload.progress.min_ready_seconds if workload.progress is not None else 0
    made = sorted(pod.created_at for pod in pods if pod.created_at is not None)
    available = sorted(at for pod in pods if (at := _available_at(pod, seconds)) is not None)
    if wanted < 1 or needed < 1 or len(made) < wanted or len(available) < needed:
        return None
    return not_before_touch(max(made[wanted - 1], available[needed - 1]), workload)


def moment_of_deployment(
    workload: Workload, pods: Sequence[Pod], *, wanted: int, needed: int, condition: StatusCondition | None
) -> Moment | None:
    """Return as `moment_of_pods`, but never later than the Deployment itself said it was done.

    It says so once no old pod is left, so its time is a bound, and one of this roll-out only if Flux's change came
    before. With it, pods that were made or failed since do not move a roll-out that nobody saw.
    """
    told = moment_of_pods(workload, pods, wanted=wanted, needed=needed)
    touched = workload.touched_at
    if condition is None or condition.status != "True" or condition.reason != COMPLETE_REASON:
        return told
    done = condition.updated_at
    if done is None or touched is None or done < touched or (told is not None and told.at <= done):
        return told
    return bracket(touched, done, evidence=Evidence.ROLLOUT_CONDITION)


def not_before_touch(at: datetime, workload: Workload, evidence: Evidence = Evidence.PODS_READY) -> Moment:
    touched = workload.touched_at
    return exact(touched, Evidence.MANAGED_FIELDS) if touched is not None and touched > at else exact(at, evidence)


def latest(moments: Iterable[Moment | None]) -> Moment | None:
    """Return when the last of several had rolled out; None if one does not tell."""
    found = list(moments)
    known = [each for each in found if each is not None]
    return (
        max(known, key=lambda each: (each.at, each.evidence, each.earliest))
        if known and len(known) == len(found)
        else None
    )


def _available_at(pod: Pod, min_ready_seconds: int) -> datetime | None:
    if pod.ready_at is None:
        return None
    try:
        return pod.ready_at + timedelta(seconds=max(min_ready_seconds, 0))
    except OverflowError:
        return None
