"""The answers that the rules of all kinds have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fluxtrail.model.moment import Moment
from fluxtrail.model.rollout import Rollout, RolloutCause, RolloutState
from fluxtrail.model.workloads import Progress
from fluxtrail.trail.rollouts.causes import ORDER, Sign
from fluxtrail.trail.rollouts.moments import latest

ABSENT: Final = Rollout(state=RolloutState.ABSENT)
PROGRESSING: Final = Rollout(state=RolloutState.PROGRESSING)
BEING_DELETED: Final = Rollout(state=RolloutState.BLOCKED, cause=RolloutCause.GONE, message="being deleted")

_WORST = (
    RolloutState.FAILED,
    RolloutState.BLOCKED,
    RolloutState.PROGRESSING,
    RolloutState.ROLLED_OUT,
    RolloutState.ABSENT,
)


def rolled_out(reached: Moment | None = None) -> Rollout:
    return Rollout(state=RolloutState.ROLLED_OUT, reached=reached)


def not_observed(generation: int, observed: int) -> Rollout:
    return Rollout(
        state=RolloutState.PROGRESSING,
        cause=RolloutCause.NOT_OBSERVED,
        message=f"generation {generation}, observed {observed}",
    )


def blocked(cause: RolloutCause, message: str = "") -> Rollout:
    return Rollout(state=RolloutState.BLOCKED, cause=cause, message=message)


def by_sign(sign: Sign | None) -> Rollout:
    """Return what a sign makes of a roll-out that is not done."""
    if sign is None:
        return PROGRESSING
    return with_sign(RolloutState.BLOCKED if sign.is_blocking else RolloutState.PROGRESSING, sign)


def with_sign(state: RolloutState, sign: Sign) -> Rollout:
    return Rollout(state=state, cause=sign.cause, message=sign.message, pod=sign.pod, container=sign.container)


def needed_of(wanted: int, progress: Progress) -> int:
    """Return how many pods must be available. At least one: a roll-out that leaves none running has not arrived.

    A DaemonSet's `maxUnavailable` is 1 where nothing is said, so that on one node it would ask for none.
    """
    return max(wanted - max(progress.max_unavailable, 0), 1) if wanted > 0 else 0


def available_updated(progress: Progress) -> int:
    """Return how many updated pods are surely available: the status counts the old ones too, so all of those go off."""
    return progress.available - max(progress.total - progress.updated, 0)


def join(parts: Iterable[Rollout]) -> Rollout:
    """Return how several stand together: as the worst, and of those as the most telling."""
    found = list(parts)
    if not found:
        return ABSENT
    worst = min(found, key=_badness)
    if worst.state is not RolloutState.ROLLED_OUT:
        return worst
    return rolled_out(latest(each.reached for each in found if each.state is RolloutState.ROLLED_OUT))


def _badness(rollout: Rollout) -> tuple[int, int, str, str, str]:
    rank = ORDER.index(rollout.cause) if rollout.cause is not None else len(ORDER)
    return _WORST.index(rollout.state), rank, rollout.pod, rollout.container, rollout.message
