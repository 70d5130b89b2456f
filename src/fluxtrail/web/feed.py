"""The live feed inside the process: one look at the ledger serves every client, however many there are.

Whoever has nothing to send waits here; one of the waiting looks at the ledger for all of them, and when it leaves
the next one does. What was read last is kept, a bounded window, as the bytes to send. A client that falls behind
the window reads the ledger by its own cursor: nothing is ever kept for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.feed import FeedItem
from fluxtrail.web.ports import Answers

log = structlog.get_logger(__name__)

DEFAULT_CLIENTS = 100
HEARTBEAT_SECONDS = 15.0
POLL_SECONDS = 1.0
"""How soon what another process wrote is seen."""
GATHER_SECONDS = 0.02
"""Between being woken and looking: what is written in one go is read in one go."""
PAGE = 100
WINDOW = 1000

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Event:
    item: FeedItem
    data: bytes
    """As server-sent event; the same bytes for every client."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What came behind a cursor; the next one goes on behind `last_id`."""

    events: Sequence[Event]
    last_id: int
    is_reset: bool = False


class Feed:
    """Share one of these between all clients of a process.

    Args:
        clients: how many may listen at once.
        monotonic: seconds; heartbeats are due by it.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        clients: int = DEFAULT_CLIENTS,
        poll_seconds: float = POLL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._answers = answers
        self._seats = clients
        self._taken = 0
        self._poll_seconds = poll_seconds
        self._monotonic = monotonic
        self._window: list[Event] = []
        self._floor = -1
        """The window holds everything behind this id, up to `_last`."""
        self._last = -1
        """-1: nothing was read since somebody listens."""
        self._is_looking = False
        self._woken = asyncio.Event()
        self._changed = asyncio.Event()
        self._beaten_at = monotonic()
        self.beat = 0
        """Grows when everybody has to say something, if only a heartbeat."""

    def take_seat(self) -> bool:
        """Return whether one more may listen; who may gives the seat back."""
        if self._taken >= self._seats:
            return False
        if not self._taken:
            self._restart()
            self._beaten_at = self._monotonic()
        self._taken += 1
        return True

    def leave_seat(self) -> None:
        self._taken -= 1

    def wake(self) -> None:
        """Say that something was written: it is looked at soon, not at the next poll."""
        self._woken.set()

    async def begin(self) -> int:
        """Return the id of the newest there is."""
        return (await self._answers.feed(None, PAGE)).last_id

    async def after(self, cursor: int) -> Batch:
        """Return what is behind `cursor`, at most a page of it; nothing where it is the end.

        Raises:
            StoreError: the ledger cannot be read.
        """
        if self._floor <= cursor <= self._last:
            first = bisect_right(self._window, cursor, key=lambda event: event.item.id)
            events = self._window[first : first + PAGE]
            return Batch(events, events[-1].item.id if events else cursor)
        page = await self._answers.feed(cursor, PAGE)
        return Batch([event_of(item) for item in page.items], page.last_id, page.is_reset)

    async def wait(self, cursor: int, beat: int) -> None:
        """Return when there may be something behind `cursor`, or a heartbeat is due since `beat`."""
        while self._last <= cursor and self.beat == beat:
            if self._is_looking:
                await self._changed.wait()
                continue
            self._is_looking = True
            try:
                await self._look()
            finally:
                self._is_looking = False
                self._changed.set()
                self._changed = asyncio.Event()

    async def _look(self) -> None:
        """Look at the ledger until it has something new, or a heartbeat is due."""
        is_begun = self._last >= 0
        while True:
            if is_begun:
                await self._pause()
            is_begun, before = True, self._last
            try:
                await self._read()
            except FluxtrailError as exc:
                log.warning("feed_unreadable", error=str(exc))
            if self._beats() or self._last != before:
                return

    def _beats(self) -> bool:
        if self._monotonic() - self._beaten_at < HEARTBEAT_SECONDS:
            return False
        self._beaten_at = self._monotonic()
        self.beat += 1
        return True

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await self._woken.wait()
                await asyncio.sleep(GATHER_SECONDS)
        self._woken.clear()

    async def _read(self) -> None:
        page = await self._answers.feed(self._last if self._last >= 0 else None, WINDOW)
        if page.is_reset or self._last < 0:
            self._restart()
            self._floor = self._last = page.last_id
            self.beat += page.is_reset  # whoever waits behind an id that is none any more has to hear of it
            return
        window = [*self._window, *map(event_of, page.items)]
        if len(window) > WINDOW:
            self._floor = window[-WINDOW - 1].item.id
        self._window = window[-WINDOW:]
        self._last = page.last_id
        if len(page.items) == WINDOW:
            self.wake()

    def _restart(self) -> None:
        self._window, self._floor, self._last = [], -1, -1


def event_of(item: FeedItem) -> Event:
    return Event(item, b"id: %d\nevent: %s\ndata: %s\n\n" % (item.id, item.kind.encode(), _encode(item)))
