"""Lines in blocks, of which most are the same from one scrape to the next: what was made of one stays good.

Most of what Flux writes (a reconciliation that found nothing to do) changes no line, and so no block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fluxtrail.model.observation import ObjectKey

LINES_IN_BLOCK = 512
"""Some 140 KiB. Larger ones are made again more often, smaller ones are packed less well and cost more to send."""


class Block:
    """Some lines as they were at one moment: the same bytes for as long as it is there. Any thread may read it."""

    __slots__ = ("__weakref__", "_lines", "_size")

    def __init__(self, lines: Sequence[bytes], size: int) -> None:
        self._lines = lines
        self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytes:
        """Return the lines as one. It is not kept: to join them again costs less than memory that is had anew."""
        return b"".join(self._lines)


class Blocks:
    """The lines of one kind's objects in one family; the order is that in which they came, but gaps are filled.

    An object keeps its place for as long as it is there, so that a change concerns one block.
    """

    def __init__(self) -> None:
        self._clear()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._places)

    def get(self, key: ObjectKey) -> bytes:
        """Return an object's line; none is empty."""
        place = self._places.get(key)
        return b"" if place is None else self._lines[place]

    def put(self, key: ObjectKey, line: bytes) -> None:
        """Take an object's line, which is not empty, instead of the one it had."""
        place = self._places.get(key)
        if place is None:
            self._places[key] = self._take_place(line)
        elif self._lines[place] != line:
            self._write(place, line)

    def pop(self, key: ObjectKey) -> bytes:
        """Take an object's line away and return it; empty where it had none."""
        place = self._places.pop(key, None)
        if place is None:
            return b""
        line = self._lines[place]
        self._write(place, b"")
        self._free.append(place)
        if len(self._free) > max(LINES_IN_BLOCK, len(self._places)):
            self._close_gaps()
        return line

    def blocks(self) -> list[Block]:
        """Return the lines as they are now."""
        for index, block in enumerate(self._blocks):
            if block is None:
                begin = index * LINES_IN_BLOCK
                self._blocks[index] = Block(self._lines[begin : begin + LINES_IN_BLOCK], self._sizes[index])
        return [block for block in self._blocks if block]

    def _clear(self) -> None:
        self._places: dict[ObjectKey, int] = {}
        self._lines: list[bytes] = []
        self._free: list[int] = []
        self._sizes: list[int] = []
        self._blocks: list[Block | None] = []

    def _take_place(self, line: bytes) -> int:
        if self._free:
            place = self._free.pop()
        else:
            place = len(self._lines)
            self._lines.append(b"")
            if place % LINES_IN_BLOCK == 0:
                self._sizes.append(0)
                self._blocks.append(None)
        self._write(place, line)
        return place

    def _write(self, place: int, line: bytes) -> None:
        index = place // LINES_IN_BLOCK
        self._sizes[index] += len(line) - len(self._lines[place])
        self._lines[place] = line
        self._blocks[index] = None

    def _close_gaps(self) -> None:
        """Give memory and blocks back that objects have left."""
        held = sorted(self._places, key=self._places.__getitem__)
        lines = [self._lines[self._places[key]] for key in held]
        self._clear()
        for key, line in zip(held, lines, strict=True):
            self.put(key, line)
