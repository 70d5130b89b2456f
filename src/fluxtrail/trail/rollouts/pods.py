"""Pods that are themselves in a manifest: nobody makes another when one is over."""

from __future__ import annotations

from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.rollout import Rollout, RolloutCause, RolloutState
from fluxtrail.model.workloads import Pod
from fluxtrail.trail.rollouts.answers import BEING_DELETED, by_sign, rolled_out, with_sign
from fluxtrail.trail.rollouts.causes import find_sign
from fluxtrail.trail.rollouts.words import join_words


def judge_pod(pod: Pod) -> Rollout:
    """Judge a bare pod: ready, or over and well, is running; when one was over the API does not keep with the pod."""
    if pod.phase == "Succeeded":
        return rolled_out()
    if pod.phase == "Failed":
        sign = find_sign([pod])
        if sign is not None:
            return with_sign(RolloutState.FAILED, sign)
        words = join_words(pod.trouble.reason, pod.trouble.message) if pod.trouble is not None else ""
        return Rollout(
            state=RolloutState.FAILED, cause=RolloutCause.UNKNOWN, message=words or "phase Failed", pod=pod.name
        )
    if pod.is_deleting:
        return BEING_DELETED
    if pod.is_ready:
        return rolled_out(exact(pod.ready_at, Evidence.PODS_READY) if pod.ready_at is not None else None)
    return by_sign(find_sign([pod]))
