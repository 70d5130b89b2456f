from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.moment import Evidence, Moment, bracket, exact
from fluxtrail.model.stage import STAGES, Stage, interval_between, lead_time, stage_intervals

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def moment(seconds: float) -> Moment:
    return exact(NOON + timedelta(seconds=seconds), Evidence.STATUS_OBSERVED)


@pytest.mark.parametrize(
    ("end", "seconds", "is_inverted"),
    [(90, 90, False), (0, 0, False), (-1, 0, False), (-2, 0, False), (-2.001, -2.001, True), (-60, -60, True)],
    ids=["forward", "same instant", "within", "at the tolerance", "beyond", "far"],
)
def test_inversion_within_two_seconds_is_zero(end: float, seconds: float, is_inverted: bool) -> None:
    interval = interval_between(Stage.MERGED, moment(0), Stage.APPLIED, moment(end))
    assert (interval.seconds, interval.is_inverted, interval.is_estimated) == (seconds, is_inverted, False)
    assert (interval.since, interval.stage) == (Stage.MERGED, Stage.APPLIED)


@pytest.mark.parametrize("which", ["start", "end"])
def test_one_estimate_makes_the_interval_an_estimate(which: str) -> None:
    guess = bracket(None, NOON)
    start, end = (guess, moment(1)) if which == "start" else (moment(0), guess)
    assert interval_between(Stage.FETCHED, start, Stage.APPLIED, end).is_estimated


def test_intervals_count_from_the_nearest_known_stage() -> None:
    moments = {Stage.APPLIED: moment(50), Stage.MERGED: moment(0), Stage.FETCHED: moment(20)}
    found = [(item.since, item.stage, item.seconds) for item in stage_intervals(moments)]
    assert found == [(Stage.MERGED, Stage.FETCHED, 20), (Stage.FETCHED, Stage.APPLIED, 30)]


@pytest.mark.parametrize("known", [{}, {Stage.APPLIED: moment(0)}], ids=["nothing", "one"])
def test_no_interval_without_two_stages(known: dict[Stage, Moment]) -> None:
    assert stage_intervals(known) == []


def test_lead_time_is_from_merged_to_applied() -> None:
    moments = {Stage.MERGED: moment(0), Stage.FETCHED: moment(5), Stage.APPLIED: moment(50), Stage.HEALTHY: moment(80)}
    applied, healthy = lead_time(moments), lead_time(moments, until=Stage.HEALTHY)
    assert applied is not None
    assert healthy is not None
    assert (applied.seconds, healthy.seconds) == (50, 80)


@pytest.mark.parametrize("missing", [Stage.MERGED, Stage.APPLIED])
def test_no_lead_time_while_an_end_is_unknown(missing: Stage) -> None:
    moments = {Stage.MERGED: moment(0), Stage.APPLIED: moment(5)}
    del moments[missing]
    assert lead_time(moments) is None


@pytest.mark.parametrize("healthy", [None, 55, 90], ids=["no checks", "checks end first", "roll-outs end first"])
def test_running_is_counted_from_applied_whenever_checks_end(healthy: int | None) -> None:
    moments = {Stage.FETCHED: moment(20), Stage.APPLIED: moment(50), Stage.RUNNING: moment(75)}
    if healthy is not None:
        moments[Stage.HEALTHY] = moment(healthy)
    (running,) = [item for item in stage_intervals(moments) if item.stage is Stage.RUNNING]
    assert (running.since, running.seconds, running.is_inverted) == (Stage.APPLIED, 25, False)


def test_running_with_nothing_but_healthy_before_it_has_no_interval() -> None:
    assert stage_intervals({Stage.HEALTHY: moment(0), Stage.RUNNING: moment(5)}) == []


@pytest.mark.parametrize(
    ("not_before", "is_inverted"),
    [(-300, False), (-11, False), (-7, True), (None, True)],
    ids=["before", "at the tolerance", "after", "not known"],
)
def test_an_estimate_is_inverted_only_where_its_earliest_instant_is(not_before: int | None, is_inverted: bool) -> None:
    start = bracket(NOON + timedelta(seconds=not_before) if not_before is not None else None, NOON)
    interval = interval_between(Stage.APPLIED, start, Stage.RUNNING, moment(-10))
    assert (interval.is_inverted, interval.is_estimated) == (is_inverted, True)
    assert interval.seconds == (-10 if is_inverted else 0)


@given(st.dictionaries(st.sampled_from(STAGES[:-1]), st.integers(0, 100)))
def test_intervals_of_ordered_moments_add_up(seconds: dict[Stage, int]) -> None:
    ordered = dict(zip([stage for stage in STAGES if stage in seconds], sorted(seconds.values()), strict=True))
    intervals = stage_intervals({stage: moment(second) for stage, second in ordered.items()})
    assert len(intervals) == max(len(ordered) - 1, 0)
    assert sum(item.seconds for item in intervals) == max(ordered.values(), default=0) - min(
        ordered.values(), default=0
    )


@given(st.integers(-100, 100), st.integers(-100, 100))
def test_no_interval_is_negative_unless_it_says_so(start: int, end: int) -> None:
    interval = interval_between(Stage.FETCHED, moment(start), Stage.APPLIED, moment(end))
    assert interval.is_inverted == (end - start < -2)
    assert interval.seconds == (end - start if interval.is_inverted else max(end - start, 0))
