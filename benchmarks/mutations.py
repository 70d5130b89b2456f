"""Damage done to documents: to their bytes, and to the values of those that are JSON. Seeded: it can be done again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LONGEST_BYTES = 256 * 1024
"""Of a mutated document; most are no longer than what they were made from."""
DEEPEST = 20_000

VALUES: tuple[bytes, ...] = (
    b"null", b"true", b"{}", b"[]", b'""', b"0", b"-1", b"1e999", b"-0.0", b"1.5", b"9" * 400, b"-" + b"9" * 5000,
    b"18446744073709551616", b'"\\ud800"', b'"\\u0000"', b'"\xff\xfe"', b'"\xed\xa0\x80"',
    b'"' + b"\xc3\xa4" * 600 + b'"',
    b"[null]", b"[[]]", b'{"":null}', b'{"name":null}', b'{"a":{"a":{"a":{}}}}', b'"0001-01-01T00:00:00Z"',
    b'"9999-12-31T23:59:59.999999999999-23:59"', b'"2026-03-01T12:00:00.5z"', b'"main@sha1:' + b"a" * 40 + b'"',
    b'"https://user:p/w@[::1"', b'"oci://"', b'"@alias/**"', b'"@"', b"NaN", b"'",
    b'"' + b"9" * 5000 + b'"', b'"\xd9\xa3"', b'"12344"', b'"\\',
)  # fmt: skip
TOKENS: tuple[bytes, ...] = (
    b"\0", b"\n", b"\r\n", b"\xff", b"\xc3", b"\xe2\x80\xa8", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"@",
    b"/", b"//", b"..", b"%2f", b"%", b"sha1:", b"sha256:", b"-", b"+", b" ",
    b"99999999999999999999", b"\xd9\xa3", b"null",
)  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """A good document, and where its values stand if it is JSON."""

    data: bytes
    spans: tuple[tuple[int, int], ...]


def seed_of(data: bytes) -> Seed:
    return Seed(data, tuple(_spans(data)) if data[:1] in (b"{", b"[") else ())


def mutate(dice: random.Random, seed: Seed, others: Sequence[Seed]) -> bytes:
    """Return `seed` with up to six wounds; `others` are what it may be spliced with."""
    data = seed.data
    if seed.spans and dice.random() < 0.6:
        data = _replace_value(dice, seed, others)
        wounds = dice.choice((0, 0, 0, 1, 2))
    else:
        wounds = dice.choice((1, 1, 1, 2, 3, 5))
    for _ in range(wounds):
        data = dice.choices(_WOUNDS, _ODDS)[0](dice, data, dice.choice(others).data)
    return data[:LONGEST_BYTES]


def _replace_value(dice: random.Random, seed: Seed, others: Sequence[Seed]) -> bytes:
    kind = dice.random()
    if kind > 0.98:
        return _swell_members(dice, seed)
    begin, end = dice.choice(seed.spans)
    if kind < 0.35:
        value = b"null"
    elif kind < 0.85:
        value = dice.choice(VALUES)
    else:
        other = dice.choice(others)
        first, last = dice.choice(other.spans) if other.spans else (0, len(other.data))
        value = other.data[first:last]
    if kind > 0.975:
        value = _nested(dice)
    return seed.data[:begin] + value + seed.data[end:]


def _nested(dice: random.Random) -> bytes:
    depth = dice.choice((50, 900, 1100, DEEPEST))
    opening, closing = dice.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"":', b"}]")))
    is_closed = dice.random() < 0.5
    return opening * depth + (b"0" + closing * depth if is_closed else b"")


def _swell_members(dice: random.Random, seed: Seed) -> bytes:
    """Give a list or an object very many very small members: short on the wire, and long once they are read."""
    begin, end = dice.choice([span for span in seed.spans if seed.data[span[0]] in b"{["])
    return seed.data[:begin] + _members(dice, seed.data[begin : begin + 1]) + seed.data[end:]


def _members(dice: random.Random, opening: bytes) -> bytes:
    number = dice.choice((100, 5_000, 20_000))
    if opening == b"{":
        member = dice.choice((b'"%d":null', b'"%d":""', b'"%d":{}'))
        return b"{" + b",".join(member % count for count in range(number)) + b"}"
    member = dice.choice((b"{}", b"[]", b"null", b'""', b'"a"', b'{"name":"%d"}', b'{"type":""}', b'{"from":"@git"}'))
    return b"[" + b",".join(member % count if b"%" in member else member for count in range(number)) + b"]"


def _place(dice: random.Random, data: bytes) -> int:
    return dice.randrange(len(data) + 1)


def _flip(dice: random.Random, data: bytes, other: bytes) -> bytes:
    if not data:
        return b"\0"
    at = dice.randrange(len(data))
    return data[:at] + bytes((data[at] ^ (1 << dice.randrange(8)),)) + data[at + 1 :]


def _insert(dice: random.Random, data: bytes, other: bytes) -> bytes:
    at = _place(dice, data)
    return data[:at] + dice.choice(TOKENS) * dice.choice((1, 1, 1, 2, 40)) + data[at:]


def _insert_noise(dice: random.Random, data: bytes, other: bytes) -> bytes:
    at = _place(dice, data)
    return data[:at] + dice.randbytes(dice.choice((1, 2, 8, 64))) + data[at:]


def _delete(dice: random.Random, data: bytes, other: bytes) -> bytes:
    at = _place(dice, data)
    return data[:at] + data[at + dice.choice((1, 1, 2, 8, 40, 400)) :]


def _duplicate(dice: random.Random, data: bytes, other: bytes) -> bytes:
    at = _place(dice, data)
    part = data[at : at + dice.choice((1, 4, 30, 200))]
    return data[:at] + part * dice.choice((2, 2, 3, 10)) + data[at + len(part) :]


def _swell(dice: random.Random, data: bytes, other: bytes) -> bytes:
    """Repeat a small part until it is most of the document: what is small on the wire and large once it is read."""
    at = _place(dice, data)
    part = dice.choice((b"{},", b"[],", b"null,", b'{"name":"a"},', b'{"a":1},', b"\0", b"a/", data[at : at + 24]))
    times = dice.choice((1_000, 20_000, 60_000)) // max(len(part), 1)
    return data[:at] + part * times + data[at:]


def _truncate(dice: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: _place(dice, data)]


def _splice(dice: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: _place(dice, data)] + other[_place(dice, other) :]


def _transpose(dice: random.Random, data: bytes, other: bytes) -> bytes:
    first, middle, last = sorted(_place(dice, data) for _ in range(3))
    return data[:first] + data[middle:last] + data[first:middle] + data[last:]


def _nest(dice: random.Random, data: bytes, other: bytes) -> bytes:
    at = _place(dice, data)
    return data[:at] + _nested(dice) + data[at:]


Wound = Callable[[random.Random, bytes, bytes], bytes]
_WOUNDS: tuple[Wound, ...] = (
    _flip, _insert, _insert_noise, _delete, _duplicate, _truncate, _splice, _transpose, _swell, _nest,
)  # fmt: skip
_ODDS = (20, 20, 10, 15, 10, 8, 10, 6, 0.6, 0.4)


def _spans(data: bytes) -> list[tuple[int, int]]:
    """Return where each value of a JSON document begins and ends, keys left out."""
    found: list[tuple[int, int]] = []
    open_at: list[int] = []
    at = 0
    while at < len(data):
        if data[at : at + 1] in (b"{", b"["):
            open_at.append(at)
            at += 1
        elif data[at : at + 1] in (b"}", b"]"):
            at += 1
            found.append((open_at.pop(), at))
        elif data[at : at + 1] in b" \n,:":
            at += 1
        else:
            end = _end_of_scalar(data, at)
            if data[end : end + 1] != b":":
                found.append((at, end))
            at = end
    return found


def _end_of_scalar(data: bytes, at: int) -> int:
    is_text = data[at : at + 1] == b'"'
    end = at + 1
    while end < len(data):
        if is_text and data[end : end + 1] == b"\\":
            end += 2
        elif is_text and data[end : end + 1] == b'"':
            return end + 1
        elif not is_text and data[end : end + 1] in (b",", b"}", b"]"):
            return end
        else:
            end += 1
    return end
