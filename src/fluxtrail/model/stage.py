"""The stages of a commit's way, and how long each took."""

import itertools
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
    """Return the interval between two moments: within the tolerance an inverted pair counts as 0 s."""
    lasted = end.at - start.at
    return Interval(
        stage=stage,
        since=since,
        seconds=max(lasted.total_seconds(), 0.0) if lasted >= -INVERSION_TOLERANCE else lasted.total_seconds(),
        is_estimated=Precision.ESTIMATED in (start.precision, end.precision),
        is_inverted=lasted < -INVERSION_TOLERANCE,
    )


def stage_intervals(moments: Moments) -> list[Interval]:
    """Return the interval that led to each known stage after the first, in the order of the stages."""
    known = [stage for stage in STAGES if stage in moments]
    return [
        interval_between(since, moments[since], stage, moments[stage]) for since, stage in itertools.pairwise(known)
    ]


def lead_time(moments: Moments, *, until: Stage = Stage.APPLIED) -> Interval | None:
    """Return merged → `until`, or None while either is unknown."""
    start, end = moments.get(Stage.MERGED), moments.get(until)
    if start is None or end is None:
        return None
    return interval_between(Stage.MERGED, start, until, end)
