from __future__ import annotations

import pytest

from fluxtrail.model.errors import (
    AuthError,
    ConfigError,
    ConflictError,
    FluxtrailError,
    NotFoundError,
    RateLimitedError,
    StoreError,
    UpstreamError,
    WireError,
)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (ConfigError("x"), False),
        (UpstreamError("x"), True),
        (AuthError("x", status=401), False),
        (NotFoundError("x", status=404), False),
        (ConflictError("x", status=409), False),
        (RateLimitedError("x", status=429, retry_after_seconds=3), True),
        (StoreError("x"), False),
        (StoreError("x", retryable=True), True),
        (UpstreamError("x", retryable=False), False),
        (WireError("x"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_says_whether_a_retry_helps(error: FluxtrailError, retryable: bool) -> None:
    assert error.retryable is retryable


def test_an_error_names_its_subject() -> None:
    assert str(WireError("no date", subject="status.artifact")) == "status.artifact: no date"
    assert str(WireError("no date")) == "no date"
    limited = RateLimitedError("wait", status=403, retry_after_seconds=3)
    assert (limited.status, limited.retry_after_seconds) == (403, 3)
