"""What an answer of the artifact metadata API means: taken, unknown, refused, or to be tried again, and when. Pure.

Source: docs.github.com, REST API, "Rate limits" and "Best practices"; github/deployment-tracker,
pkg/deploymentrecord/client.go, whose rules these are but for dates in `Retry-After` and a 429 without headers.
"""

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import msgspec

from fluxtrail.model.moment import parse_http_date
from fluxtrail.model.redaction import redact

BODY_LIMIT_BYTES = 10 * 1024 * 1024
DEFAULT_WAIT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 2 * 3600.0
SAID_LIMIT_BYTES = 300
_SECONDARY_WORDS = ("secondary rate limit", "abuse detection", "api rate limit exceeded")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    is_cut: bool = False
    """The body was longer than its limit: this is its beginning."""


class Meaning(Enum):
    TAKEN = auto()
    UNKNOWN = auto()
    """404."""
    CONFLICT = auto()
    """409."""
    LIMITED = auto()
    REFUSED = auto()
    """Any other 4xx."""
    FAILED = auto()


def judge(answer: Answer) -> Meaning:
    """Return what an answer means.

    A 403 is the rate limit only where its headers or words say so: else the credentials are too weak.
    """
    status, headers = answer.status, answer.headers
    if 200 <= status < 300:
        return Meaning.TAKEN
    if status == 404:
        return Meaning.UNKNOWN
    if status == 409:
        return Meaning.CONFLICT
    if not 400 <= status < 500:
        return Meaning.FAILED
    is_exhausted = headers.get("x-ratelimit-remaining", "").strip() == "0"
    if status == 429 or headers.get("retry-after", "").strip() or (status == 403 and is_exhausted):
        return Meaning.LIMITED
    if status == 403 and any(words in read_message(answer.body).lower() for words in _SECONDARY_WORDS):
        return Meaning.LIMITED
    return Meaning.REFUSED


def find_delay_seconds(headers: Mapping[str, str], *, now: float) -> float:
    """Return for how long an answer that is a rate limit wants no more: 0 to two hours.

    The larger of `Retry-After` (seconds or a date) and, where nothing remains, the time to the reset; a minute where
    neither can be used. The server's own `Date` is the "now" its times refer to, where it has one.

    Args:
        headers: names in lower case.
        now: POSIX seconds.
    """
    said = find_retry_after(headers, now=now)
    reset = find_reset(headers, now=now)
    stated = [seconds for seconds in (said, reset) if seconds is not None]
    return max(stated) if stated else DEFAULT_WAIT_SECONDS


def find_retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds of `Retry-After`, or None where there is none that can be read."""
    text = headers.get("retry-after", "").strip()
    seconds = _parse_seconds(text)
    if seconds is not None:
        return _bounded(seconds)
    moment = _parse_date(text)
    return None if moment is None else _bounded(moment - _server_now(headers, now))


def find_reset(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds until the primary limit is full again, or None where some of it remains or it is past."""
    if headers.get("x-ratelimit-remaining", "").strip() != "0":
        return None
    reset = _parse_seconds(headers.get("x-ratelimit-reset", "").strip())
    if reset is None:
        return None
    wait = reset - _server_now(headers, now)
    return _bounded(wait) if wait > 0 else None


async def read_bounded(chunks: AsyncIterable[bytes], limit_bytes: int) -> tuple[bytes, bool]:
    """Return at most `limit_bytes` of a body, and whether there was more; what is more is not read to its end."""
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > limit_bytes:
            return bytes(content[:limit_bytes]), True
    return bytes(content), False


class _ErrorBody(msgspec.Struct):
    message: Any = None
    errors: Any = None


def read_message(body: bytes) -> str:
    """Return what an error's body says, not redacted: its `message`, and its `errors` where it has any."""
    head = body[: 64 * 1024]
    try:
        wire = msgspec.json.decode(head, type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return head[:1024].decode("utf-8", "replace").strip()
    message = wire.message if isinstance(wire.message, str) else ""
    if not wire.errors:
        return message
    return f"{message} {msgspec.json.encode(wire.errors).decode()}".strip()


def said_by(answer: Answer, *, secrets: tuple[str, ...]) -> str:
    """Return what GitHub said, fit for a message of ours."""
    return redact(read_message(answer.body), secrets=secrets, limit_bytes=SAID_LIMIT_BYTES) or "no message"


def _parse_seconds(text: str) -> float | None:
    return float(text[:15]) if text.isascii() and text.isdecimal() else None


def _parse_date(text: str) -> float | None:
    moment = parse_http_date(text)
    return moment.timestamp() if moment else None


def _server_now(headers: Mapping[str, str], now: float) -> float:
    moment = _parse_date(headers.get("date", ""))
    return now if moment is None else moment


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
