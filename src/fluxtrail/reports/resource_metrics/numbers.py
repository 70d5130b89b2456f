"""What counts as a number in an object, and which: truth values, moments, quantities, percentages and plain numbers.

Source: kube-state-metrics, pkg/customresourcestate (`toFloat64`); Kubernetes, apimachinery, api/resource (quantities);
Go, strconv.ParseFloat.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0, "unknown": 0.0}
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,][0-9]+)?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_QUANTITY = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,9})?")
_PERCENT = re.compile(r"[0-9]+%")
_FLOAT = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity)|nan", re.IGNORECASE)
_HEX = re.compile(r"[+-]?0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)p[+-]?[0-9]+", re.IGNORECASE)
_SEPARATORS = re.compile(r"(?<=[0-9])_(?=[0-9])")
_HEX_SEPARATORS = re.compile(r"(?:(?<=[0-9a-f])|(?<=0x))_(?=[0-9a-f])", re.IGNORECASE)
_DECIMAL = {"": 0, "n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_NANO = -9
_DIGITS = 18
"""Decimal digits that surely fit 64 bits."""
_INT64 = 2**63
_LARGEST_EXPONENT = 999
"""Beyond it, all is nothing or infinite."""
_LONGEST = 256
"""Characters beyond which a text is no number."""


def to_number(value: Any) -> float:
    """Return a decoded JSON value as a number.

    Raises:
        ValueError: it is none, or none at all; the message says so without the value.
    """
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        return _from_text(value)
    if value is None:
        raise ValueError("nothing is there")
    raise ValueError(f"a {'map' if isinstance(value, dict) else 'list'} is no number")


def _from_text(text: str) -> float:
    word = _WORDS.get(text.lower())
    if word is not None:
        return word
    if len(text) <= _LONGEST:
        for read in (_moment, _quantity, _percent, _plain):
            number = read(text)
            if number is not None:
                return number
    raise ValueError("the text is no number, quantity, percentage, truth value or moment")


def _moment(text: str) -> float | None:
    """Seconds since 1970, without their fraction."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    *parts, sign, hours, minutes = found.groups()
    try:
        moment = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        return None
    seconds = moment.timestamp()
    if sign is None:
        return seconds
    offset = int(hours) * 3600 + int(minutes) * 60
    return seconds + offset if sign == "-" else seconds - offset


def _quantity(text: str) -> float | None:
    """`250m`, `5Gi`, `1e3`: rounded as Kubernetes rounds, which goes up to the next billionth where it has to."""
    found = _QUANTITY.fullmatch(text) if text else None
    if found is None:
        return None
    sign, whole, fraction, suffix = (part or "" for part in found.groups())
    number, scale = int((whole + fraction) or "0"), -len(fraction)
    if suffix in _BINARY:
        number <<= _BINARY[suffix]
        is_exact = not fraction and 15 - max(len(whole), 1) - int(_BINARY[suffix] * 3 / 10) - 1 >= 0
    else:
        scale += _DECIMAL[suffix] if suffix in _DECIMAL else _bounded(int(suffix[1:]))
        is_exact = max(len(whole), 1) + len(fraction) <= _DIGITS and scale >= _NANO and number < _INT64
    if not is_exact:
        if not text.lstrip("+-.")[:1].isdigit():
            return None  # no digit at all: one is taken for 0 where it needs no rounding
        number, scale = _rounded(number, scale), _NANO
        if suffix in _BINARY:
            number = min(number, (_INT64 - 1) * 10**-_NANO)
    return _times(-number if sign == "-" else number, scale)


def _bounded(exponent: int) -> int:
    return max(-_LARGEST_EXPONENT, min(_LARGEST_EXPONENT, exponent))


def _rounded(number: int, scale: int) -> int:
    """Return `number` tens to the `scale` in billionths, rounded up."""
    shift = scale - _NANO
    power: int = 10 ** abs(shift)
    return number * power if shift >= 0 else -(-number // power)


def _times(number: int, scale: int) -> float:
    try:
        return float(number) if scale == 0 else float(number) * _power(scale)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _power(exponent: int) -> float:
    """Return 10 to the `exponent` as Go has it: made of two, so that the last digit may differ from the nearest."""
    size = abs(exponent)
    large, small = float(f"1e{size // 32 * 32}"), float(f"1e{size % 32}")
    if exponent > 0:
        return large * small
    return float(f"1e-{size // 32 * 32}") / small


def _percent(text: str) -> float | None:
    return float(text[:-1]) / 100 if _PERCENT.fullmatch(text) else None


def _plain(text: str) -> float | None:
    is_hex = text.lstrip("+-")[:2].lower() == "0x"
    bare = (_HEX_SEPARATORS if is_hex else _SEPARATORS).sub("", text) if "_" in text else text
    if is_hex and _HEX.fullmatch(bare):
        try:
            return float.fromhex(bare)
        except OverflowError:
            return None
    if _FLOAT.fullmatch(bare):
        number = float(bare)
        return None if math.isinf(number) and "n" not in bare.lower() else number
    return None
