"""Why a pod, or a container of it, is not ready: from what the API server sends to what is kept of it.

Of what is ready nothing is kept. What many say in the same words (`ContainerCreating`) is kept once.
"""

from __future__ import annotations

from functools import lru_cache

from fluxtrail.model.kept import MAX_COUNT, clear_message, word
from fluxtrail.model.wire_workloads import WireContainerState, WireContainerStatus, WirePodStatus
from fluxtrail.model.workloads import ContainerTrouble, PodTrouble

_SAYS_NOTHING = frozenset({"", "ContainersNotReady", "PodCompleted", "PodFailed"})
"""Reasons of `Ready` that the containers, or the phase, say better; so that a node that is lost leaves none."""


def container_trouble(wire: WireContainerStatus) -> ContainerTrouble | None:
    """Return why a container is not ready; None of one that is, and where the node has said nothing of it."""
    state = wire.state or WireContainerState()
    if wire.ready or (state.running is None and state.waiting is None and state.terminated is None):
        return None
    waiting = state.waiting
    ended = state.terminated or (wire.last_state.terminated if wire.last_state else None)
    message = (waiting.message if waiting else None) or (ended.message if ended else None)
    return _kept_trouble(
        word(waiting.reason) if waiting else "",
        word(ended.reason) if ended else "",
        _bounded(ended.exit_code) if ended else None,
        clear_message(message),
        state.running is not None,
        bool(wire.started),
    )


@lru_cache(maxsize=256)
def _kept_trouble(
    waiting: str, ended: str, exit_code: int | None, message: str, is_running: bool, has_started: bool
) -> ContainerTrouble:
    return ContainerTrouble(
        waiting=waiting,
        ended=ended,
        exit_code=exit_code,
        message=message,
        is_running=is_running,
        has_started=has_started,
    )


def pod_trouble(wire: WirePodStatus) -> PodTrouble | None:
    """Return what a pod that is not ready says of itself: the pod's own reason first, then of its conditions the one
    that explains the others.
    """
    if wire.reason:
        return _pod_trouble(wire.reason, wire.message)
    conditions = {each.type: each for each in wire.conditions or () if each is not None}
    for kind, status in (("DisruptionTarget", "True"), ("PodScheduled", "False")):
        found = conditions.get(kind)
        if found is not None and found.status == status and found.reason:
            return _pod_trouble(found.reason, found.message)
    ready = conditions.get("Ready")
    if ready is None or (ready.reason or "") in _SAYS_NOTHING:
        return None
    return _pod_trouble(ready.reason or "", ready.message)


def _pod_trouble(reason: str, message: str | None) -> PodTrouble:
    return PodTrouble(word(reason), clear_message(message))


def _bounded(number: int | None) -> int | None:
    return None if number is None else max(-MAX_COUNT, min(number, MAX_COUNT))
