"""The order of a mapping's keys in what Flux exports: by letters, and numbers in them by their value.

Source: go.yaml.in/yaml/v2 sorter.go
"""

from __future__ import annotations

from functools import cmp_to_key

_HALF = 1 << 63
"""Numbers beyond 64 bits start again below zero there."""


def _compare(one: str, other: str) -> int:
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a == b:
            continue
        if a.isalpha() or b.isalpha():
            both = a.isalpha() and b.isalpha()
            return _sign(ord(a) - ord(b)) if both else (1 if a.isalpha() else -1)
        return _compare_numbers(one, other, place)
    return _sign(len(one) - len(other))


def _compare_numbers(one: str, other: str, place: int) -> int:
    """Compare where the first difference is no letter: digits from there on are a number."""
    begun = 1 if "0" in {one[place], other[place]} and _follows_number(one, place) else 0
    first, first_end = _number(one, place, begun)
    second, second_end = _number(other, place, begun)
    return _sign(first - second) or _sign(first_end - second_end) or _sign(ord(one[place]) - ord(other[place]))


def _follows_number(text: str, place: int) -> bool:
    """Tell whether digits before `place` already make a number that is not 0."""
    before = place - 1
    while before >= 0 and text[before].isdecimal():
        if text[before] != "0":
            return True
        before -= 1
    return False


def _number(text: str, start: int, begun: int) -> tuple[int, int]:
    value, end = begun, start
    while end < len(text) and text[end].isdecimal():
        value = (value * 10 + ord(text[end]) - ord("0") + _HALF) % (2 * _HALF) - _HALF
        end += 1
    return value, end


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


NATURAL = cmp_to_key(_compare)
"""A key for `sorted`."""
