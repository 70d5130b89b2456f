"""A delivery's moments as a drawing: one axis of time for a page, and a lane for each delivery. Pure.

Positions are percentages of the lane's width, so that the drawing is as wide as there is room and nothing in it is
distorted. What an estimate leaves open is drawn as a bracket over the time in which it may have been.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from fluxtrail.model.durations import duration
from fluxtrail.model.moment import Moment, Precision
from fluxtrail.model.stage import STAGES, Interval, Stage, stage_intervals
from fluxtrail.model.verdict import WAITING_BY_WILL, Verdict
from fluxtrail.model.views import DeliveryView

MERGED = "merged"
EARLIEST = "earliest"
"""Where everything that is known is dated before the merge: some clock is wrong, and nothing else could be drawn."""
STILL_OPEN = "waiting"
"""A `RunningState`: applied, and something of it does not run yet."""
_OPEN_ROOM = 0.18
"""Of the known span: what is kept behind its end for what still waits."""
_LOG_FROM = 15.0
"""The slowest lane is so many times as long as the middle one: a linear axis would show nothing of the others."""
_LEAST = timedelta(seconds=1)
_LEAST_BRACKET = 0.8
_MOST_TICKS = 6
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_DECADES = (1, 10, 60, 600, 3600, 21600, 86400, 604800, 2592000)
_LEAST_GAP = 9.0
_WEEK = 604800


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    x: float
    text: str
    """How long after the beginning."""


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    start: datetime
    origin: str = MERGED
    """What it begins with."""
    seconds: float
    log_unit: float = 0.0
    """Seconds up to which a logarithmic axis is nearly linear; 0 for a linear one."""
    ticks: list[Tick] = []

    def x(self, at: datetime) -> float:
        """Return where an instant lies, in percent; what lies outside is at the edge."""
        passed = min(max((at - self.start).total_seconds(), 0.0), self.seconds)
        if self.log_unit:
            share = math.log1p(passed / self.log_unit) / math.log1p(self.seconds / self.log_unit)
        else:
            share = passed / self.seconds
        return round(100 * share, 2)


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The way to one stage."""

    stage: str
    x: float
    width: float
    half: str = ""
    """`upper` or `lower`, where two stages are on their way at once."""
    title: str


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stage was reached; a bracket from `from_x` where that is an estimate."""

    stage: str
    x: float
    from_x: float | None
    title: str


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    segments: list[Segment]
    marks: list[Mark]
    open_x: float | None = None
    """From here on it waits."""
    open_tone: str = ""
    """`busy`, `bad` or `quiet`."""
    failed_x: float | None = None
    label: str
    """The drawing in words."""


def stages_of(view: DeliveryView) -> dict[Stage, Moment]:
    """Return a delivery's moments in the order of the stages."""
    return {stage: view.stages[stage.value] for stage in STAGES if stage.value in view.stages}


