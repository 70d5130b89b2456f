"""Keeps notices before they are answered: those that come at once share a transaction.

While one transaction is being committed the next notices gather; so the slower the disk, the more of them share one.
Nobody is told that a notice was taken before it is in the ledger. Whoever is told otherwise may post it again: the
same notice twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from fluxtrail.model.errors import StoreError
from fluxtrail.model.notices import Hook, NewNotice
from fluxtrail.web.hooks.answers import Reason, RefusedError

log = structlog.get_logger(__name__)

QUEUE_LIMIT = 2048
BATCH_LIMIT = 512
KEEP_SECONDS = 10.0
"""How long somebody waits for the ledger: Flux gives up after 15 s."""
RETRY_SECONDS = 5.0
BACKLOG_LIMIT = 50_000
"""Notices in the ledger that nobody has dealt with; more are refused until there are fewer."""
RECOUNT_SECONDS = 5.0
REMEMBERED = 8192
"""Keys of the latest notices, so that what is posted again is not kept again."""

_Identity = tuple[Hook, str, str]


class Inbox(Protocol):
    """Satisfied by `ledger.inbox.Inbox`."""

    async def keep(self, notices: Sequence[NewNotice]) -> None: ...

    async def count(self) -> int: ...


@dataclass(slots=True)
class IntakeNumbers:
    """Of this process since it started."""

    kept: int = 0
    repeated: int = 0
    transactions: int = 0
    failed: int = 0
    """Transactions that came to nothing."""
    backlog: int = 0
    """How many notices waited in the ledger when they were last counted."""


@dataclass(slots=True, eq=False)
class _Waiting:
    notice: NewNotice
    kept: asyncio.Future[None]


class Intake:
    """`keep` is for requests; `run` is the job that serves them, one at a time.

    Args:
        on_kept: told after each transaction. Must not wait.
    """

    def __init__(
        self,
        inbox: Inbox,
        *,
        monotonic: Callable[[], float],
        on_kept: Callable[[], None] = lambda: None,
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        self._inbox = inbox
        self._monotonic = monotonic
        self._on_kept = on_kept
        self._keep_seconds = keep_seconds
        self._queue: deque[_Waiting] = deque()
        self._filled = asyncio.Event()
        self._is_running = False
        self._counted_at: float | None = None
        self._remembered: OrderedDict[_Identity, None] = OrderedDict()
        self.numbers = IntakeNumbers()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def keep(self, notice: NewNotice) -> None:
        """Return when the notice is in the ledger.

        Raises:
            RefusedError: it is not, or nobody knows: too many wait, or the ledger cannot be written, or not soon.
        """
        self._check_room()
        waiting = _Waiting(notice, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._filled.set()
        try:
            async with asyncio.timeout(self._keep_seconds):
                await waiting.kept
        except TimeoutError:
            raise _unavailable(f"the ledger did not take it within {self._keep_seconds:g} s") from None
        except StoreError as exc:
            raise _unavailable("the ledger cannot be written now") from exc

    def _check_room(self) -> None:
        if not self._is_running:
            raise _unavailable("notices are not taken now: this process starts or stops")
        if len(self._queue) >= QUEUE_LIMIT:
            raise RefusedError(
                Reason.BUSY, "too many notices come at once; post it again", retry_after_seconds=RETRY_SECONDS
            )
        if self.numbers.backlog >= BACKLOG_LIMIT:
            self._filled.set()  # so that they are counted again
            detail = f"{self.numbers.backlog} notices wait to be dealt with; post it again later"
            raise RefusedError(Reason.BUSY, detail, retry_after_seconds=60)

    async def run(self) -> None:
        """Keep what is posted, for ever. Who still waits when it ends is refused."""
        self._is_running = True
        try:
            while True:
                await self._wait()
                await self._recount()
                while batch := self._next_batch():
                    await self._keep(batch)
        finally:
            self._is_running = False
            self._end([*self._queue], StoreError("this process stops", retryable=True))
            self._queue.clear()

    async def _wait(self) -> None:
        """Wait for somebody who posts, but no longer than a count holds that found some in the ledger."""
        try:
            async with asyncio.timeout(RECOUNT_SECONDS if self.numbers.backlog else None):
                await self._filled.wait()
        except TimeoutError:
            return
        self._filled.clear()

    def _next_batch(self) -> list[_Waiting]:
        """Return the next of them without those that have given up."""
        batch: list[_Waiting] = []
        while self._queue and len(batch) < BATCH_LIMIT:
            waiting = self._queue.popleft()
            if not waiting.kept.done():
                batch.append(waiting)
        return batch

    async def _keep(self, batch: list[_Waiting]) -> None:
        fresh = self._without_repeated(batch)
        try:
            if fresh:
                await self._inbox.keep(fresh)
        except StoreError as exc:
            self.numbers.failed += 1
            log.error("notices_not_kept", notices=len(fresh), error=str(exc))
            self._end(batch, exc)
            return
        except BaseException:
            self._end(batch, StoreError("the notices may not have been kept", retryable=True))
            raise
        self._remember(fresh)
        self._end(batch, None)
        if fresh:
            self.numbers.kept += len(fresh)
            self.numbers.transactions += 1
            self.numbers.backlog += len(fresh)
            self._on_kept()
        self.numbers.repeated += len(batch) - len(fresh)

    def _without_repeated(self, batch: Sequence[_Waiting]) -> list[NewNotice]:
        fresh: list[NewNotice] = []
        seen: set[_Identity] = set()
        for waiting in batch:
            if (identity := _identity_of(waiting.notice)) is not None:
                if identity in seen or identity in self._remembered:
                    continue
                seen.add(identity)
            fresh.append(waiting.notice)
        return fresh

    def _remember(self, notices: Sequence[NewNotice]) -> None:
        for notice in notices:
            if (identity := _identity_of(notice)) is not None:
                self._remembered[identity] = None
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    @staticmethod
    def _end(batch: Sequence[_Waiting], error: StoreError | None) -> None:
        for waiting in batch:
            if waiting.kept.done():
                continue
            if error is None:
                waiting.kept.set_result(None)
            else:
                waiting.kept.set_exception(error)

    async def _recount(self) -> None:
        now = self._monotonic()
        if self._counted_at is not None and now - self._counted_at < RECOUNT_SECONDS:
            return
        self._counted_at = now
        try:
            self.numbers.backlog = await self._inbox.count()
        except StoreError as exc:
            log.warning("notices_not_counted", error=str(exc))


def _identity_of(notice: NewNotice) -> _Identity | None:
    """A stranger must not be able to use up the key of somebody who signs."""
    return (notice.hook, notice.sender, notice.key) if notice.key else None


def _unavailable(detail: str) -> RefusedError:
    return RefusedError(Reason.LEDGER, f"{detail}; post it again", retry_after_seconds=RETRY_SECONDS)
