"""gzip of bodies whose parts mostly stay the same: each part is compressed once, for as long as it is there.

What comes out is one gzip member, because not everybody reads on behind the first. Parts that were compressed each
for itself may stand one behind the other in it; their checksums are put together without looking at the bytes.

Source: RFC 1952; RFC 1951, 3.2.3; zlib, crc32.c (crc32_combine).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary

GZIP_LEVEL = 1
"""Two and a half times faster than the best level for a seventh more bytes."""
KEPT_FROM_BYTES = 16 * 1024
"""Smaller parts are compressed together with those beside them, which makes less of them, each time."""
SENT_AT_ONCE_BYTES = 64 * 1024
"""Smaller parts are sent together: each costs a call of the system."""
_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate; no name, no time, no particular system."""
_LAST = b"\x03\x00"
"""A last block, in which nothing is."""
_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31


class Piece(Protocol):
    """Bytes that stay the same for as long as this object is there. Any thread may read them."""

    def __len__(self) -> int:
        """Return how many there are, without reading them."""

    def read(self) -> bytes:
        """Return them."""


Body = Sequence[bytes | Piece]


def read(part: bytes | Piece) -> bytes:
    """Return the bytes of a part of a body."""
    return part if isinstance(part, bytes) else part.read()


def gathered(body: Body) -> Iterator[bytes]:
    """Yield the bytes of a body in few parts, read when they are asked for; none is empty."""
    small: list[bytes] = []
    size = 0
    for part in body:
        small.append(read(part))
        size += len(part)
        if size >= SENT_AT_ONCE_BYTES:
            yield small[0] if len(small) == 1 else b"".join(small)
            small, size = [], 0
    if size:
        yield b"".join(small)


class Packer:
    """Puts gzip around bodies. One at a time, from any thread."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Piece, _Packed] = WeakKeyDictionary()

    def pack(self, body: Body) -> list[bytes]:
        """Return a body with gzip around it."""
        parts = list(self._packed(body))
        checksum = size = 0
        for part in parts:
            checksum = _product(part.shift, checksum) ^ part.checksum
            size += part.size
        tail = _LAST + checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
        return [_HEAD, *(part.data for part in parts), tail]

    def _packed(self, body: Body) -> Iterable[_Packed]:
        together: list[bytes] = []
        for part in body:
            if isinstance(part, bytes) or len(part) < KEPT_FROM_BYTES:
                together.append(read(part))
                continue
            packed = self._kept.get(part)
            if packed is None:
                packed = self._kept[part] = _pack((part.read(),))
            if together:
                yield _pack(together)
                together = []
            yield packed
        if together:
            yield _pack(together)


class _Packed(NamedTuple):
    """Bytes compressed for themselves: nothing in them refers to what stands before."""

    data: bytes
    size: int
    checksum: int
    shift: int
    """What the checksum of all bytes before these has to be multiplied with."""


def _pack(parts: Sequence[bytes]) -> _Packed:
    packer = zlib.compressobj(GZIP_LEVEL, wbits=-zlib.MAX_WBITS)
    data = [packer.compress(part) for part in parts]
    data.append(packer.flush(zlib.Z_SYNC_FLUSH))
    checksum = size = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
        size += len(part)
    return _Packed(b"".join(data), size, checksum, _power(8 * size))


def _product(first: int, second: int) -> int:
    """Multiply polynomials over two elements, modulo the checksum's own. The lowest bit is the highest power."""
    result = 0
    while first:
        if first & _ONE:
            result ^= second
        first = first << 1 & 0xFFFFFFFF
        second = second >> 1 ^ _POLYNOMIAL if second & 1 else second >> 1
    return result


@lru_cache(maxsize=64)
def _squared(times: int) -> int:
    """Return x to the power of 2 to the power of `times`."""
    return _ONE >> 1 if times == 0 else _product(_squared(times - 1), _squared(times - 1))


def _power(exponent: int) -> int:
    """Return x to the power of `exponent`: a checksum that is multiplied with it stands so many bits earlier."""
    result = _ONE
    for times in range(exponent.bit_length()):
        if exponent >> times & 1:
            result = _product(_squared(times), result)
    return result
