"""How a workload stands, and since when: the first time that a generation rolled out is kept for ever.

A latch knows nothing of syncs: whatever order the streams come in, the same states of a workload latch the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from fluxtrail.model.moment import Evidence, Moment, bracket, observed
from fluxtrail.model.rollout import Rollout, RolloutState
from fluxtrail.model.running_records import WorkloadRecord

replace = msgspec.structs.replace

CLOCK_SLACK = timedelta(seconds=2)
"""A cluster's own timestamp may be this much ahead of our clock."""


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
    return after if after == before else replace(after, observed_at=sight.at)


def _moment(before: WorkloadRecord, rollout: Rollout, sight: Sight) -> Moment:
    """Date a roll-out: by the cluster's own clock where it tells, so that a restart in between changes nothing."""
    told = rollout.reached
    if told is not None and told.at <= sight.at + CLOCK_SLACK:
        return told
    if sight.was_held:
        return observed(sight.at, Evidence.ROLLOUT_OBSERVED, not_before=sight.not_before)
    return bracket(sight.not_before or before.observed_at, sight.at, evidence=Evidence.ROLLOUT_OBSERVED)
