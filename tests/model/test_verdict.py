from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.verdict import IMMEDIATELY_SETTLED, OPEN, SETTLED_AFTER_QUIET, Verdict, is_settled, union

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUIET = timedelta(minutes=10)


@pytest.mark.parametrize(
    ("verdict", "at_once", "after_quiet"),
    [
        (Verdict.PENDING, False, False),
        (Verdict.DEPLOYED, True, True),
        (Verdict.UNAFFECTED, True, True),
        (Verdict.FAILED, False, True),
        (Verdict.ROLLED_BACK, False, True),
        (Verdict.LOST, True, True),
        (Verdict.ABANDONED, True, True),
    ],
)
def test_settling(verdict: Verdict, at_once: bool, after_quiet: bool) -> None:
    assert is_settled(verdict, since=NOON, now=NOON, settle_after=QUIET) is at_once
    just_before = NOON + QUIET - timedelta(microseconds=1)
    assert is_settled(verdict, since=NOON, now=just_before, settle_after=QUIET) is at_once
    assert is_settled(verdict, since=NOON, now=NOON + QUIET, settle_after=QUIET) is after_quiet


def test_every_verdict_is_open_or_settles() -> None:
    assert set(Verdict) == IMMEDIATELY_SETTLED | SETTLED_AFTER_QUIET | OPEN
    assert not IMMEDIATELY_SETTLED & OPEN


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([Verdict.DEPLOYED], Verdict.DEPLOYED),
        ([Verdict.DEPLOYED, Verdict.PENDING], Verdict.PENDING),
        ([Verdict.PENDING, Verdict.FAILED], Verdict.FAILED),
        ([Verdict.DEPLOYED, Verdict.ROLLED_BACK], Verdict.ROLLED_BACK),
        ([Verdict.UNAFFECTED, Verdict.DEPLOYED], Verdict.DEPLOYED),
        ([Verdict.LOST, Verdict.ABANDONED, Verdict.UNAFFECTED], Verdict.LOST),
    ],
)
def test_union_says_what_still_needs_care(verdicts: list[Verdict], expected: Verdict) -> None:
    assert union(verdicts) is expected


def test_union_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        union([])


@given(st.lists(st.sampled_from(Verdict), min_size=1))
def test_union_knows_no_order_and_is_one_of_them(verdicts: list[Verdict]) -> None:
    found = union(verdicts)
    assert found in verdicts
    assert union(verdicts[::-1]) is found
    assert union([found, *verdicts]) is found
