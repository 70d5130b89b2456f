from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from fluxtrail.model.doctor.budgets import Budget, Freeze, Limits, parse_days

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday
BERLIN = ZoneInfo("Europe/Berlin")


def freeze(days: str = "", start: str = "00:00", until: str = "00:00", **more: date) -> Freeze:
    return Freeze(
        zone=BERLIN,
        zone_name="Europe/Berlin",
        days=parse_days(days.split()),
        start=time.fromisoformat(start),
        until=time.fromisoformat(until),
        **more,
    )


@pytest.mark.parametrize(
    ("window", "moment", "holds"),
    [
        (freeze("fri"), "2026-11-20T10:00+01:00", True),
        (freeze("fri"), "2026-11-21T00:00+01:00", False),
        (freeze("fri", "16:00", "08:00"), "2026-11-20T16:00+01:00", True),
        (freeze("fri", "16:00", "08:00"), "2026-11-21T07:59+01:00", True),
        (freeze("fri", "16:00", "08:00"), "2026-11-21T08:00+01:00", False),
        (freeze("fri", "16:00", "08:00"), "2026-11-20T15:59+01:00", False),
        (freeze("mon fri", "09:00", "17:00"), "2026-11-20T08:30+00:00", True),
        (freeze("mon fri", "09:00", "17:00"), "2026-11-19T12:00+00:00", False),
        (freeze(first=date(2026, 12, 20), last=date(2027, 1, 3)), "2026-12-24T12:00+01:00", True),
        (freeze(first=date(2026, 12, 20), last=date(2027, 1, 3)), "2027-01-04T00:00+01:00", False),
        (freeze(first=date(2026, 12, 20)), "2026-12-19T22:59+00:00", False),
        (freeze(first=date(2026, 12, 20)), "2026-12-19T23:00+00:00", True),
        # clocks go back from 3 to 2 on 25 October: both times half past two are meant
        (freeze("sun", "02:00", "03:00"), "2026-10-25T00:30+00:00", True),
        (freeze("sun", "02:00", "03:00"), "2026-10-25T01:30+00:00", True),
        (freeze("sun", "02:00", "03:00"), "2026-10-25T02:00+00:00", False),
    ],
)
def test_a_freeze_goes_by_the_clocks_of_its_place(window: Freeze, moment: str, holds: bool) -> None:
    assert window.holds(datetime.fromisoformat(moment)) is holds


def test_a_freeze_is_told_as_it_was_stated() -> None:
    assert str(freeze("fri sat", "16:00", "08:00")) == "fri,sat 16:00-08:00 Europe/Berlin"
    assert str(freeze()) == "every day 00:00-00:00 Europe/Berlin"
    limits = Limits(freezes=(freeze("mon"), freeze("sun")))
    assert limits.frozen_by(NOON) == freeze("sun")
    assert limits.frozen_by(NOON + timedelta(days=2)) is None


def test_days_are_known_by_their_names() -> None:
    assert parse_days(["Monday", "sun"]) == {0, 6}
    with pytest.raises(ValueError, match="'someday' is no day"):
        parse_days(["someday"])


def test_what_was_spent_within_the_hour_is_gone() -> None:
    spent = [("a", NOON - timedelta(minutes=59)), ("b", NOON), ("a", NOON - timedelta(minutes=60))]
    budget = Budget(Limits(per_hour=4, per_namespace_per_hour=2), spent, NOON)
    assert (budget.left, budget.left_in("a"), budget.left_in("c")) == (2, 1, 2)
    budget.spend("a")
    assert (budget.left, budget.left_in("a"), budget.left_in("c")) == (1, 0, 1)


def test_an_act_by_a_clock_that_is_ahead_counts() -> None:
    assert Budget(Limits(per_hour=1), [("a", NOON + timedelta(hours=5))], NOON).left == 0


def test_a_budget_of_nothing_allows_nothing() -> None:
    assert Budget(Limits(per_hour=0), [], NOON).left_in("a") == 0
