from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.trend import HOURS, Trend

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@given(st.lists(st.floats(1, 10**6), min_size=1, max_size=200))
def test_quantiles_are_within_four_percent(seconds: list[float]) -> None:
    trend = Trend()
    for one in seconds:
        trend.observe(NOW, one)
    [span] = trend.by_hour(NOW, hours=1)
    ordered = sorted(seconds)
    half = ordered[-(-len(ordered) // 2) - 1]
    assert span.count == len(seconds)
    assert span.p50_seconds == pytest.approx(half, rel=0.045)
    assert span.p50_seconds is not None
    assert span.p95_seconds is not None
    assert span.p95_seconds >= span.p50_seconds


def test_hours_and_days_stand_apart_the_newest_first() -> None:
    trend = Trend()
    trend.observe(NOW, 60)
    trend.observe(NOW - HOUR, 120)
    trend.observe(NOW - 24 * HOUR, 240)
    hours = trend.by_hour(NOW)
    assert [span.at for span in hours[:2]] == [NOW.replace(minute=0), NOW.replace(minute=0) - HOUR]
    assert [span.count for span in hours] == [1, 1, *[0] * 22]
    assert hours[2].p50_seconds is None
    days = trend.by_day(NOW)
    assert [span.count for span in days[:3]] == [2, 1, 0]
    assert days[1].at == datetime(2026, 11, 19, tzinfo=UTC)
    assert trend.within(NOW - 24 * HOUR, NOW).count == 2
    assert trend.within(NOW - HOUR, NOW + HOUR).count == 2


def test_less_than_a_second_is_a_second() -> None:
    trend = Trend()
    trend.observe(NOW, 0)
    assert trend.by_hour(NOW, hours=1)[0].p50_seconds == 1.0


def test_what_is_older_than_is_kept_is_left_out_whenever_it_comes() -> None:
    trend, old = Trend(), NOW - HOURS * HOUR
    trend.observe(old, 5)
    trend.observe(NOW, 5)
    trend.observe(old, 5)
    assert trend.within(old, NOW + HOUR).count == 1
