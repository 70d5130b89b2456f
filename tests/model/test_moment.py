from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.moment import (
    Evidence,
    Moment,
    Precision,
    bracket,
    exact,
    observed,
    parse_http_date,
    parse_timestamp,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T12:00:00z", NOON),
        (" 2026-03-01T12:00:00Z ", NOON),
        ("2026-03-01T12:00:00+00:00", NOON),
        ("2026-03-01T14:00:00+02:00", NOON),
        ("2026-03-01T06:30:00-05:30", NOON),
        ("2026-03-01T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
        ("2026-03-01T12:00:00.123456789Z", NOON + timedelta(microseconds=123456)),
        ("2026-03-01T12:00:00.123456789+00:00", NOON + timedelta(microseconds=123456)),
        ("2026-03-01T12:00:00.999999999Z", NOON + timedelta(microseconds=999999)),
        ("2026-03-01 12:00:00Z", NOON),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("2026-03-01T12:00:00", None),
        ("2026-03-01", None),
        ("2026-02-30T12:00:00Z", None),
        ("2026-03-01T25:00:00Z", None),
        ("yesterday", None),
        ("", None),
        ("   ", None),
        (None, None),
        ("9999-12-31T23:59:59-01:00", None),
    ],
)
def test_timestamps(text: str | None, expected: datetime | None) -> None:
    assert parse_timestamp(text) == expected


@given(st.datetimes(min_value=datetime(2, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis wants it naive
def test_timestamps_come_back(instant: datetime) -> None:
    assert parse_timestamp(instant.isoformat().replace("+00:00", "Z")) == instant


@given(st.text(max_size=40) | st.from_regex(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{0,12})?(Z|[+-]\d\d:?\d\d)?"))
def test_nonsense_is_nothing(text: str) -> None:
    found = parse_timestamp(text)
    assert found is None or found.tzinfo is UTC


def test_an_exact_moment_is_its_own_bounds() -> None:
    moment = exact(NOON, Evidence.ARTIFACT)
    assert (moment.earliest, moment.latest, moment.precision) == (NOON, NOON, Precision.EXACT)


def test_an_observed_moment_lies_behind_the_look_before() -> None:
    before = NOON - timedelta(seconds=3)
    moment = observed(NOON, Evidence.STATUS_OBSERVED, not_before=before)
    assert (moment.earliest, moment.latest, moment.precision) == (before, NOON, Precision.OBSERVED)


def test_a_bracket_counts_as_its_end() -> None:
    begin = NOON - timedelta(hours=1)
    moment = bracket(begin, NOON)
    assert (moment.at, moment.earliest, moment.latest) == (NOON, begin, NOON)
    assert moment.evidence is Evidence.BRACKET


def test_an_inverted_bracket_collapses_to_its_end() -> None:
    moment = bracket(NOON + timedelta(seconds=1), NOON)
    assert (moment.earliest, moment.at, moment.latest) == (NOON, NOON, NOON)


def test_an_open_bracket_knows_only_its_end() -> None:
    assert bracket(None, NOON).not_before is None


def test_moments_leave_out_what_they_do_not_know() -> None:
    encoded = msgspec.json.encode(exact(NOON, Evidence.ARTIFACT))
    assert msgspec.json.decode(encoded) == {
        "at": "2026-03-01T12:00:00Z",
        "evidence": "artifact_last_update_time",
        "precision": "exact",
    }
    assert msgspec.json.decode(encoded, type=Moment) == exact(NOON, Evidence.ARTIFACT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 01 Mar 2026 12:00:00 GMT", NOON),
        ("Sunday, 01-Mar-26 12:00:00 GMT", NOON),
        ("Sun Mar  1 12:00:00 2026", NOON),
        ("Sun, 01 Mar 2026 13:00:00 +0100", NOON),
        ("Sun, 01 Mar 2026 12:00:00 -0000", NOON),
        ("Sun, 01 Mar 99999999999999999999 12:00:00 GMT", None),
        ("Sun, 01 Mar 2026 12:99999999999999999999:00 GMT", None),
        ("Sun, 01 Mar 2026 12:00:00 +99999999", None),
        ("Fri, 31 Dec 9999 23:00:00 -0200", None),
        ("120", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("Sun, 01 Mar 2026 12:00:00 GMT" + " " * 100, None),
    ],
)
def test_dates_of_headers(text: str | None, expected: datetime | None) -> None:
    assert parse_http_date(text) == expected


@given(
    st.text(max_size=40) | st.from_regex(r"[A-Za-z]{3}, [0-9]{1,30} Mar [0-9]{1,30} [0-9:]{1,30} [+-]?[0-9A-Z]{1,9}")
)
def test_any_header_is_a_date_or_none(text: str) -> None:
    found = parse_http_date(text)
    assert found is None or found.tzinfo is UTC
