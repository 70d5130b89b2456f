"""Deals with what outside systems told us, each notice until it is settled.

A notice is dealt with in two steps: whoever looks at something does so at once; whoever needs to know in which order
things happened gets it a little later, together with what came meanwhile, for notices come in no order. Until both have
been done it stays in the inbox, so that nothing is lost with the process.

A notice that somebody cannot deal with is told in the log and let go: it keeps no other waiting. Where the ledger is
away nothing is settled, and all of it is dealt with again: to deal with a notice twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from fluxtrail.model.errors import FluxtrailError, StoreError
from fluxtrail.model.notices import KeptNotice, NoticeId
from fluxtrail.trail.ports import Clock

log = structlog.get_logger(__name__)

BATCH = 500
MOST_HELD = 5_000
"""With more than these nothing is held back any longer."""
POLL_SECONDS = 5.0
"""Another process may have taken something in, and died over it."""
HELD_POLL_SECONDS = 0.25

Handler = Callable[[Sequence[KeptNotice]], Awaitable[None]]
"""Deals with some notices, as far as they concern it. Raises FluxtrailError kin."""


class Inbox(Protocol):
    """Notices that wait. Every method raises StoreError."""

    async def take(self, limit: int) -> Sequence[KeptNotice]: ...

    async def settle(self, ids: Sequence[NoticeId]) -> None: ...


class NoticeWorker:
    """`run` it for ever; `wake` it when something was taken in."""

    def __init__(
        self,
        inbox: Inbox,
        handlers: Sequence[Handler],
        *,
        clock: Clock,
        ordered: Sequence[Handler] = (),
        needs_order: Callable[[KeptNotice], bool] = lambda _: False,
        hold_seconds: float = 0.0,
    ) -> None:
        """Args:
        handlers: are handed each notice at once.
        ordered: are handed it once it has been held back, where it needs to be.
        needs_order: whether a notice is to be held back.
        hold_seconds: for how long, since it was received.
        """
        self._inbox = inbox
        self._handlers = tuple(handlers)
        self._ordered = tuple(ordered)
        self._needs_order = needs_order
        self._hold = timedelta(seconds=hold_seconds)
        self._clock = clock
        self._wake = asyncio.Event()
        self._held: frozenset[NoticeId] = frozenset()
        """Those that were handed to `handlers`, and are still to be handed to `ordered`."""
        self.dealt_with: Counter[str] = Counter()
        """Notices since the start, by hook."""

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Raises StoreError where the ledger cannot be used."""
        while True:
            self._wake.clear()
            if not await self.work():
                await self._rest()

    async def work(self) -> bool:
        """Deal with what waits; False if there is nothing to do now."""
        notices = await self._inbox.take(BATCH + len(self._held))
        fresh = [notice for notice in notices if notice.id not in self._held]
        due = [notice for notice in notices if not self._is_early(notice)] if len(notices) <= MOST_HELD else notices
        for handle in self._handlers if fresh else ():
            await self._hand(handle, fresh)
        for handle in self._ordered if due else ():
            await self._hand(handle, due)
        await self._inbox.settle([notice.id for notice in due])
        self._held = frozenset(notice.id for notice in notices) - {notice.id for notice in due}
        self.dealt_with.update(notice.hook.value for notice in due)
        return bool(fresh or due)

    def _is_early(self, notice: KeptNotice) -> bool:
        """A clock that was set back holds nothing for longer."""
        waited = abs(self._clock.now() - notice.received_at)
        return waited < self._hold and self._needs_order(notice)

    async def _hand(self, handle: Handler, notices: Sequence[KeptNotice]) -> None:
        """Hand them over at once; if that fails, one by one, so that one of them cannot spoil the rest."""
        try:
            await handle(notices)
        except StoreError:
            raise
        except FluxtrailError as exc:
            if len(notices) == 1:
                log.warning("notice_not_used", hook=notices[0].hook.value, error=str(exc))
                return
            for notice in notices:
                await self._hand(handle, [notice])

    async def _rest(self) -> None:
        seconds = min(POLL_SECONDS, HELD_POLL_SECONDS) if self._held else POLL_SECONDS
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
