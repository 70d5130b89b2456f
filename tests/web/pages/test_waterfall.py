from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import msgspec
import pytest
from tests.web.worlds import NOW, ON_ITS_WAY, at, delivery, stages

from fluxtrail.model.moment import Evidence, bracket, exact
from fluxtrail.model.views import DeliveryView
from fluxtrail.web.pages.waterfall import Axis, draw_axis, draw_lane

DONE = delivery(
    ON_ITS_WAY,
    "prod-eu",
    "deployed",
    stages=stages(0, ("exported", 20), ("fetched", 40), ("applied", 100), ("healthy", 160), ("running", 200)),
)
WAITING = delivery(ON_ITS_WAY, "prod-us", "pending", reason="syncing", stages=stages(0, ("fetched", 40)))


def axis_of(*views: DeliveryView, now: datetime = NOW) -> Axis:
    return draw_axis(views, now=now)


def test_axis_goes_from_the_merge_to_the_last_moment_and_leaves_room_behind_it() -> None:
    axis = axis_of(DONE, WAITING)
    assert (axis.start, axis.seconds) == (at(0), 236)
    assert (axis.x(at(0)), axis.x(at(118))) == (0, 50)
    assert (axis.x(at(-50)), axis.x(at(9999))) == (0, 100)
    assert [tick.text for tick in axis.ticks] == ["merged", "1m", "2m", "3m"]


def test_axis_of_one_slow_lane_among_fast_ones_is_logarithmic() -> None:
    slow = delivery(ON_ITS_WAY, "staging", "deployed", stages=stages(0, ("fetched", 40), ("applied", 86400)))
    fast = [msgspec.structs.replace(DONE, target_id=number) for number in range(5)]
    axis = axis_of(*fast, slow)
    assert axis.log_unit == 20
    assert 15 < axis.x(at(200)) < 40  # on a linear one it would be a quarter of a percent
    places = [tick.x for tick in axis.ticks]
    assert places == sorted(places)
    assert all(later - earlier >= 9 for earlier, later in pairwise(places))


@pytest.mark.parametrize("days", [0, 1, 30, 3000])
def test_axis_has_a_few_ticks_however_long_it_is(days: int) -> None:
    view = delivery(ON_ITS_WAY, "prod-eu", "deployed", stages=stages(0, ("applied", 1 + days * 86400)))
    assert 1 <= len(axis_of(view).ticks) <= 7


def test_axis_of_what_is_merged_and_no_further_goes_on_to_now() -> None:
    views = [delivery(ON_ITS_WAY, name, "pending", stages=stages(0)) for name in ("prod-eu", "prod-us")]
    axis = draw_axis(views, now=at(600))
    assert (axis.log_unit, axis.seconds) == (0, 708)


def test_axis_begins_with_the_earliest_where_everything_is_dated_before_the_merge() -> None:
    view = delivery(ON_ITS_WAY, "prod-eu", "deployed", stages=stages(500, ("fetched", 40), ("applied", 100)))
    axis = axis_of(view)
    assert (axis.start, axis.ticks[0].text) == (at(40), "earliest")
    assert [segment.stage for segment in draw_lane(view, axis).segments] == ["applied"]


def test_axis_of_nothing_known_ends_now() -> None:
    axis = axis_of(delivery(ON_ITS_WAY, "prod-eu", "lost", stages={}))
    assert axis.start == NOW
    assert axis.seconds >= 1


def test_lane_has_a_segment_for_the_way_to_each_stage() -> None:
    lane = draw_lane(DONE, axis_of(DONE))
    assert [segment.stage for segment in lane.segments] == ["exported", "fetched", "applied", "healthy", "running"]
    assert [segment.half for segment in lane.segments] == ["", "", "", "upper", "lower"]
    assert lane.segments[2].title == "applied 1m after fetched"
    assert lane.segments[4].title == "running 1m40s after applied"  # beside healthy, not behind it
    assert (lane.open_x, lane.failed_x) == (None, None)
    assert "fetched 20s after exported" in lane.label


def test_estimate_is_a_bracket_over_the_time_in_which_it_may_have_been() -> None:
    known = {**stages(0, ("fetched", 40)), "applied": bracket(at(60), at(100))}
    view = delivery(ON_ITS_WAY, "prod-eu", "deployed", stages=known)
    axis = axis_of(view)
    mark = next(mark for mark in draw_lane(view, axis).marks if mark.stage == "applied")
    assert (mark.from_x, mark.x) == (axis.x(at(60)), axis.x(at(100)))
    assert draw_lane(view, axis).segments[1].title == "applied at most 1m after fetched"
    exactly = next(mark for mark in draw_lane(view, axis).marks if mark.stage == "fetched")
    assert exactly.from_x is None


def test_what_begins_with_an_estimate_took_at_least_so_long() -> None:
    known = {
        "merged": bracket(None, at(0)),
        "fetched": exact(at(40), Evidence.ARTIFACT),
        "applied": bracket(None, at(90)),
    }
    view = delivery(ON_ITS_WAY, "prod-eu", "deployed", stages=known)
    titles = [segment.title for segment in draw_lane(view, axis_of(view)).segments]
    assert titles == ["fetched at least 40s after merged", "applied at most 50s after fetched"]
    both = {"merged": bracket(None, at(0)), "applied": bracket(None, at(90))}
    view = delivery(ON_ITS_WAY, "prod-eu", "deployed", stages=both)
    assert draw_lane(view, axis_of(view)).segments[0].title == "applied about 1m30s after merged"
    assert draw_lane(view, axis_of(view)).marks[1].from_x == 0


def test_inverted_pair_is_said_and_not_drawn() -> None:
    known = {"fetched": exact(at(50), Evidence.ARTIFACT), "applied": exact(at(10), Evidence.READY_CONDITION)}
    view = delivery(ON_ITS_WAY, "prod-eu", "deployed", stages={**stages(0), **known})
    lane = draw_lane(view, axis_of(view))
    assert [segment.stage for segment in lane.segments] == ["fetched"]
    assert "applied is dated 40s before fetched" in lane.label


@pytest.mark.parametrize(
    ("verdict", "more", "tone"),
    [
        ("pending", {"reason": "syncing"}, "busy"),
        ("pending", {"reason": "suspended"}, "quiet"),
        ("failed", {"reason": "BuildFailed"}, "bad"),
        ("deployed", {"running": "waiting"}, "busy"),
        ("deployed", {"running": "reached"}, ""),
        ("unaffected", {}, ""),
    ],
)
def test_what_still_waits_goes_on_to_the_edge(verdict: str, more: dict[str, str], tone: str) -> None:
    view = delivery(ON_ITS_WAY, "prod-eu", verdict, stages=stages(0, ("fetched", 40)), **more)
    axis = axis_of(view)
    lane = draw_lane(view, axis)
    assert lane.open_tone == tone
    assert lane.open_x == (axis.x(at(40)) if tone else None)


def test_failure_is_marked_where_it_happened_within_the_lane() -> None:
    view = delivery(ON_ITS_WAY, "prod-eu", "failed", stages=stages(0, ("fetched", 40)), since=at(44))
    axis = axis_of(view)
    assert draw_lane(view, axis).failed_x == axis.x(at(44))
    later = msgspec.structs.replace(view, since=at(5000))
    assert draw_lane(later, axis).failed_x == 99
