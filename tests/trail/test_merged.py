from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.moment import Evidence, Moment, Precision, exact
from fluxtrail.trail.merged import RANK, better, from_branch, from_export, from_pull_request

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(RANK, 2)))
def test_better_evidence_wins(one: Evidence, other: Evidence) -> None:
    left, right = exact(at(0), one), exact(at(5), other)
    assert better(left, right) is left
    assert better(right, left) is left


def test_the_first_of_equals_stays() -> None:
    left, right = from_export(at(0), seen_at=at(0)), from_export(at(5), seen_at=at(5))
    assert better(left, right) is left
    assert better(None, right) is right
    assert better(left, None) is left
    assert better(None, None) is None


def test_a_pull_request_says_exactly() -> None:
    assert from_pull_request(at(1)) == exact(at(1), Evidence.PULL_REQUEST)


def test_what_an_exporter_states_is_an_estimate_of_the_merge() -> None:
    moment = from_export(at(1), seen_at=at(9))
    assert (moment.at, moment.evidence, moment.precision) == (at(1), Evidence.EXPORTER_INFO, Precision.ESTIMATED)
    assert (moment.not_before, moment.not_after) == (at(1), at(9))
    assert from_export(at(1), seen_at=at(0)).not_after == at(1)


def branch(committed: float, *, looked: float | None, seen: float, fetched: float | None, watched: bool) -> Moment:
    return from_branch(
        at(committed),
        looked_at=None if looked is None else at(looked),
        seen_at=at(seen),
        fetched_at=None if fetched is None else at(fetched),
        was_watched=watched,
    )


def test_a_watched_branch_dates_by_the_look() -> None:
    moment = branch(-600, looked=0, seen=10, fetched=None, watched=True)
    assert (moment.at, moment.not_before, moment.evidence) == (at(10), at(0), Evidence.BRANCH_MOVED)
    assert moment.precision is Precision.OBSERVED


def test_a_branch_seen_late_dates_by_the_committer() -> None:
    moment = branch(300, looked=0, seen=900, fetched=None, watched=False)
    assert (moment.at, moment.not_before, moment.not_after) == (at(300), at(300), at(900))
    assert (moment.evidence, moment.precision) == (Evidence.COMMITTER_DATE, Precision.ESTIMATED)


def test_a_commit_older_than_the_last_look_was_pushed_after_it() -> None:
    assert branch(-600, looked=0, seen=900, fetched=None, watched=False).at == at(0)


def test_a_branch_read_for_the_first_time_dates_by_the_committer() -> None:
    assert branch(-600, looked=None, seen=0, fetched=None, watched=False).at == at(-600)


def test_a_committer_date_in_the_future_is_no_later_than_the_look() -> None:
    assert branch(86_400, looked=0, seen=10, fetched=None, watched=False).at == at(10)
    assert branch(86_400, looked=0, seen=10, fetched=None, watched=True).at == at(10)


SECONDS = st.integers(-1000, 1000)


@given(SECONDS, SECONDS | st.none(), st.integers(0, 500), SECONDS | st.none(), st.booleans())
def test_bounds_hold_the_moment(
    committed: int, looked: int | None, later: int, fetched: int | None, watched: bool
) -> None:
    seen = (looked or 0) + later
    moment = branch(committed, looked=looked, seen=seen, fetched=fetched, watched=watched)
    assert moment.earliest <= moment.at <= moment.latest
    assert moment.at <= at(seen)
