from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.reports.resource_metrics.numbers import to_number
from fluxtrail.reports.resource_metrics.text import go_float

NUMBERS: list[tuple[Any, float]] = [
    (True, 1), (False, 0), (7, 7), (-1.5, -1.5), (2**63, 2.0**63),
    ("true", 1), ("YES", 1), ("False", 0), ("no", 0), ("Unknown", 0),
    ("2022-06-28T00:00:00Z", 1656374400), ("2024-05-01T10:11:12.987654Z", 1714558272),
    ("2024-05-01T10:11:12,5+02:00", 1714551072), ("2024-05-01T10:11:12-01:30", 1714563672),
    ("1960-01-01T00:00:00.5Z", -315619200),
    ("100m", 0.1), ("250m", 0.25), ("5Gi", 5 * 2**30), ("1.5Ki", 1536), ("5k", 5000), ("5G", 5e9), ("1E", 1e18),
    ("1Ei", 2.0**60), ("9Ei", 9.223372036854775807e18), ("1E3", 1000), ("1e-3", 0.001), ("+3", 3), ("-2", -2),
    (".5", 0.5), ("5.", 5), ("0", 0), ("m", 0), ("-", 0), ("1n", 1e-9), ("7u", 7e-6),
    ("0.0000000001", 1e-9), ("1e-400", 1e-9), ("1.23456789012345678", 1.234567891), ("1e400", math.inf),
    ("-1e400", -math.inf), ("123456789012345678m", 123456789012345.69), ("1000000000000000000000000", 1e24),
    ("28%", 0.28), ("0%", 0), ("inf", math.inf), ("-Infinity", -math.inf), ("0x1p-2", 0.25), ("1_000", 1000),
    ("0x_1_0p0", 16),
]  # fmt: skip
NONE: list[Any] = [
    None, [], {}, "", " ", " 5", "5 ", "soon", "1,5", "5K", "1e", "5e", "1e5Ki", "1e3m", "1d", "1h30m", "1.2.3", "--1",
    "-5%", "12.5%", "2024-05-01", "2024-05-01t10:11:12z", "2024-13-01T00:00:00Z", "2024-02-30T00:00:00Z", "0x10",
    "0x1p99999", "1__0", "_1", "1_", "E-61", ".E-61", "٣", "1" * 300 + "x",
]  # fmt: skip


@pytest.mark.parametrize(("value", "number"), NUMBERS, ids=str)
def test_a_number_is_what_kubernetes_and_go_make_of_it(value: Any, number: float) -> None:
    assert to_number(value) == number


@pytest.mark.parametrize("value", NONE, ids=str)
def test_what_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"nothing is there|is no number"):
        to_number(value)


def test_no_number_is_one() -> None:
    assert math.isnan(to_number("NaN"))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_that_is_written_is_read(value: float) -> None:
    """Except that a quantity ends at billionths, and its power of ten may cost the last digits."""
    assert to_number(go_float(value)) == pytest.approx(value, rel=1e-12, abs=1e-9)


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_none(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(to_number(text), float)
