"""The comparison of histograms with what really ran must find each way in which they can be wrong."""

from __future__ import annotations

from typing import Any

import pytest

from fluxtrail.simulator.compare_figures import (
    DURATION,
    LEAD_TIME,
    Place,
    Told,
    compare_running,
    count_lead_times,
    count_unknown,
    worst_lead_time,
)
from fluxtrail.simulator.observer import read_running

Json = dict[str, Any]

TARGET = "Kustomization/flux-system/apps"
STAGES = {
    "merged": "2026-03-01T12:00:00.500000Z",
    "applied": "2026-03-01T12:00:05.250000Z",
    "running": "2026-03-01T12:00:09.750000Z",
}
MOMENTS = {
    "merged": {"at": "2026-03-01T12:00:00Z", "precision": "exact"},
    "applied": {"at": "2026-03-01T12:00:05Z", "precision": "exact"},
    "running": {"at": "2026-03-01T12:00:09Z", "precision": "exact"},
}
LED, LASTED = Told({5.0: 0, 15.0: 1}, 1, 9.0), Told({1.0: 0, 5.0: 1}, 1, 4.0)
FIGURES = {Place(LEAD_TIME, "staging", TARGET): LED, Place(DURATION, "staging", TARGET): LASTED}


def true(*, is_carrier: bool = False, **changes: Any) -> Json:
    delivery = {"cluster": "staging", "target": TARGET, "stages": STAGES | changes}
    return {"sha": "a" * 40, "subject": "Do it", "is_carrier": is_carrier, "deliveries": [delivery]}


def trail(*, is_carrier: bool = False, is_scope_unknown: bool = False, **changes: Any) -> Json:
    stages = {stage: moment | changes.get(stage, {}) for stage, moment in MOMENTS.items()}
    delivery = {"cluster": "staging", "target": TARGET, "stages": stages, "is_scope_unknown": is_scope_unknown}
    return {"commit": {"sha": "a" * 40, "is_carrier": is_carrier}, "deliveries": [delivery]}


def test_figures_of_what_ran_make_no_difference() -> None:
    assert compare_running([true()], [trail()], FIGURES) == []
    assert count_lead_times([true()], [trail()]) == 1
    assert worst_lead_time([true()], [trail()]) == pytest.approx(0.25)


def test_what_ran_and_is_said_to_be_unknown_is_counted() -> None:
    unknown = trail()
    unknown["deliveries"][0]["running"] = "unknown"
    assert count_unknown([true()], [trail()]) == 0
    assert count_unknown([true()], [unknown]) == 1
    nothing = true()
    del nothing["deliveries"][0]["stages"]["running"]
    assert count_unknown([nothing], [unknown]) == 0


def test_carriers_have_durations_and_no_lead_times() -> None:
    told = {Place(DURATION, "staging", TARGET): LASTED}
    assert compare_running([true(is_carrier=True)], [trail(is_carrier=True)], told) == []
    assert compare_running([true()], [trail(is_scope_unknown=True)], told) == []


def test_estimates_and_inverted_moments_are_no_figures() -> None:
    assert compare_running([true()], [trail(running={"precision": "estimated"})], {}) == []
    assert compare_running([true()], [trail(running={"at": "2026-03-01T11:59:50Z"})], {}) == []


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({LEAD_TIME: None}, "0 samples, true are 1"),
        ({DURATION: Told({}, 2, 8.0)}, "2 samples, true are 1"),
        ({LEAD_TIME: LED._replace(sum_seconds=8.0)}, "a sum of 8.000 s, true are 9.000 s"),
        ({LEAD_TIME: LED._replace(cumulative={5.0: 1, 15.0: 1})}, "1 samples up to 5 s, true are 0"),
    ],
)
def test_each_wrong_figure_is_a_difference(changes: dict[str, Told | None], difference: str) -> None:
    told = dict(FIGURES)
    for family, figure in changes.items():
        place = Place(family, "staging", TARGET)
        del told[place]
        if figure is not None:
            told[place] = figure
    [line] = compare_running([true()], [trail()], told)
    assert line.endswith(f"of {TARGET} on staging: {difference}")


def test_figure_of_what_never_ran_is_a_difference() -> None:
    [true_one] = [true()]
    del true_one["deliveries"][0]["stages"]["running"]
    assert len(compare_running([true_one], [trail()], FIGURES)) == 2


def test_commit_taken_for_a_carrier_is_a_difference() -> None:
    differences = compare_running([true()], [trail(is_carrier=True)], FIGURES)
    assert differences == ["aaaaaaaaa (Do it): a carrier, in truth not so"]


def test_scrape_is_read_by_target_and_only_of_running() -> None:
    labels = 'cluster="staging",namespace="flux-system",name="apps",kind="Kustomization"'
    text = f"""\
# TYPE {LEAD_TIME} histogram
{LEAD_TIME}_bucket{{{labels},le="5.0"}} 0
{LEAD_TIME}_bucket{{{labels},le="15.0"}} 1
{LEAD_TIME}_bucket{{{labels},le="+Inf"}} 1
{LEAD_TIME}_count{{{labels}}} 1
{LEAD_TIME}_sum{{{labels}}} 9.0
# TYPE {DURATION} histogram
{DURATION}_bucket{{{labels},stage="applied",le="+Inf"}} 7
{DURATION}_count{{{labels},stage="applied"}} 7
{DURATION}_sum{{{labels},stage="applied"}} 70.0
"""
    assert read_running(text) == {Place(LEAD_TIME, "staging", TARGET): LED}
