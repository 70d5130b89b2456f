"""Cuts a byte stream into lines without looking at a byte twice and without a line limit that kills the stream."""

from __future__ import annotations

from fluxtrail.clusters.answers import OversizedError

LINE_LIMIT_BYTES = 8 * 1024 * 1024


class LineSplitter:
    """Turns chunks of any size into whole lines.

    What is left of an unfinished line is kept as the chunks it came in, joined once when its end arrives: a line of
    8 MiB in 64 KiB chunks costs one copy, not a hundred.
    """

    def __init__(self, *, limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._parts: list[bytes] = []
        self._size_bytes = 0

    @property
    def pending_bytes(self) -> int:
        """How much of an unfinished line is held."""
        return self._size_bytes

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that `chunk` finishes, without their newline and without empty ones.

        Raises:
            OversizedError: a line is longer than the bound. The stream has to be given up: the line's object is not
                known, so what it said can only be found by listing.
        """
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines:
            if self._parts:
                self._parts.append(lines[0])
                lines[0] = b"".join(self._parts)
                self._parts.clear()
            self._size_bytes = 0
        if rest:
            self._parts.append(rest)
            self._size_bytes += len(rest)
        if self._size_bytes > self._limit_bytes or any(len(line) > self._limit_bytes for line in lines):
            raise OversizedError(f"a line is longer than {self._limit_bytes} bytes", subject="watch")
        return [line for line in lines if line]
