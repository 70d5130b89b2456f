"""Values as the text of a label: as Go's `%v` writes them, which is what kube-state-metrics' users see today.

Source: Go, packages fmt and strconv; Prometheus' text format 0.0.4 and OpenMetrics 1.0, which escape labels alike.
"""

from __future__ import annotations

import math
import re
from typing import Any

VALUE_LIMIT = 4096
"""Characters of a label's value. What is longer is cut: no scraper keeps it whole."""


_NO_LABEL = re.compile("[^a-zA-Z0-9_]")
_INT64 = 2**63
_EXPONENT_FROM = 6


def label_name(name: str) -> str:
    """Return a label's name as kube-state-metrics makes it of any text; beyond that, it never begins with a digit."""
    name = _NO_LABEL.sub("_", name)
    return name if name and not name[0].isdigit() else f"_{name}"


def go_text(value: Any) -> str:
    """Return a decoded JSON value as Go's `%v` writes it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(go_text(item) for item in value)}]"
    # What does not fit 64 bits is a float there.
    return str(value) if -_INT64 <= value < _INT64 else go_float(float(value))


def escape(value: str) -> str:
    """Return a label's value as it stands between quotes."""
    if len(value) > VALUE_LIMIT:
        value = value[: VALUE_LIMIT - 1] + "…"
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value


def go_float(value: float) -> str:
    """The shortest digits that are this number; an exponent below 1e-4 and from 1e6 on, of two digits at least.

    The value of a sample is written so as well.
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    mantissa, _, shown = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    written = (whole + fraction).lstrip("0")
    digits = written.rstrip("0")
    if not digits:
        return f"{sign}0"
    exponent = int(shown or 0) + len(whole) - 1 - (len(whole + fraction) - len(written))
    if exponent < -4 or exponent >= _EXPONENT_FROM:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    digits = digits.ljust(exponent + 1, "0")
    rest = digits[exponent + 1 :]
    return f"{sign}{digits[: exponent + 1]}{'.' + rest if rest else ''}"
