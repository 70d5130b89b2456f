"""Durations as Go reads and writes them: `90s` is `1m30s`, and `5m` is `5m0s`, in what Flux exports."""

from __future__ import annotations

import re
from decimal import Decimal

from fluxtrail.model.errors import ConfigError

_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+\Z")
_MICROSECONDS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}
_LONGEST_MICROSECONDS = 2**63 // 1000


def go_duration(text: str, *, subject: str) -> str:
    """Return a duration in Go's form.

    Raises:
        ConfigError: no duration of hours, minutes, seconds and milliseconds; those are the units that Flux takes.
    """
    found = find_duration(text)
    if found is None:
        raise ConfigError(f"{text[:40]!r} is no duration; write it as 30s, 5m or 1h30m", subject=subject)
    return found


def find_duration(text: object) -> str | None:
    """Return a duration in Go's form, or None where it is none, or finer than a microsecond."""
    if not isinstance(text, str) or len(text) > 60 or not _WHOLE.match(text):
        return None
    total = sum(Decimal(number.rstrip(".")) * _MICROSECONDS[unit] for number, unit in _PART.findall(text))
    whole = int(total)
    return _text(whole) if whole == total and whole <= _LONGEST_MICROSECONDS else None


def _text(microseconds: int) -> str:
    if microseconds == 0:
        return "0s"
    if microseconds < 1_000_000:
        # Below a second Go takes the smaller unit, and Kubernetes refuses microseconds.
        return f"{_fraction(microseconds, 1_000)}ms" if microseconds >= 1_000 else f"{microseconds}\u00b5s"
    minutes, seconds = divmod(microseconds, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{_fraction(seconds, 1_000_000)}s"
    return f"{hours}h{minutes}m{tail}" if hours else f"{minutes}m{tail}" if minutes else tail


def _fraction(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
