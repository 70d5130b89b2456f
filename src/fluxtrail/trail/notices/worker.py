"""Deals with what outside systems told us, in the order in which it was taken in, each notice until it is settled.

A notice that somebody cannot deal with is told in the log and let go: it keeps no other waiting. Where the ledger is
away nothing is settled, and all of it is dealt with again: to deal with a notice twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from fluxtrail.model.errors import FluxtrailError, StoreError
from fluxtrail.model.notices import KeptNotice, NoticeId

log = structlog.get_logger(__name__)

BATCH = 500
POLL_SECONDS = 5.0
"""Another process may have taken something in, and died over it."""

Handler = Callable[[Sequence[KeptNotice]], Awaitable[None]]
"""Deals with some notices, as far as they concern it. Raises FluxtrailError kin."""


class Inbox(Protocol):
    """Notices that wait. Every method raises StoreError."""

    async def take(self, limit: int) -> Sequence[KeptNotice]: ...

    async def settle(self, ids: Sequence[NoticeId]) -> None: ...


class NoticeWorker:
    """`run` it for ever; `wake` it when something was taken in."""

    def __init__(self, inbox: Inbox, handlers: Sequence[Handler]) -> None:
        self._inbox = inbox
        self._handlers = tuple(handlers)
        self._wake = asyncio.Event()
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
        """Deal with what waits; False if that was nothing."""
        notices = await self._inbox.take(BATCH)
        if not notices:
            return False
        for handle in self._handlers:
            await self._hand(handle, notices)
        await self._inbox.settle([notice.id for notice in notices])
        self.dealt_with.update(notice.hook.value for notice in notices)
        return True

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
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
