"""Sends what waits in the outbox to one sink: claims, renders, sends, and notes what came of it.

* At least once, under stable keys: a report counts as sent when the receiver's answer is there and noted. Whoever is
  killed between the two sends it again, the same thing under the same ids.
* A receiver that is down is asked by one report at a time, at most every minute; nothing else is claimed meanwhile, so
  an outage takes no memory: what waits, waits in the ledger.
* A refused batch is halved until what is at fault stands alone, and is buried with the answer. If everything is
  refused, it is the receiver that is at fault, and nothing is buried before BURY_AFTER refusals.
* A stop waits for the attempt that is under way, then sends what is left for at most FLUSH_SECONDS.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from fluxtrail.model.errors import FluxtrailError, StoreError
from fluxtrail.model.report import ClaimedReport, SinkCounts
from fluxtrail.reports.batches import Fault, by_time, fault_of, parts_of
from fluxtrail.reports.circuit import Circuit
from fluxtrail.reports.endings import to_its_end
from fluxtrail.reports.outputs import Output, Ready
from fluxtrail.reports.ports import Clock, Outbox

log = structlog.get_logger(__name__)

BATCH = 200
"""Reports in one claim: some hundred KiB when they are rendered."""
SITTING_SECONDS = 10.0
"""No attempt begins later than this after a claim, so that none outlives its lease."""
SPARE_SECONDS = 10.0
"""Of a lease, for rendering and the ledger."""
POLL_SECONDS = 2.0
"""Another process may have planned something, and what waits may be due."""
COUNT_SECONDS = 5.0
"""While it is busy; what waits is counted one by one."""
FLUSH_SECONDS = 5.0
BURY_AFTER = 5
ALIKE = 3
"""So many refusals without a single acceptance are not about the reports."""
REMEMBERED_REFUSALS = 1000
STOPPED = "stopped before it was sent"


@dataclass(frozen=True, slots=True)
class Pace:
    """How a sink wants to be sent to."""

    gather_seconds: float = 0.2
    """What is planned together is sent together."""
    items: int = 512
    """The most in one request; a single report's are never parted."""
    timeout_seconds: float = 10.0
    """The longest that an attempt takes."""


@dataclass(slots=True)
class Numbers:
    """What one sink's dispatcher has done since it started, and how its outbox stood at the last look."""

    sent: int = 0
    failed: int = 0
    """Attempts that came to nothing."""
    rejected: int = 0
    """Items that a receiver left out of what it took."""
    buried: int = 0
    held: SinkCounts | None = None
    oldest_age_seconds: float = 0.0
    is_down: bool = False
    problem: str = ""


