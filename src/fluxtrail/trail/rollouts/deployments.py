"""Deployments, and ReplicaSets that nothing controls.

    unread generation          progressing, not_observed
    zero wanted                absent, at once
    updated and available      rolled out, paused or not, whatever old pods are left
    paused                     blocked: nobody goes on with it
    pods are not made          blocked: quota, or refused
    newest pods in trouble     blocked or progressing, with their cause
    ProgressDeadlineExceeded   blocked: with the cause of the pods, else deadline

Sources: `DeploymentComplete` of pkg/controller/deployment/util; `rollout status` of kubectl, which also waits for old
pods to be gone; that is not asked here: the new ones run.
"""

from __future__ import annotations

from collections.abc import Sequence

from fluxtrail.model.rollout import Rollout, RolloutCause, RolloutState
from fluxtrail.model.workloads import Pod, Progress, Workload
from fluxtrail.trail.rollouts.answers import (
    ABSENT,
    available_updated,
    blocked,
    by_sign,
    needed_of,
    not_observed,
    rolled_out,
    with_sign,
)
from fluxtrail.trail.rollouts.causes import Sign, find_refusal, find_sign, is_lost, most_telling
from fluxtrail.trail.rollouts.moments import moment_of_deployment, moment_of_pods
from fluxtrail.trail.rollouts.revisions import updated_pods
from fluxtrail.trail.rollouts.words import join_words

DEADLINE_REASON = "ProgressDeadlineExceeded"
RECREATE = "Recreate"


def judge_deployment(workload: Workload, progress: Progress, pods: Sequence[Pod], below: Sequence[Workload]) -> Rollout:
    if progress.wanted <= 0:
        return ABSENT
    if progress.observed_generation < workload.generation:
        return not_observed(workload.generation, progress.observed_generation)
    newest = updated_pods(workload, pods, below)
    needed = progress.wanted if progress.strategy == RECREATE else needed_of(progress.wanted, progress)
    if progress.updated >= progress.wanted and available_updated(progress) >= needed:
        condition = progress.find_condition("Progressing")
        return rolled_out(
            moment_of_deployment(workload, newest, wanted=progress.wanted, needed=needed, condition=condition)
        )
    if progress.is_paused:
        return blocked(RolloutCause.PAUSED, "paused")
    shown = newest if progress.updated > 0 else []  # nothing is made yet: what is there is of the template before
    sign = most_telling([find_refusal(progress.find_condition("ReplicaFailure")), find_sign(shown)])
    return _late(progress, sign or _of_old_pods(progress, pods))


def judge_replica_set(workload: Workload, progress: Progress, pods: Sequence[Pod]) -> Rollout:
    """Judge a bare ReplicaSet, or a ReplicationController: pods that are there keep their template for good."""
    if progress.wanted <= 0:
        return ABSENT
    if progress.observed_generation < workload.generation:
        return not_observed(workload.generation, progress.observed_generation)
    if progress.total >= progress.wanted and progress.available >= progress.wanted:
        live = [pod for pod in pods if not pod.is_deleting]
        return rolled_out(moment_of_pods(workload, live, wanted=progress.wanted, needed=progress.wanted))
    return by_sign(most_telling([find_refusal(progress.find_condition("ReplicaFailure")), find_sign(pods)]))


def _of_old_pods(progress: Progress, pods: Sequence[Pod]) -> Sign | None:
    """Return what keeps old pods from going, where the new ones wait for that: `Recreate` starts with none."""
    if progress.strategy != RECREATE or progress.updated > 0:
        return None
    return find_sign(pod for pod in pods if pod.is_deleting and is_lost(pod))


def _late(progress: Progress, sign: Sign | None) -> Rollout:
    """Return how a roll-out stands that is not done: its deadline makes a first sign a reason."""
    progressing = progress.find_condition("Progressing")
    if progressing is None or progressing.reason != DEADLINE_REASON:
        return by_sign(sign)
    if sign is None:
        return blocked(RolloutCause.DEADLINE, join_words(progressing.reason, progressing.message))
    return with_sign(RolloutState.BLOCKED, sign)
