"""How a workload stands, and since when: the first time that a generation rolled out is kept for ever.

A latch knows nothing of syncs: whatever order the streams come in, the same states of a workload latch the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from fluxtrail.model.moment import Evidence, Moment, Precision, bracket, observed
from fluxtrail.model.rollout import Rollout, RolloutState
from fluxtrail.model.running_records import WorkloadRecord

replace = msgspec.structs.replace

CLOCK_SLACK = timedelta(seconds=2)
"""A cluster's own timestamp may be this much ahead of our clock."""
STREAM_SLACK = timedelta(seconds=2)
"""By which what is seen may be behind what is so."""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """How the state that is judged was seen."""

    at: datetime
    was_held: bool
    """The workload was watched without a gap since it was judged before."""
    not_before: datetime | None
    generation: int
    """Of the object that was judged."""
    digests: dict[str, str] = {}


def next_record(before: WorkloadRecord, rollout: Rollout, sight: Sight) -> WorkloadRecord:
    """Return a workload's record given how it stands now; the same answer however often asked."""
    after = replace(
        before,
        state=rollout.state,
        cause=rollout.cause,
        message=rollout.message,
        pod=rollout.pod,
        container=rollout.container,
        digests=sight.digests,
        deleted_at=None,
    )
    if (after.state, after.cause) != (before.state, before.cause):
        after = replace(after, since=sight.at)
    if rollout.state is RolloutState.ROLLED_OUT and sight.generation > before.rolled_generation:
        after = replace(after, rolled_generation=sight.generation, rolled=_moment(before, rollout, sight))
    elif sight.generation == before.rolled_generation and before.rolled is not None:
        after = replace(after, rolled=_refined(before.rolled, rollout.reached))
    return after if after == before else replace(after, observed_at=sight.at)


def latch_glimpse(before: WorkloadRecord, rollout: Rollout | None, glimpse: Sight) -> WorkloadRecord:
    """Return a record whose roll-out was seen before there was time to judge it.

    Args:
        rollout: as that generation stands by now, or stood when it was seen; None where nobody knows.
    """
    if glimpse.generation <= before.rolled_generation:
        return before
    if rollout is None or rollout.state is not RolloutState.ROLLED_OUT:
        rollout = Rollout(state=RolloutState.ROLLED_OUT)
    moment = _moment(before, rollout, glimpse)
    return replace(
        before, rolled_generation=glimpse.generation, rolled=moment, observed_at=max(before.observed_at, glimpse.at)
    )


def _refined(rolled: Moment, told: Moment | None) -> Moment:
    """Return the cluster's own moment in place of ours: its pods may be heard of later than that they are available."""
    if told is None or told.precision is not Precision.EXACT or rolled.precision is Precision.EXACT:
        return rolled
    is_within = (rolled.not_before or told.at) <= told.at + CLOCK_SLACK and told.at <= rolled.latest + CLOCK_SLACK
    return told if is_within else rolled


def _moment(before: WorkloadRecord, rollout: Rollout, sight: Sight) -> Moment:
    """Date a roll-out: by the cluster's own clock where it tells, so that a restart in between changes nothing."""
    told = rollout.reached
    is_told = told is not None and told.at <= sight.at + CLOCK_SLACK
    if told is not None and is_told and (told.precision is Precision.EXACT or not sight.was_held):
        return told
    if sight.was_held:
        return observed(sight.at, Evidence.ROLLOUT_OBSERVED, not_before=sight.not_before)
    not_before = (sight.not_before or before.observed_at) - STREAM_SLACK
    return bracket(not_before, sight.at, evidence=Evidence.ROLLOUT_OBSERVED)
