"""DaemonSets: one pod a node. How many are wanted is the controller's own count, so an unread generation tells nothing.

A pod on a node that is not heard of can be neither replaced nor ready, and the status counts it all the same: where
there are such pods, they are taken off what is wanted, and the others must be there.

Source: pkg/controller/daemon/daemon_controller.go, update.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from fluxtrail.model.moment import Moment
from fluxtrail.model.rollout import Rollout, RolloutCause
from fluxtrail.model.workloads import Pod, Progress, Workload
from fluxtrail.trail.rollouts.answers import (
    ABSENT,
    available_updated,
    blocked,
    by_sign,
    needed_of,
    not_observed,
    rolled_out,
)
from fluxtrail.trail.rollouts.causes import find_sign, is_lost
from fluxtrail.trail.rollouts.moments import moment_of_pods
from fluxtrail.trail.rollouts.revisions import updated_pods
from fluxtrail.trail.rollouts.stateful_sets import ON_DELETE


def judge_daemon_set(workload: Workload, progress: Progress, pods: Sequence[Pod]) -> Rollout:
    if progress.observed_generation < max(workload.generation, 1):
        return not_observed(workload.generation, progress.observed_generation)
    if progress.wanted <= 0:
        return ABSENT
    newest = updated_pods(workload, pods)
    needed = needed_of(progress.wanted, progress)
    if progress.updated >= progress.wanted and available_updated(progress) >= needed:
        return rolled_out(_moment(workload, newest, wanted=progress.wanted, needed=needed))
    reached = _judge_ready_nodes(workload, progress, pods, newest)
    if reached is not None:
        return reached
    sign = find_sign(newest) or find_sign(pod for pod in pods if is_lost(pod))
    if sign is None and progress.strategy == ON_DELETE and progress.total > progress.updated:
        return blocked(RolloutCause.MANUAL, "OnDelete: pods keep their template until they are deleted")
    return by_sign(sign)


def _judge_ready_nodes(
    workload: Workload, progress: Progress, pods: Sequence[Pod], newest: Sequence[Pod]
) -> Rollout | None:
    """Judge by the nodes that are heard of; None if all are, or too few run it.

    Both the status and the pods must show enough: the two streams have no order, and a pod that one still counts as
    available may be the one that the other calls lost.
    """
    lost = {pod.node for pod in pods if is_lost(pod)}
    wanted = progress.wanted - len(lost)
    if not lost or wanted < 1:
        return None
    here = [pod for pod in newest if pod.node not in lost]
    needed = needed_of(wanted, progress)
    nodes = {pod.node for pod in here}  # a surging one has two pods on a node
    ready = {pod.node for pod in here if pod.is_ready}
    is_done = len(nodes) >= wanted and min(len(ready), progress.available, progress.updated) >= needed
    return rolled_out(_moment(workload, here, wanted=wanted, needed=needed)) if is_done else None


def _moment(workload: Workload, pods: Sequence[Pod], *, wanted: int, needed: int) -> Moment | None:
    """Return when enough was there; None while no pod of the very template is seen.

    The pods that are held may then be of the one before: no status says which hash a DaemonSet's newest template has.
    """
    is_seen = workload.revision == 0 or any(pod.generation == workload.revision for pod in pods)
    return moment_of_pods(workload, pods, wanted=wanted, needed=needed) if is_seen else None