class Dispatcher:
    """One for each sink and process. `run` it; `wake` it when something was planned."""

    def __init__(
        self,
        output: Output,
        outbox: Outbox,
        clock: Clock,
        *,
        owner: str,
        pace: Pace | None = None,
        dice: random.Random | None = None,
    ) -> None:
        """Args:
        owner: another one for each process, and for each start of it.
        """
        self._output = output
        self._outbox = outbox
        self._clock = clock
        self._owner = owner
        self._pace = pace or Pace()
        self._lease = timedelta(seconds=SITTING_SECONDS + self._pace.timeout_seconds + SPARE_SECONDS)
        self._wake = asyncio.Event()
        self._circuit = Circuit(dice or random.Random())  # noqa: S311 - spreads retries, guards nothing
        self._refusals: Counter[int] = Counter()
        self._was_full = False
        """There was more than one claim takes."""
        self._counted_at = float("-inf")
        self.numbers = Numbers()

    @property
    def sink(self) -> str:
        return self._output.sink

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Send for ever. Raises StoreError where the ledger cannot be used."""
        try:
            while True:
                self._wake.clear()
                is_busy = await to_its_end(self.work())
                if not is_busy:
                    await self._rest()
                elif not self._was_full:
                    await self._clock.sleep(self._pace.gather_seconds)
        except asyncio.CancelledError:
            await self._flush()
            raise

    async def work(self) -> bool:
        """Deal with one claim; False if there was nothing to do now."""
        if self._circuit.wait_seconds(self._clock.monotonic()) > 0:
            return False
        limit = BATCH if self._circuit.is_closed else 1
        reports = await self._outbox.claim([self.sink], owner=self._owner, limit=limit, lease=self._lease)
        self._was_full = len(reports) == limit
        if not reports:
            await self._count()
            return False
        sitting = _Sitting(self, deadline=self._clock.monotonic() + SITTING_SECONDS)
        try:
            await self._deal_with(sitting, reports)
        except asyncio.CancelledError:
            await to_its_end(self._outbox.postpone(sitting.left(reports), until=self._clock.now(), answer=STOPPED))
            raise
        if self._clock.monotonic() - self._counted_at >= COUNT_SECONDS:
            await self._count()
        return True

    async def _count(self) -> None:
        self._counted_at = self._clock.monotonic()
        held = (await self._outbox.counts()).get(self.sink, SinkCounts())
        age = (self._clock.now() - held.oldest_at).total_seconds() if held.oldest_at else 0.0
        self.numbers.held, self.numbers.oldest_age_seconds = held, max(age, 0.0)

    async def _deal_with(self, sitting: _Sitting, reports: Sequence[ClaimedReport]) -> None:
        rendering = await self._output.render(reports)
        for until, waiting in by_time(rendering.waiting).items():
            await self._outbox.postpone(waiting, until=until, answer="")
        if rendering.silent:
            await self._outbox.acknowledge(rendering.silent)
        for report, problem in rendering.broken:
            await sitting.bury([report], problem)
        sitting.done(reports, but=[ready.report for ready in rendering.ready])
        if rendering.ready:
            for part in parts_of(rendering.ready, self._pace.items):
                await sitting.send(part)
            await sitting.settle_refused()

    async def _rest(self) -> None:
        wait = self._circuit.wait_seconds(self._clock.monotonic())
        if wait > 0:
            await self._clock.sleep(wait)
            return
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
        await self._clock.sleep(self._pace.gather_seconds)

    async def _flush(self) -> None:
        """Send what is left, for a bounded time. Its failures change nothing: what is left stays in the outbox."""
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                while self._circuit.is_closed and await self.work():
                    pass
        except TimeoutError:
            log.warning("reports_left_unsent", sink=self.sink)
        except StoreError as exc:
            log.warning("reports_left_unsent", sink=self.sink, error=str(exc))

    async def attempt(self, ready: Sequence[Ready]) -> FluxtrailError | None:
        """Send these in one request; returns why they were not taken."""
        items = [item for one in ready for item in one.items]
        try:
            answer = await self._output.send(items)
        except FluxtrailError as exc:
            self.numbers.failed += 1
            return exc
        if answer.rejected or answer.message:
            self.numbers.rejected += answer.rejected
            log.warning("reports_rejected", sink=self.sink, rejected=answer.rejected, answer=answer.message)
        await to_its_end(self._outbox.acknowledge([one.report for one in ready]))
        self.numbers.sent += len(ready)
        if not self._circuit.is_closed:
            log.info("receiver_back", sink=self.sink)
        self._circuit.succeed()
        self.numbers.is_down, self.numbers.problem = False, ""
        return None

    async def give_back(self, reports: Sequence[ClaimedReport], error: FluxtrailError) -> None:
        """The receiver is at fault: leave it alone for a while, and these in the outbox."""
        wait = self._circuit.fail(self._clock.monotonic(), retry_after_seconds=error.retry_after_seconds)
        if not self.numbers.is_down:
            log.warning("receiver_down", sink=self.sink, error=str(error), retry_in_seconds=round(wait, 1))
        self.numbers.is_down, self.numbers.problem = True, str(error)
        until = self._clock.now() + timedelta(seconds=wait)
        await to_its_end(self._outbox.postpone(reports, until=until, answer=str(error)))

    async def bury(self, reports: Sequence[ClaimedReport], answer: str) -> None:
        log.error("report_buried", sink=self.sink, keys=[report.key for report in reports], answer=answer)
        self.numbers.buried += len(reports)
        await to_its_end(self._outbox.bury(reports, answer=answer))

    def refusals_of(self, report: ClaimedReport) -> int:
        """Count one more refusal of a report; returns how many there were in a row."""
        if len(self._refusals) > REMEMBERED_REFUSALS:
            self._refusals.clear()
        self._refusals[report.id] += 1
        return self._refusals[report.id]

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def release(self, reports: Sequence[ClaimedReport]) -> None:
        await to_its_end(self._outbox.postpone(reports, until=self._clock.now(), answer=""))


class _Sitting:
    """What becomes of one claim."""

    def __init__(self, dispatcher: Dispatcher, *, deadline: float) -> None:
        self._dispatcher = dispatcher
        self._deadline = deadline
        self._done: set[int] = set()
        self._refused: list[tuple[ClaimedReport, FluxtrailError]] = []
        self._has_taken = False
        self._is_over = False

    def left(self, reports: Sequence[ClaimedReport]) -> list[ClaimedReport]:
        return [report for report in reports if report.id not in self._done]

    def done(self, reports: Sequence[ClaimedReport], *, but: Sequence[ClaimedReport] = ()) -> None:
        self._done |= {report.id for report in reports} - {report.id for report in but}

    async def bury(self, reports: Sequence[ClaimedReport], answer: str) -> None:
        await self._dispatcher.bury(reports, answer)
        self.done(reports)

    async def send(self, ready: Sequence[Ready]) -> None:
        """Send these, in halves where they are refused."""
        if self._is_over or self._dispatcher.monotonic() > self._deadline:
            await self._return(ready)
            return
        error = await self._dispatcher.attempt(ready)
        if error is None:
            self._has_taken = True
            self.done([one.report for one in ready])
        elif fault_of(error) is Fault.RECEIVER:
            self._is_over = True
            await self._give_back(ready, error)
        elif len(ready) > 1:
            middle = len(ready) // 2
            await self.send(ready[:middle])
            await self.send(ready[middle:])
        else:
            self._refused.append((ready[0].report, error))
            if len(self._refused) >= ALIKE and not self._has_taken:
                self._is_over = True

    async def settle_refused(self) -> None:
        """Bury what was refused while others were taken; what was refused like all others is tried again."""
        doubted: list[ClaimedReport] = []
        for report, error in self._refused:
            is_its_own = self._has_taken or fault_of(error) is Fault.SIZE
            if is_its_own or self._dispatcher.refusals_of(report) >= BURY_AFTER:
                await self.bury([report], str(error))
            else:
                doubted.append(report)
        if doubted:
            await self._dispatcher.give_back(doubted, self._refused[-1][1])
            self.done(doubted)

    async def _give_back(self, ready: Sequence[Ready], error: FluxtrailError) -> None:
        reports = [one.report for one in ready]
        await self._dispatcher.give_back(reports, error)
        self.done(reports)

    async def _return(self, ready: Sequence[Ready]) -> None:
        reports = [one.report for one in ready]
        await self._dispatcher.release(reports)
        self.done(reports)
