"""Why a workload does not get on: what its pods, and what is said of it, tell; the most telling sign wins.

A sign that blocks goes before one that may pass by itself, then `ORDER` decides, then the pod's and container's names:
the same pods in any order give the same answer. Pods are those of the newest revision: what is wrong with an older
one is no reason, unless it keeps the newest from its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from fluxtrail.model.rollout import RolloutCause
from fluxtrail.model.workloads import ContainerKind, ContainerRun, ContainerTrouble, Pod, StatusCondition
from fluxtrail.trail.rollouts.words import (
    LOST_REASONS,
    cause_of_pod,
    cause_of_refusal,
    cause_of_waiting,
    join_words,
)

ORDER: Final = (
    RolloutCause.PAUSED,
    RolloutCause.QUOTA,
    RolloutCause.REFUSED,
    RolloutCause.IMAGE_PULL,
    RolloutCause.CONFIGURATION,
    RolloutCause.OUT_OF_MEMORY,
    RolloutCause.CRASH_LOOP,
    RolloutCause.VOLUME,
    RolloutCause.UNSCHEDULABLE,
    RolloutCause.SANDBOX,
    RolloutCause.NODE_LOST,
    RolloutCause.PROBE,
    RolloutCause.EVICTED,
    RolloutCause.MANUAL,
    RolloutCause.JOB_FAILED,
    RolloutCause.DEADLINE,
    RolloutCause.GONE,
    RolloutCause.NOT_OBSERVED,
    RolloutCause.UNKNOWN,
)
"""The most telling first: what somebody must change, where it cannot run, what may pass, and last that it is late."""

_RANK: Final = {cause: rank for rank, cause in enumerate(ORDER)}

PATIENCE = 3
"""Restarts after which a container that runs once more is taken to end again: between two back-offs it runs a while."""

_KILLED = frozenset({137, 143})
"""SIGKILL and SIGTERM: kubelet ends a container whose liveness or startup probe fails."""


class Sign(NamedTuple):
    cause: RolloutCause
    is_blocking: bool
    """Nothing gets on while it is so; otherwise it may well pass by itself."""
    message: str = ""
    pod: str = ""
    container: str = ""

    @property
    def rank(self) -> tuple[bool, int, str, str, str]:
        return not self.is_blocking, _RANK[self.cause], self.pod, self.container, self.message


def find_sign(pods: Iterable[Pod]) -> Sign | None:
    """Return the most telling sign of pods; None where nothing speaks against any."""
    return most_telling(sign for pod in pods for sign in signs_of(pod))


def most_telling(signs: Iterable[Sign | None]) -> Sign | None:
    found = [sign for sign in signs if sign is not None]
    return min(found, key=lambda sign: sign.rank) if found else None


def signs_of(pod: Pod) -> Iterator[Sign]:
    """Yield what speaks against a pod.

    One that is on its way out in the ordinary way says nothing, and what became of a finished one is only a first
    sign: its owner makes another in its place.
    """
    if pod.is_ready and not pod.is_deleting:
        return
    if is_lost(pod):
        yield _of_pod(pod, RolloutCause.NODE_LOST, is_blocking=True)
        return
    if pod.is_deleting or pod.phase == "Succeeded":
        return
    own = cause_of_pod(pod.trouble.reason, pod.trouble.message) if pod.trouble is not None else None
    if own is not None:
        yield _of_pod(pod, own, is_blocking=not pod.is_over and own is not RolloutCause.PROBE)
    for run in pod.containers:
        found = _of_container(pod, run)
        if found is not None:
            yield found


def is_lost(pod: Pod) -> bool:
    """Whether a pod is on a node that is not heard of.

    Nobody says so in one word: the node controller turns the pod's `Ready` off and leaves its containers as the node
    last reported them, ready. A node never reports that itself, save for a readiness gate, which has its reason.
    Source: `MarkPodsNotReady` of pkg/controller/util/node.
    """
    reason = pod.trouble.reason if pod.trouble is not None else ""
    if reason in LOST_REASONS:
        return True
    if pod.is_ready or pod.is_over or not pod.node or reason:
        return False
    return bool(pod.containers) and all(run.is_ready for run in pod.containers)


def find_refusal(condition: StatusCondition | None) -> Sign | None:
    """Return why pods are not made, of a `ReplicaFailure` condition. Only ReplicaSets and Deployments say so."""
    if condition is None or condition.status != "True":
        return None
    return Sign(cause_of_refusal(condition.message), True, join_words(condition.reason, condition.message))


def _of_pod(pod: Pod, cause: RolloutCause, *, is_blocking: bool) -> Sign:
    words = join_words(pod.trouble.reason, pod.trouble.message) if pod.trouble is not None else ""
    return Sign(cause, is_blocking, words, pod.name)


def _of_container(pod: Pod, run: ContainerRun) -> Sign | None:
    trouble = run.trouble
    if trouble is None or run.is_ready:
        return None
    cause = _cause_of(run, trouble)
    if cause is None:
        return None
    is_blocking = not pod.is_over and _is_blocking(run, trouble)
    return Sign(cause, is_blocking, _words_of(trouble), pod.name, run.name)


def _cause_of(run: ContainerRun, trouble: ContainerTrouble) -> RolloutCause | None:
    waiting = cause_of_waiting(trouble.waiting)
    if waiting is not None and waiting is not RolloutCause.CRASH_LOOP:
        return waiting
    if waiting is None and not trouble.is_running and not trouble.ended:
        return None  # ContainerCreating, PodInitializing: a network or a volume that does not come looks the same
    ended = _cause_of_end(run, trouble)
    if ended is not None:
        return ended
    if waiting is not None:
        return waiting
    # An init container that runs does its work: it has no probe, and is ready when it has ended.
    return RolloutCause.PROBE if trouble.is_running and run.kind is not ContainerKind.INIT else None


def _cause_of_end(run: ContainerRun, trouble: ContainerTrouble) -> RolloutCause | None:
    """Return what the newest termination tells; None of a good end, and where there was none."""
    if trouble.ended == "OOMKilled":
        return RolloutCause.OUT_OF_MEMORY
    if trouble.ended == "ContainerStatusUnknown":
        return RolloutCause.NODE_LOST
    if cause_of_waiting(trouble.ended) is RolloutCause.CONFIGURATION:
        return RolloutCause.CONFIGURATION
    if trouble.exit_code in (None, 0):
        return None
    is_probed = run.restarts > 0 and trouble.exit_code in _KILLED
    return RolloutCause.PROBE if is_probed else RolloutCause.CRASH_LOOP


def _is_blocking(run: ContainerRun, trouble: ContainerTrouble) -> bool:
    """Whether a container will not come up by itself, as far as one look tells.

    What has ended once or twice may have been early (before its database, say). So may what runs and is not ready.
    """
    return cause_of_waiting(trouble.waiting) is not None or run.restarts >= PATIENCE


def _words_of(trouble: ContainerTrouble) -> str:
    if trouble.waiting in ("", "CrashLoopBackOff") and trouble.ended:
        code = f"exit code {trouble.exit_code}" if trouble.exit_code is not None else ""
        ended = join_words(trouble.ended, code).replace(": exit", ", exit")
        words = join_words(f"{trouble.waiting}, {ended}" if trouble.waiting else ended, trouble.message)
    else:
        words = join_words(trouble.waiting, trouble.message)
    if words or not trouble.is_running:
        return words
    return "running, not ready" if trouble.has_started else "running, not started"
