"""Reads what was posted: never more than a body may have, never longer than it may take, never too much at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fluxtrail.web.access.asgi import Receive
from fluxtrail.web.hooks.answers import DisconnectedError, Reason, RefusedError

BODY_LIMIT_BYTES = 3 * 1024 * 1024
"""As notification-controller's own."""
BODY_SECONDS = 30.0
SMALL_BYTES = 64 * 1024
"""A Flux event has no more. Bodies up to it are always read, so that large ones cannot keep them out."""
HELD_LIMIT_BYTES = 64 * 1024 * 1024
"""Of all larger bodies together."""
DRAIN_SECONDS = 3.0
BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Of bodies; others than these are for tests."""

    body_bytes: int = BODY_LIMIT_BYTES
    body_seconds: float = BODY_SECONDS
    held_bytes: int = HELD_LIMIT_BYTES
    drain_seconds: float = DRAIN_SECONDS


class Bodies:
    def __init__(self, limits: Limits = Limits()) -> None:
        self.limits = limits
        self._held = 0
        """Bytes of the larger bodies that are being read or looked at."""

    @contextmanager
    def room(self) -> Iterator[_Room]:
        """Yield what a request holds of the memory for all; given back at the end."""
        room = _Room(self)
        try:
            yield room
        finally:
            self._held -= room.size

    def check_length(self, stated: str | None) -> None:
        """Refuse by what the client says that it will send; what it sends is counted all the same."""
        if stated is not None and stated.isdigit() and int(stated[:20]) > self.limits.body_bytes:
            raise self._too_large()

    async def read(self, receive: Receive, room: _Room) -> bytes:
        """Return the whole body.

        Raises:
            RefusedError: it is too large or too slow, or there is no room for it now.
            DisconnectedError: the client went away.
        """
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                return await self._read(receive, room)
        except TimeoutError:
            detail = f"the body was not complete after {self.limits.body_seconds:g} s; send it at once"
            raise RefusedError(Reason.TOO_SLOW, detail, closes=True) from None

    async def _read(self, receive: Receive, room: _Room) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise DisconnectedError
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > self.limits.body_bytes:
                raise self._too_large()
            if size > SMALL_BYTES:
                self._charge(room, size)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def drain(self, receive: Receive) -> bool:
        """Let a client that is refused anyway say the rest, so that it hears why; returns whether it came to its end.

        To answer and close in the middle of a body makes many clients lose the answer.
        """
        left = self.limits.body_bytes
        try:
            async with asyncio.timeout(self.limits.drain_seconds):
                while left >= 0:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise DisconnectedError
                    if not message.get("more_body", False):
                        return True
                    left -= len(message.get("body", b""))
        except TimeoutError:
            pass
        return False

    def _charge(self, room: _Room, size: int) -> None:
        more = size - room.size
        if self._held + more > self.limits.held_bytes:
            detail = "too many large bodies are being read; post it again"
            raise RefusedError(Reason.BUSY, detail, retry_after_seconds=BUSY_SECONDS, closes=True)
        self._held += more
        room.size = size

    def _too_large(self) -> RefusedError:
        detail = f"at most {self.limits.body_bytes} bytes of body are read; post less"
        return RefusedError(Reason.TOO_LARGE, detail, closes=True)


class _Room:
    """What one request holds."""

    __slots__ = ("size",)

    def __init__(self, _bodies: Bodies) -> None:
        self.size = 0
