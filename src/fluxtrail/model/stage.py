"""The stages of a commit's way, and how long each took."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

import msgspec

from fluxtrail.model.moment import Moment, Precision

INVERSION_TOLERANCE = timedelta(seconds=2)
"""Two clocks may disagree by this much; a pair further apart is left out of figures, shown and counted."""


class Stage(StrEnum):
    MERGED = "merged"
    BUILT = "built"
    EXPORTED = "exported"
    FETCHED = "fetched"
    APPLIED = "applied"
    HEALTHY = "healthy"
    RUNNING = "running"


STAGES = tuple(Stage)
_BESIDE = {Stage.RUNNING: Stage.HEALTHY}
"""Stages that are on their way at once: roll-outs begin when something is applied, as Flux's own checks do, and either
may end first. Running is counted from what comes before both."""

Moments = Mapping[Stage, Moment]
"""What is known of one delivery. A stage that does not exist for a target is absent, not zero."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Time spent on the way to `stage`, counted from the nearest earlier stage that is known."""

    stage: Stage
    since: Stage
    seconds: float
    is_estimated: bool
    is_inverted: bool
    """The later stage is dated before the earlier one, by more than the tolerance: no figure."""


def interval_between(since: Stage, start: Moment, stage: Stage, end: Moment) -> Interval:
    """Return the interval between two moments: within the tolerance an inverted pair counts as 0 s.

    An estimate stands at its latest instant, so one that begins an interval may lie behind the end without any clock
    being wrong: it is inverted only where even its earliest instant does.
    """
    lasted = end.at - start.at
    is_open = start.precision is Precision.ESTIMATED and start.not_before is not None
    is_inverted = end.at - (start.earliest if is_open else start.at) < -INVERSION_TOLERANCE
    return Interval(
        stage=stage,
        since=since,
        seconds=lasted.total_seconds() if is_inverted else max(lasted.total_seconds(), 0.0),
        is_estimated=Precision.ESTIMATED in (start.precision, end.precision),
        is_inverted=is_inverted,
    )


def stage_intervals(moments: Moments) -> list[Interval]:
    """Return the interval that led to each known stage after the first, in the order of the stages.

    Each is counted from the nearest stage before it; `running` from the nearest before `healthy`.
    """
    known = [stage for stage in STAGES if stage in moments]
    found = []
    for index, stage in enumerate(known[1:], start=1):
        earlier = [one for one in known[:index] if one is not _BESIDE.get(stage)]
        if earlier:
            found.append(interval_between(earlier[-1], moments[earlier[-1]], stage, moments[stage]))
    return found


def lead_time(moments: Moments, *, until: Stage = Stage.APPLIED) -> Interval | None:
    """Return merged → `until`, or None while either is unknown."""
    start, end = moments.get(Stage.MERGED), moments.get(until)
    if start is None or end is None:
        return None
    return interval_between(Stage.MERGED, start, until, end)
