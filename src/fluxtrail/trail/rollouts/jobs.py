"""Jobs: done is done, whatever the counts; a retry goes on, and only its own word makes a Job failed.

A Job has no observed generation: what it is to run cannot be changed. `SuccessCriteriaMet` and `FailureTarget` say how
it ends while its last pods still go; the answer is taken from the first to say so, since the second only follows.

Source: pkg/controller/job/job_controller.go; KEP-3998, KEP-3939.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.rollout import Rollout, RolloutCause, RolloutState
from fluxtrail.model.workloads import Pod, Progress, StatusCondition, Workload
from fluxtrail.trail.rollouts.answers import ABSENT, BEING_DELETED, by_sign, rolled_out
from fluxtrail.trail.rollouts.causes import Sign, find_sign
from fluxtrail.trail.rollouts.words import join_words

DEADLINE_REASON = "DeadlineExceeded"


def judge_job(workload: Workload, progress: Progress, pods: Sequence[Pod]) -> Rollout:
    complete = _find_true(progress, "SuccessCriteriaMet", "Complete")
    if complete is not None:
        at = _completed_at(progress)
        return rolled_out(exact(at, Evidence.JOB_COMPLETED) if at is not None else None)
    failed = _find_true(progress, "Failed", "FailureTarget")
    if failed is not None:
        return _failed(failed, find_sign(pods))
    if workload.is_deleting:
        return BEING_DELETED
    suspended = _find_true(progress, "Suspended")
    return ABSENT if progress.is_suspended or suspended is not None else by_sign(find_sign(pods))


def _find_true(progress: Progress, *kinds: str) -> StatusCondition | None:
    found = (progress.find_condition(kind) for kind in kinds)
    return next((each for each in found if each is not None and each.status == "True"), None)


def _completed_at(progress: Progress) -> datetime | None:
    """Return when it was known to succeed: the same whether its end was seen coming or only afterwards."""
    met = _find_true(progress, "SuccessCriteriaMet")
    complete = _find_true(progress, "Complete")
    told = [each.updated_at for each in (met, complete) if each is not None]
    return min((at for at in (*told, progress.completed_at) if at is not None), default=None)


def _failed(condition: StatusCondition, sign: Sign | None) -> Rollout:
    """Return a failed Job with what its pods say beyond that they ended: that they did is what failed means."""
    is_deadline = condition.reason == DEADLINE_REASON
    own = RolloutCause.DEADLINE if is_deadline else RolloutCause.JOB_FAILED
    words = join_words(condition.reason, condition.message)
    if sign is None:
        return Rollout(state=RolloutState.FAILED, cause=own, message=words)
    cause = own if sign.cause in (RolloutCause.CRASH_LOOP, RolloutCause.PROBE) else sign.cause
    message = f"{words} ({sign.message})"[:1024] if words and sign.message else words or sign.message
    return Rollout(state=RolloutState.FAILED, cause=cause, message=message, pod=sign.pod, container=sign.container)
