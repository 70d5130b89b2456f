"""Custom resources: as their conditions say, and as what they own stands.

What kstatus reads of any resource (observed generation, Stalled, Reconciling, Ready) may speak against one that has all
its pods; an operator that says nothing of the kind is judged by its workloads and pods alone.

    its ReplicaSets     those of the highest revision are full, and the others empty or no longer wanted (Argo Rollouts)
    its workloads       each by the rules of its own kind; Jobs only where nothing else runs
    its own pods        all of the newest revision are ready, and none of an older one is left
    nothing             absent, unless others of its kind own pods and it does not say that it is ready

Sources: kubernetes-sigs/cli-utils pkg/kstatus/status; argo-rollouts utils/conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.rollout import Rollout, RolloutCause, RolloutState
from fluxtrail.model.workloads import Pod, Progress, StatusCondition, Workload
from fluxtrail.trail.rollouts.answers import (
    ABSENT,
    PROGRESSING,
    blocked,
    by_sign,
    join,
    not_observed,
    rolled_out,
    with_sign,
)
from fluxtrail.trail.rollouts.causes import find_sign
from fluxtrail.trail.rollouts.families import Member, sort_family
from fluxtrail.trail.rollouts.moments import COMPLETE_REASON, moment_of_pods
from fluxtrail.trail.rollouts.revisions import newest_replica_set, pods_of_owner, updated_pods
from fluxtrail.trail.rollouts.words import join_words
from fluxtrail.trail.workloads.anchors import JOB

Judge = Callable[[Workload, Sequence[Pod], Sequence[Workload]], Rollout]

replace = msgspec.structs.replace

_PAUSED = frozenset({"RolloutPaused", "DeploymentPaused", "Paused"})
_EMPTY = Progress()


def judge_custom(
    workload: Workload, pods: Sequence[Pod], below: Sequence[Workload], *, judge: Judge, owns_pods: bool
) -> Rollout:
    progress = workload.progress or _EMPTY
    if workload.replicas == 0 or progress.is_suspended:
        return ABSENT
    if 0 < progress.observed_generation < workload.generation:
        return not_observed(workload.generation, progress.observed_generation)
    parts = _parts(workload, progress, pods, below, judge)
    if not parts and owns_pods and not _is(progress.find_condition("Ready"), "True"):
        return _why_not(progress, PROGRESSING)
    standing = join(parts)
    if standing.state is RolloutState.ROLLED_OUT:
        return _as_it_says(progress, _dated(workload, progress, standing))
    return _why_not(progress, standing) if standing.state is RolloutState.PROGRESSING else standing


def _parts(
    workload: Workload, progress: Progress, pods: Sequence[Pod], below: Sequence[Workload], judge: Judge
) -> list[Rollout]:
    family = sort_family(pods, below)
    parts = [_of_replica_sets(workload, progress, pods, sets) for sets in family.sets]
    parts += [judge(*member) for member in family.members if member.item.key.kind != JOB]
    parts += [_of_pods(workload, own) for own in family.pods]
    if any(part.state is RolloutState.ROLLED_OUT for part in parts):
        return parts
    return parts + [_of_job(member, judge) for member in family.members if member.item.key.kind == JOB]


def _of_job(member: Member, judge: Judge) -> Rollout:
    """Judge a Job that prepares or tends (a schema, a backup): its operator makes a failed one anew."""
    rollout = judge(*member)
    return replace(rollout, state=RolloutState.BLOCKED) if rollout.state is RolloutState.FAILED else rollout


def _of_replica_sets(workload: Workload, progress: Progress, pods: Sequence[Pod], sets: Sequence[Workload]) -> Rollout:
    """Judge a roll-out that fills ReplicaSets by its own rules. How many it wants, its newest one says."""
    newest = newest_replica_set(workload, sets)
    if newest is None:
        return PROGRESSING
    wanted = newest.replicas or 0
    others = sum(item.replicas or 0 for item in sets if item.uid != newest.uid)
    if wanted <= 0 and others <= 0:
        return ABSENT
    mine = [pod for pod in pods_of_owner(pods, newest) if not pod.is_deleting]
    is_full = wanted > 0 and sum(pod.is_ready for pod in mine) >= wanted
    if is_full and (others <= 0 or _says_complete(progress)):
        return rolled_out(moment_of_pods(workload, mine, wanted=wanted, needed=wanted))
    return by_sign(find_sign(mine))


def _of_pods(workload: Workload, own: Sequence[Pod]) -> Rollout:
    """Judge pods that no workload below makes, as an operator's own; those that ran to their end are done."""
    live = [pod for pod in own if not pod.is_deleting and not pod.is_over]
    if not live:
        sign = find_sign(own)
        is_well = any(pod.phase == "Succeeded" for pod in own)
        if sign is None:
            return rolled_out() if is_well else PROGRESSING
        return with_sign(RolloutState.PROGRESSING if is_well else RolloutState.BLOCKED, sign)
    newest = updated_pods(workload, live)
    if len(newest) == len(live) and all(pod.is_ready for pod in live):
        return rolled_out(moment_of_pods(workload, live, wanted=len(live), needed=len(live)))
    return by_sign(find_sign(newest) or find_sign(live))


def _dated(workload: Workload, progress: Progress, standing: Rollout) -> Rollout:
    """Return it with a moment that is not before Flux's change.

    Where all was there already, an operator that does not say which generation it has seen may not have begun: then
    there is no moment of its own.
    """
    reached, touched = standing.reached, workload.touched_at
    if reached is None or touched is None:
        return standing
    if reached.at < touched:
        reached = exact(touched, Evidence.MANAGED_FIELDS)
    is_unsure = reached.evidence is Evidence.MANAGED_FIELDS and progress.observed_generation == 0
    return replace(standing, reached=None if is_unsure else reached)


def _as_it_says(progress: Progress, standing: Rollout) -> Rollout:
    """Return how it stands whose pods are all there: its own conditions may speak against it."""
    stalled, ready = progress.find_condition("Stalled"), progress.find_condition("Ready")
    if _is(stalled, "True"):
        return blocked(RolloutCause.UNKNOWN, _words(stalled))
    reconciling = progress.find_condition("Reconciling")
    if _is(reconciling, "True"):
        return replace(PROGRESSING, message=_words(reconciling))
    return replace(PROGRESSING, message=_words(ready)) if ready is not None and ready.status != "True" else standing


def _why_not(progress: Progress, standing: Rollout) -> Rollout:
    """Return why it does not get on, where nothing below blocks it: it is paused, out of time, aborted, or stalled."""
    progressing, stalled = progress.find_condition("Progressing"), progress.find_condition("Stalled")
    if progress.is_paused or (progressing is not None and progressing.reason in _PAUSED):
        return blocked(RolloutCause.PAUSED, _words(progressing) or "paused")
    if _is(progressing, "False"):
        told = progressing
    elif _is(stalled, "True"):
        told = stalled
    else:
        return standing
    if standing.cause is not None:
        return replace(standing, state=RolloutState.BLOCKED)
    is_late = told is not None and told.reason == "ProgressDeadlineExceeded"
    return blocked(RolloutCause.DEADLINE if is_late else RolloutCause.UNKNOWN, _words(told))


def _says_complete(progress: Progress) -> bool:
    told = progress.find_condition("Progressing")
    return told is not None and told.status == "True" and told.reason == COMPLETE_REASON


def _is(condition: StatusCondition | None, status: str) -> bool:
    return condition is not None and condition.status == status


def _words(condition: StatusCondition | None) -> str:
    return join_words(condition.reason, condition.message) if condition is not None else ""