def draw_axis(views: Iterable[DeliveryView], *, now: datetime) -> Axis:
    """Return the axis that all lanes of a page share: from the merge to the last moment that is known of any."""
    lanes = [moments for view in views if (moments := stages_of(view))]
    merged = [moments[Stage.MERGED].at for moments in lanes if Stage.MERGED in moments]
    known = [moment.at for moments in lanes for moment in moments.values()]
    start, origin = min(merged or known, default=now), MERGED
    if len(set(known)) > 1 and max(known) <= start:
        start, origin = min(known), EARLIEST
    ends = sorted(end for moments in lanes if (end := max(one.at for one in moments.values()) - start) > timedelta())
    last = ends[-1] if ends else max(now - start, _LEAST)
    span = max(last * (1 + _OPEN_ROOM), _LEAST).total_seconds()
    middle = ends[(len(ends) - 1) // 2].total_seconds() if ends else 0.0
    unit = max(middle, 1.0) / 10 if len(ends) > 1 and last.total_seconds() > _LOG_FROM * max(middle, 1.0) else 0.0
    axis = Axis(start=start, origin=origin, seconds=span, log_unit=unit)
    return msgspec.structs.replace(axis, ticks=_ticks(axis))


def _ticks(axis: Axis) -> list[Tick]:
    steps: Sequence[float]
    if axis.log_unit:
        steps = _DECADES
    else:
        step = next((step for step in _STEPS if axis.seconds / step <= _MOST_TICKS), 0) or (
            math.ceil(axis.seconds / _MOST_TICKS / _WEEK) * _WEEK
        )
        steps = [step * count for count in range(1, _MOST_TICKS + 1)]
    found = [Tick(x=0.0, text=axis.origin)]
    for seconds in steps:
        x = axis.x(axis.start + timedelta(seconds=seconds)) if seconds < axis.seconds else 100.0
        if x - found[-1].x >= _LEAST_GAP and x <= 100 - _LEAST_GAP / 2:
            found.append(Tick(x=x, text=duration(seconds)))
    return found


def draw_lane(view: DeliveryView, axis: Axis) -> Lane:
    moments = stages_of(view)
    intervals = stage_intervals(moments)
    segments = [one for interval in intervals if (one := _segment(interval, moments, axis)) is not None]
    marks = [_mark(stage, moment, axis) for stage, moment in moments.items()]
    last = max((moment.at for moment in moments.values()), default=axis.start)
    tone = _open_tone(view)
    failed_x = None
    if view.verdict in (Verdict.FAILED, Verdict.ROLLED_BACK) and view.since is not None:
        failed_x = max(min(axis.x(view.since), 99.0), axis.x(last))
    return Lane(
        segments=segments,
        marks=marks,
        open_x=axis.x(last) if tone else None,
        open_tone=tone,
        failed_x=failed_x,
        label=_label(view, intervals, moments),
    )


def _open_tone(view: DeliveryView) -> str:
    if view.verdict == Verdict.PENDING:
        return "quiet" if view.reason in WAITING_BY_WILL else "busy"
    if view.verdict == Verdict.FAILED:
        return "bad"
    if view.verdict == Verdict.DEPLOYED and view.running == STILL_OPEN:
        return "bad" if any(blocker.state in ("blocked", "failed") for blocker in view.blockers) else "busy"
    return ""


def _segment(interval: Interval, moments: Mapping[Stage, Moment], axis: Axis) -> Segment | None:
    if interval.is_inverted:
        return None
    x = axis.x(moments[interval.since].at)
    width = max(axis.x(moments[interval.stage].at) - x, 0.0)
    half = ""
    if {Stage.HEALTHY, Stage.RUNNING} <= set(moments):
        half = {Stage.HEALTHY: "upper", Stage.RUNNING: "lower"}.get(interval.stage, "")
    return Segment(
        stage=interval.stage.value, x=x, width=round(width, 2), half=half, title=interval_words(interval, moments)
    )


def interval_words(interval: Interval, moments: Mapping[Stage, Moment]) -> str:
    """`applied 57s after fetched`.

    An estimate stands at its latest instant: what ends with one took at most so long, what begins with one at least.
    """
    if interval.is_inverted:
        return f"{interval.stage.value} is dated {duration(-interval.seconds)} before {interval.since.value}"
    is_begin, is_end = (moments[stage].precision is Precision.ESTIMATED for stage in (interval.since, interval.stage))
    about = "about " if is_begin and is_end else "at least " if is_begin else "at most " if is_end else ""
    return f"{interval.stage.value} {about}{duration(interval.seconds)} after {interval.since.value}"


def _mark(stage: Stage, moment: Moment, axis: Axis) -> Mark:
    x, from_x = axis.x(moment.at), None
    if moment.precision is Precision.ESTIMATED:
        earliest = axis.x(moment.not_before) if moment.not_before is not None else 0.0
        from_x = max(min(earliest, x - _LEAST_BRACKET), 0.0)
    elif moment.not_before is not None and x - axis.x(moment.not_before) >= _LEAST_BRACKET:
        from_x = axis.x(moment.not_before)
    return Mark(stage=stage.value, x=x, from_x=from_x, title=f"{stage.value}, {moment.precision.value}")


def _label(view: DeliveryView, intervals: Sequence[Interval], moments: Mapping[Stage, Moment]) -> str:
    said = [interval_words(interval, moments) for interval in intervals]
    if view.verdict != Verdict.DEPLOYED:
        said.append(view.verdict.replace("_", " "))
    return "; ".join(said) or "no moment is known"
