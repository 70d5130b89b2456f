"""How a text is written in what Flux exports: plain, quoted, or as a block, and where it is folded.

Source: go.yaml.in/yaml/v2 emitterc.go, encode.go
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from enum import Enum
from itertools import pairwise

from fluxtrail.gitops.objects.documents import scalar_of

WIDTH = 80
"""Beyond this column a text is folded at its next space."""

BREAKS = frozenset("\r\n\x85\u2028\u2029")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_DATE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[Tt ](\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,]\d+)?(Z|[-+]\d\d:\d\d)?)?\Z",
    re.ASCII,
)
_INDICATORS = frozenset("#,[]{}&*!|>'\"%@`")
_ESCAPES = {
    0x00: "0",
    0x07: "a",
    0x08: "b",
    0x09: "t",
    0x0A: "n",
    0x0B: "v",
    0x0C: "f",
    0x0D: "r",
    0x1B: "e",
    0x22: '"',
    0x5C: "\\",
    0x85: "N",
    0xA0: "_",
    0x2028: "L",
    0x2029: "P",
}


class Style(Enum):
    PLAIN = "plain"
    SINGLE = "single"
    DOUBLE = "double"
    LITERAL = "literal"


def style_of(text: str, *, is_key: bool) -> Style:
    """Return how a text is written.

    Args:
        is_key: it stands before a colon, on one line.
    """
    traits = _Traits(text)
    if is_key and traits.is_multiline:
        return Style.DOUBLE
    if "\n" in text:
        return Style.LITERAL if traits.is_block_allowed and not is_key else Style.DOUBLE
    # Flux's writer leaves the key `<<` plain, which is then read as a merge of two mappings.
    if is_other_than_text(text) or (is_key and text == "<<"):
        return Style.DOUBLE
    if traits.is_plain_allowed:
        return Style.PLAIN
    return Style.SINGLE if traits.is_single_allowed else Style.DOUBLE


def is_other_than_text(text: str) -> bool:
    """Tell whether a plain scalar of these characters would be read as something else: a number, a truth, a date."""
    return not isinstance(scalar_of(text), str) or _is_date(text) or bool(_BASE_60.match(text))


def _is_date(text: str) -> bool:
    found = _DATE.match(text)
    if found is None:
        return False
    year, month, day, *clock, zone = found.groups()
    if clock[0] is not None and ((zone is None) != (text[len(f"{year}-{month}-{day}")] == " ")):
        return False
    try:
        date(max(int(year), 1), int(month), int(day))
    except ValueError:
        return False
    hours, minutes, seconds = (int(each or 0) for each in clock)
    return hours < 24 and minutes < 60 and seconds < 60


class _Traits:
    """What in a text decides how it may be written."""

    def __init__(self, text: str) -> None:
        self.is_multiline = any(char in BREAKS for char in text)
        is_special = any(not _is_printable(char) for char in text) or _has_space_before_break(text)
        edge = bool(text) and (text[0] == " " or text[-1] == " " or text[0] in BREAKS or text[-1] in BREAKS)
        is_break_space = _has_space_after_break(text)
        self.is_single_allowed = not (is_special or is_break_space)
        self.is_block_allowed = bool(text) and not is_special and not text.endswith(" ")
        self.is_plain_allowed = self.is_single_allowed and not (edge or self.is_multiline or _has_indicator(text))


def _has_indicator(text: str) -> bool:
    """Tell whether a character means something to YAML where it stands."""
    if text.startswith(("---", "...")) or text[:1] in _INDICATORS:
        return True
    for place, char in enumerate(text):
        is_last = place + 1 == len(text) or text[place + 1] in " \t"
        if (char == ":" or (place == 0 and char in "?-")) and is_last:
            return True
        if char == "#" and place and (text[place - 1] in " \t" or text[place - 1] in BREAKS):
            return True
    return False


def _has_space_before_break(text: str) -> bool:
    return any(one == " " and other in BREAKS for one, other in pairwise(text))


def _has_space_after_break(text: str) -> bool:
    return any(one in BREAKS and other == " " for one, other in pairwise(text))


def _is_printable(char: str) -> bool:
    code = ord(char)
    return (
        code == 0x0A or 0x20 <= code <= 0x7E or 0xA0 <= code <= 0xD7FF or (0xE000 <= code <= 0xFFFD and code != 0xFEFF)
    )


def is_break(char: str) -> bool:
    return char in BREAKS


def escaped(char: str) -> str | None:
    """Return a character as it stands between double quotes, or None where it stands for itself."""
    code = ord(char)
    if _is_printable(char) and char not in '"\\' and char not in BREAKS:
        return None
    if code in _ESCAPES:
        return "\\" + _ESCAPES[code]
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def number_text(value: float) -> str:
    """Return a number in the fewest digits; one that is whole and fits 64 bits without a point or an exponent."""
    if float(value).is_integer() and -(2**63) <= value < 2**64:
        return str(int(value))
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    assert isinstance(exponent, int)
    power = len(digits) + exponent - 1
    text = "".join(map(str, digits))
    minus = "-" if sign else ""
    if -5 < power < 0:
        return f"{minus}0.{'0' * (-power - 1)}{text}"
    if 0 <= power < 6:
        return f"{minus}{text[: power + 1]}.{text[power + 1 :]}"
    mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
    return f"{minus}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
