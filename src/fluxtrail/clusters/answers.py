"""What an API server's refusals mean: HTTP statuses and `Status` objects become the errors of `model/errors.py`.

UpstreamError
├── FutureVersionError   a resourceVersion the server has not reached: its storage went back, or it lags
├── SilenceError         a stream that should have said something and did not
├── ConflictError
│   └── FieldConflictError  409: others own fields that a server-side apply would change
└── NotFoundError
    └── GoneError        410: the resourceVersion or the continue token is too old; list again
WireError
└── OversizedError       more bytes than the bound
"""

import re
from datetime import datetime

import msgspec

from fluxtrail.model.errors import (
    AuthError,
    ConflictError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
    WireError,
)
from fluxtrail.model.moment import parse_http_date
from fluxtrail.model.redaction import redact

RETRY_AFTER_LIMIT_SECONDS = 300.0
_CONFLICT_WITH = re.compile(r'conflict with "(?P<manager>[^"]*)"')
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises: no JSON or another shape, bytes that are no UTF-8, nesting without end."""


class GoneError(NotFoundError):
    """410: what we ask to continue from was compacted away."""


class FieldConflict(msgspec.Struct, frozen=True, order=True):
    """A field that a server-side apply may not take: whose it is, and its path (`.spec.interval`)."""

    manager: str
    field: str


class FieldConflictError(ConflictError):
    """409 of a server-side apply. `conflicts` names the fields and their owners."""

    def __init__(self, message: str, *, conflicts: tuple[FieldConflict, ...], status: int, subject: str) -> None:
        super().__init__(message, status=status, subject=subject)
        self.conflicts = conflicts


class FutureVersionError(UpstreamError):
    """The resourceVersion asked for is larger than the server's own."""


class SilenceError(UpstreamError):
    """Nothing arrived before the deadline, not even a bookmark: the connection may be half open."""


class OversizedError(WireError):
    """A body or a line is longer than its bound."""


class StatusCause(msgspec.Struct):
    reason: str | None = None
    message: str | None = None
    field: str | None = None


class StatusDetails(msgspec.Struct, rename="camel"):
    retry_after_seconds: float | None = None
    causes: list[StatusCause] | None = None


class Status(msgspec.Struct):
    """`meta/v1 Status`: how an API server says no, as a body or inside an `ERROR` event."""

    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: StatusDetails | None = None


def parse_status(body: bytes | msgspec.Raw) -> Status:
    """Return the `Status` in `body`; a proxy's HTML page or plain text becomes its message."""
    try:
        return msgspec.json.decode(body, type=Status)
    except UNREADABLE:
        return Status(message=bytes(body).decode("utf-8", "replace"))


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the seconds a `Retry-After` header asks for, in either of its forms, or None where it says nothing.

    Source: RFC 9110 section 10.2.3.
    """
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_LIMIT_SECONDS)
    moment = parse_http_date(text)
    if moment is None:
        return None
    return min(max((moment - now).total_seconds(), 0.0), RETRY_AFTER_LIMIT_SECONDS)


def refusal(
    http_status: int, status: Status, *, subject: str, retry_after_seconds: float | None = None
) -> UpstreamError:
    """Return the error that an answer with `http_status` and `status` stands for.

    Args:
        http_status: of the answer; of an `ERROR` event, the code in its `Status`.
        retry_after_seconds: from the header; the `Status` may carry its own.
    """
    told = redact(status.message) or "no message"
    message = f"the API server answered {http_status}: {told}"
    wait = retry_after_seconds
    if wait is None and status.details is not None and status.details.retry_after_seconds is not None:
        wait = min(max(status.details.retry_after_seconds, 0.0), RETRY_AFTER_LIMIT_SECONDS)
    if _is_future_version(status):
        return FutureVersionError(message, status=http_status, subject=subject)
    match http_status:
        case 401 | 403:
            return AuthError(message, status=http_status, subject=subject)
        case 404:
            return NotFoundError(message, status=http_status, subject=subject)
        case 410:
            return GoneError(message, status=http_status, subject=subject)
        case 409 if conflicts := _field_conflicts(status):
            return FieldConflictError(message, conflicts=conflicts, status=http_status, subject=subject)
        case 409 | 422:
            return ConflictError(message, status=http_status, subject=subject)
        case 429:
            return RateLimitedError(message, status=http_status, subject=subject, retry_after_seconds=wait)
        case _:
            is_retryable = http_status >= 500 or http_status == 408
            return UpstreamError(
                message, status=http_status, subject=subject, retryable=is_retryable, retry_after_seconds=wait
            )


def _field_conflicts(status: Status) -> tuple[FieldConflict, ...]:
    """Source: apimachinery pkg/api/errors `NewApplyConflict`; structured-merge-diff merge/conflict.go."""
    found = []
    for cause in (status.details.causes if status.details else None) or []:
        told = _CONFLICT_WITH.match(cause.message or "")
        if cause.reason == "FieldManagerConflict" and told is not None:
            found.append(FieldConflict(told["manager"][:128], (cause.field or "")[:512]))
    return tuple(found)


def _is_future_version(status: Status) -> bool:
    """Source: apimachinery pkg/api/errors `NewTimeoutError` as used by storage.NewTooLargeResourceVersionError."""
    causes = (status.details.causes if status.details else None) or []
    return any(cause.reason == "ResourceVersionTooLarge" for cause in causes) or (
        "Too large resource version" in (status.message or "")
    )
