"""JSON that is nested deeper than a decoder goes: cut to what anybody reads, so that it costs nobody else.

An object may hold thousands of levels where its kind lets users write what they like (a HelmRelease's `spec.values`);
the API server takes ten thousand. A decoder that has to skip them gives up, and with them the whole page of a list.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

DEPTH = 200
"""Levels that are kept. No shape of ours reads below its twentieth."""
DEEPEST = 20_000
"""Levels beyond which nothing is cut: no API server sends that, and what does is no answer of one."""

_STEP = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


def decode_deep(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """Return `body` decoded; what lies deeper than `DEPTH` is null where the decoder could not go so deep.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: as the decoder.
        RecursionError: nested deeper than any API server nests.
    """
    try:
        return decoder.decode(body)
    except RecursionError:
        return decoder.decode(cut_deep(bytes(body)))


def cut_deep(body: bytes, *, depth: int = DEPTH) -> bytes:
    """Return JSON with each array and object below `depth` levels replaced by null, in one pass without recursion.

    What is no JSON comes back as something that is none either; what is deeper than `DEEPEST`, as it is.
    """
    kept: list[bytes] = []
    level, begin = 0, 0
    for step in _STEP.finditer(body):
        character = step.group()
        if character in (b"[", b"{"):
            level += 1
            if level > DEEPEST:
                return body
            if level == depth + 1:
                kept.append(body[begin : step.start()])
        elif character in (b"]", b"}"):
            if level == depth + 1:
                kept.append(b"null")
                begin = step.end()
            level -= 1
    return b"".join([*kept, body[begin:]]) if level <= depth else body
