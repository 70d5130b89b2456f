"""Durations as Go writes them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.durations import find_seconds
from fluxtrail.model.flux import Snapshot


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("133.902327ms", 0.133902327),
        ("1.5s", 1.5),
        ("1m30.5s", 90.5),
        ("2h0m0s", 7200),
        ("850ns", 8.5e-7),
        ("12.5\u00b5s", 1.25e-5),
        ("12.5\u03bcs", 1.25e-5),
        ("0s", 0),
        ("2562047h47m16.854775807s", 2**63 / 1e9),
        ("9999999h0m0s", None),
        ("-1s", None),
        ("1.s", None),
        ("5", None),
        ("5d", None),
        ("1s ", None),
        ("\u0661s", None),
        ("1s" * 30, None),
        ("", None),
        (None, None),
    ],
)
def test_seconds_of_a_duration(text: str | None, seconds: float | None) -> None:
    assert find_seconds(text) == (None if seconds is None else pytest.approx(seconds))


@given(st.text())
def test_any_text_is_a_duration_or_none(text: str) -> None:
    found = find_seconds(text)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("last", "took", "began"),
    [
        (datetime(2026, 3, 1, 12, 0, 4, tzinfo=UTC), 0.5, datetime(2026, 3, 1, 12, 0, 3, 500_000, tzinfo=UTC)),
        (datetime(2026, 3, 1, 12, 0, 4, tzinfo=UTC), None, None),
        (None, 0.5, None),
        (datetime(2, 1, 1, tzinfo=UTC), 9e9, None),
    ],
    ids=["known", "not told how long", "not told when", "before there were dates"],
)
def test_last_reconciliation_had_not_begun_before(
    last: datetime | None, took: float | None, began: datetime | None
) -> None:
    found = Snapshot("d", "ReconciliationSucceeded", last, last, 1, None, took_seconds=took)
    assert found.last_began == began
