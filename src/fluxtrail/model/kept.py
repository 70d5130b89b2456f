"""Small values of pods and workloads as they are kept: bounded, redacted, and one for all who share it."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from sys import intern

from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.redaction import MESSAGE_LIMIT_BYTES, redact

MAX_WORD = 128
"""Characters of a reason, a status, a strategy: of what is one word."""
MAX_COUNT = 2**31 - 1
MAX_GENERATION = 2**63 - 1
"""What the API itself gives a count and a generation."""

_LONGEST_TIMESTAMP = 64

# Objects are listed by name: those of one owner, and often of one second, come one after the other.
_parsed = lru_cache(maxsize=1024)(parse_timestamp)
_redacted = lru_cache(maxsize=512)(redact)


def find_moment(text: str | None) -> datetime | None:
    """Return a timestamp, or None for what is none."""
    return _parsed(text[:_LONGEST_TIMESTAMP]) if text else None


def clear_message(text: str | None) -> str:
    """Return a message fit to keep: redacted, at most 1 KiB."""
    if not text:
        return ""
    return _redacted(text) if len(text) <= MESSAGE_LIMIT_BYTES else redact(text)


def word(text: str | None) -> str:
    return intern(text[:MAX_WORD]) if text else ""


def count(number: int | None) -> int:
    return max(0, min(number, MAX_COUNT)) if number else 0


def generation(number: int | None) -> int:
    return max(0, min(number, MAX_GENERATION)) if number else 0
