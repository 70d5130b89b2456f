"""A registry's refusals in our words, and when it wants to be asked again.

Source: OCI distribution specification 1.1, "Error codes"; RFC 9110, 10.2.3 (Retry-After).
"""

from collections.abc import Mapping

import msgspec

from fluxtrail.model.errors import AuthError, ConflictError, NotFoundError, RateLimitedError, UpstreamError
from fluxtrail.model.moment import parse_http_date
from fluxtrail.model.redaction import redact

DEFAULT_WAIT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 2 * 3600.0
_GONE = frozenset({404, 410, 451})


class _Error(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Errors(msgspec.Struct):
    errors: list[_Error | None] | None = None
    error_description: str | None = None
    details: str | None = None


def translate(
    status: int, headers: Mapping[str, str], body: bytes, *, subject: str, secrets: tuple[str, ...], now: float
) -> UpstreamError:
    """Return the error that an answer of 300 or more means.

    Args:
        headers: names in lower case.
        now: POSIX seconds, for a `Retry-After` that is a date.
    """
    said = redact(_message(body), secrets=secrets, limit_bytes=300) or "no message"
    wait = find_wait_seconds(headers, now=now)
    if status == 429:
        seconds = DEFAULT_WAIT_SECONDS if wait is None else wait
        message = f"the registry asks to be left alone for {seconds:.0f} s: {said}"
        return RateLimitedError(message, status=status, retry_after_seconds=seconds, subject=subject)
    if status in (401, 403):
        what = "refused, check `credentials` or docker's config.json: the login is missing, wrong, expired or too weak"
        return AuthError(f"{what}: {said}", status=status, subject=subject)
    if status in _GONE:
        what = "not found: it was deleted, never existed, or is hidden from these credentials"
        return NotFoundError(f"{what}: {said}", status=status, subject=subject)
    if status in (409, 422):
        return ConflictError(f"the registry cannot do this now: {said}", status=status, subject=subject)
    is_retryable = status >= 500 or status == 408
    return UpstreamError(
        f"the registry answered {status}: {said}",
        status=status,
        retryable=is_retryable,
        retry_after_seconds=wait,
        subject=subject,
    )


def find_wait_seconds(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return `Retry-After` in seconds, bounded, or None where there is none that can be read.

    A date is compared with the server's own `Date`, where it has one: our clock may differ by minutes.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        moment = _parse_date(text)
        if moment is None:
            return None
        seconds = moment - (_parse_date(headers.get("date", "")) or now)
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _parse_date(text: str) -> float | None:
    moment = parse_http_date(text)
    return moment.timestamp() if moment else None


def _message(body: bytes) -> str:
    try:
        wire = msgspec.json.decode(body, type=_Errors)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body[:300].decode("utf-8", "replace")
    told = [f"{error.code or ''} {error.message or ''}".strip() for error in wire.errors or () if error is not None]
    return "; ".join(told[:3]) or wire.error_description or wire.details or ""
