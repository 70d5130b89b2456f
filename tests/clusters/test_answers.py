from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import msgspec
import pytest

from fluxtrail.clusters.answers import FutureVersionError, GoneError, Status, parse_retry_after, parse_status, refusal
from fluxtrail.clusters.backoff import Backoff
from fluxtrail.clusters.listing import is_older
from fluxtrail.model.errors import AuthError, ConflictError, NotFoundError, RateLimitedError, UpstreamError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("code", "kind", "is_retryable"),
    [
        (400, UpstreamError, False),
        (401, AuthError, False),
        (403, AuthError, False),
        (404, NotFoundError, False),
        (408, UpstreamError, True),
        (409, ConflictError, False),
        (410, GoneError, False),
        (422, ConflictError, False),
        (429, RateLimitedError, True),
        (500, UpstreamError, True),
        (503, UpstreamError, True),
    ],
)
def test_status_becomes_the_error_of_its_kind(code: int, kind: type[UpstreamError], is_retryable: bool) -> None:
    error = refusal(code, Status(message="told"), subject="x /y")
    assert type(error) is kind
    assert (error.status, error.retryable) == (code, is_retryable)
    assert str(error) == f"x /y: the API server answered {code}: told"


def test_too_large_resource_version_has_an_error_of_its_own() -> None:
    body = (
        b'{"kind":"Status","code":504,"reason":"Timeout","details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}'
    )
    assert type(refusal(504, parse_status(body), subject="x")) is FutureVersionError


def test_message_of_a_status_is_redacted() -> None:
    status = Status(message="cannot reach https://me:hunter22@host/x?token=abcdef: Bearer abcdefghijkl")
    assert "hunter22" not in str(refusal(500, status, subject="x"))
    assert "abcdef" not in str(refusal(500, status, subject="x"))


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Bad gateway</html>",
        b"[]",
        b"",
        b"\xff\xfe",
        b'{"code":"no number"}',
        b'{"message":"\xff"}',
        b'{"details":' + b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_body_that_is_no_status_still_makes_an_error(body: bytes) -> None:
    assert refusal(502, parse_status(body), subject="x").status == 502


def test_nulls_in_a_status_are_tolerated() -> None:
    body = msgspec.json.encode(
        {"kind": "Status", "message": None, "details": {"causes": None, "retryAfterSeconds": None}}
    )
    assert refusal(500, parse_status(body), subject="x").retry_after_seconds is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("99999999999999", 300.0),
        ("Thu, 01 Jan 2026 00:01:30 GMT", 90.0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


def test_backoff_doubles_with_jitter_up_to_its_cap() -> None:
    backoff = Backoff(Random(3), base_seconds=1.0, cap_seconds=30.0)
    waits = [backoff.next_seconds() for _ in range(2000)]
    for number, wait in enumerate(waits[:8]):
        upper = min(30.0, 2.0**number)
        assert upper / 2 <= wait <= upper
    assert max(waits) <= 30.0
    assert len(set(waits)) > 1900
    backoff.reset()
    assert backoff.next_seconds(is_first_free=True) == 0.0
    assert backoff.next_seconds(is_first_free=True) > 0.0


@pytest.mark.parametrize(
    ("version", "than", "expected"),
    [("9", "10", True), ("10", "9", False), ("9", "9", False), ("a", "10", False), ("", "1", False), ("1", "", False)],
)
def test_versions_are_compared_as_numbers_or_not_at_all(version: str, than: str, expected: bool) -> None:
    assert is_older(version, than) is expected
