"""How long something took, as people read it, and as Go writes it."""

import math
import re

_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def duration(seconds: float) -> str:
    """`14s`, `2m13s`, `30m`, `3h05m`, `4d`: two units at most, as kubectl prints ages."""
    whole = round(abs(seconds))
    sign = "-" if seconds < 0 and whole else ""
    for size, unit, smaller_size, smaller_unit in _UNITS:
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{sign}{whole // size}{unit}" + (f"{rest:02}{smaller_unit}" if rest else "")
    return f"{sign}{whole}s"


_MICRO = "\u00b5s", "\u03bcs"
_GO_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9} | dict.fromkeys(_MICRO, 1e-6)
_GO_PART = f"([0-9]+(?:[.][0-9]+)?)(h|ms|m|s|us|ns|{'|'.join(_MICRO)})"
_GO_DURATION = re.compile(f"(?:{_GO_PART})+")
_GO_LIMIT = 40
"""Characters: Go writes no more for any duration."""
_GO_LONGEST_SECONDS = 2**63 / 1e9


def find_seconds(text: str | None) -> float | None:
    """Return the seconds of `133.902327ms` or `1m30.5s`, as Go's `Duration.String` writes them; None of anything else.

    A sign is nonsense too: nothing of which this is asked took less than no time.
    """
    if not text or len(text) > _GO_LIMIT or not _GO_DURATION.fullmatch(text):
        return None
    seconds = math.fsum(float(number) * _GO_SECONDS[unit] for number, unit in re.findall(_GO_PART, text))
    return seconds if seconds <= _GO_LONGEST_SECONDS else None
