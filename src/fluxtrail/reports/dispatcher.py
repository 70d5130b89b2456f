"""Sends what waits in the outbox to one sink: claims, renders, sends, and notes what came of it.

* At least once, under stable keys: a report counts as sent when the receiver's answer is there and noted. Whoever is
  killed between the two sends it again, the same thing under the same ids.
* A receiver that is down is asked by one report at a time, at most every minute; nothing else is claimed meanwhile, so
  an outage takes no memory: what waits, waits in the ledger.
* A refused batch is halved until what is at fault stands alone, and is buried with the answer. If everything is
  refused, it is the receiver that is at fault, and nothing is buried before BURY_AFTER refusals.
* A stop waits for the attempt that is under way, then sends what is left for at most FLUSH_SECONDS.
* An output whose receiver answers for each report by itself (`SettlingOutput`) settles them itself; claims, leases and
  outages are the same.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from fluxtrail.model.errors import FluxtrailError, StoreError
from fluxtrail.model.report import ClaimedReport, SinkCounts
from fluxtrail.reports.batches import Fault, by_time, fault_of, parts_of
from fluxtrail.reports.circuit import Circuit
from fluxtrail.reports.endings import to_its_end
from fluxtrail.reports.outputs import Output, Ready, SettlingOutput
from fluxtrail.reports.ports import Clock, Outbox

log = structlog.get_logger(__name__)

BATCH = 200
"""Reports in one claim: some hundred KiB when they are rendered."""
SITTING_SECONDS = 10.0
SPARE_SECONDS = 10.0
"""Of a lease, for rendering and the ledger."""
POLL_SECONDS = 2.0
"""Another process may have planned something, and what waits may be due."""
LOOK_SECONDS = 5.0
"""A pause that a receiver asked for is slept in parts: its end may come sooner by the other clock."""
COUNT_SECONDS = 5.0
"""While it is busy, or the receiver is away; what waits is counted one by one."""
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
    first_seconds: float | None = None
    """The same after a rest: what is planned then is news, and nothing was sent just now. While it is busy, claims are
    `gather_seconds` apart then, and no further. None: there is no such difference, and these lie between all claims."""
    items: int = 512
    """The most in one request; a single report's are never parted."""
    timeout_seconds: float = 10.0
    """The longest that an attempt takes."""
    claim: int = BATCH
    """The most reports in one claim."""
    sitting_seconds: float = SITTING_SECONDS
    """No attempt begins later than this after a claim, so that none outlives its lease."""
    grace_seconds: float | None = None
    """How long a stop waits for the attempt that is under way; None: as long as that takes."""


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
        output: Output | SettlingOutput,
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
        self._lease = timedelta(seconds=self._pace.sitting_seconds + self._pace.timeout_seconds + SPARE_SECONDS)
        self._wake = asyncio.Event()
        self._circuit = Circuit(dice or random.Random())  # noqa: S311 - spreads retries, guards nothing
        self._closed_until = clock.now()
        """When the circuit lets a probe through, as a date."""
        self._refusals: Counter[int] = Counter()
        self._was_full = False
        """There was more than one claim takes."""
        self._was_cut = False
        """A stop did not wait for the last attempt's end."""
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
                began = self._clock.monotonic()
                is_busy = await to_its_end(self.work(), patience_seconds=self._pace.grace_seconds)
                if not is_busy:
                    await self._rest()
                elif not self._was_full:
                    await self._clock.sleep(self._pause_seconds(began))
        except asyncio.CancelledError:
            await self._flush()
            raise

    async def work(self) -> bool:
        """Deal with one claim; False if there was nothing to do now."""
        if self._wait_seconds() > 0:
            return False
        limit = self._pace.claim if self._circuit.is_closed else 1
        reports = await self._outbox.claim([self.sink], owner=self._owner, limit=limit, lease=self._lease)
        self._was_full = len(reports) == limit
        if not reports:
            await self._count()
            return False
        sitting = _Sitting(self, deadline=self._clock.monotonic() + self._pace.sitting_seconds)
        try:
            await self._deal_with(sitting, reports)
        except asyncio.CancelledError:
            self._was_cut = True
            await to_its_end(self._outbox.postpone(sitting.left(reports), until=self._clock.now(), answer=STOPPED))
            raise
        await self._count_now_and_then()
        return True

    async def _count_now_and_then(self) -> None:
        if self._clock.monotonic() - self._counted_at >= COUNT_SECONDS:
            await self._count()

    async def _count(self) -> None:
        self._counted_at = self._clock.monotonic()
        held = (await self._outbox.counts()).get(self.sink, SinkCounts())
        age = (self._clock.now() - held.oldest_at).total_seconds() if held.oldest_at else 0.0
        self.numbers.held, self.numbers.oldest_age_seconds = held, max(age, 0.0)

    async def _deal_with(self, sitting: _Sitting, reports: Sequence[ClaimedReport]) -> None:
        if isinstance(self._output, SettlingOutput):
            await sitting.hand_over(reports, self._output)
        else:
            await self._send(sitting, reports, self._output)

    async def _send(self, sitting: _Sitting, reports: Sequence[ClaimedReport], output: Output) -> None:
        rendering = await output.render(reports)
        for until, waiting in by_time(rendering.waiting).items():
            await self._outbox.postpone(waiting, until=until, answer="")
        if rendering.silent:
            await self._outbox.acknowledge(rendering.silent)
        for report, problem in rendering.broken:
            await sitting.bury([report], problem)
        sitting.done(reports, but=[ready.report for ready in rendering.ready])
        if rendering.ready:
            for part in parts_of(rendering.ready, self._pace.items):
                await sitting.send(part, output)
            await sitting.settle_refused()

    def _wait_seconds(self) -> float:
        """Return for how long nothing may be asked, by whichever clock is further on: dates may be a simulation's."""
        wait = self._circuit.wait_seconds(self._clock.monotonic())
        return min(wait, max((self._closed_until - self._clock.now()).total_seconds(), 0.0))

    async def _rest(self) -> None:
        wait = self._wait_seconds()
        if wait > 0:
            await self._clock.sleep(min(wait, LOOK_SECONDS))
            return
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
        await self._clock.sleep(self._first_seconds)

    @property
    def _first_seconds(self) -> float:
        return self._pace.gather_seconds if self._pace.first_seconds is None else self._pace.first_seconds

    def _pause_seconds(self, began: float) -> float:
        """Return how long to gather after a claim that was begun then."""
        took = self._clock.monotonic() - began if self._pace.first_seconds is not None else 0.0
        return max(self._pace.gather_seconds - took, self._first_seconds)

    async def _flush(self) -> None:
        """Send what is left, for a bounded time. Its failures change nothing: what is left stays in the outbox."""
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                while self._circuit.is_closed and not self._was_cut and await self.work():
                    pass
        except TimeoutError:
            log.warning("reports_left_unsent", sink=self.sink)
        except StoreError as exc:
            log.warning("reports_left_unsent", sink=self.sink, error=str(exc))

    async def attempt(self, ready: Sequence[Ready], output: Output) -> FluxtrailError | None:
        """Send these in one request; returns why they were not taken."""
        items = [item for one in ready for item in one.items]
        try:
            answer = await output.send(items)
        except FluxtrailError as exc:
            self.numbers.failed += 1
            return exc
        if answer.rejected or answer.message:
            self.numbers.rejected += answer.rejected
            log.warning("reports_rejected", sink=self.sink, rejected=answer.rejected, answer=answer.message)
        await self.acknowledge([one.report for one in ready])
        return None

    async def acknowledge(self, reports: Sequence[ClaimedReport]) -> None:
        """The receiver has these."""
        await to_its_end(self._outbox.acknowledge(reports))
        self.numbers.sent += len(reports)
        if not self._circuit.is_closed:
            log.info("receiver_back", sink=self.sink)
        self._circuit.succeed()
        self.numbers.is_down, self.numbers.problem = False, ""

    async def drop(self, reports: Sequence[ClaimedReport]) -> None:
        await to_its_end(self._outbox.acknowledge(reports))

    async def postpone(self, reports: Sequence[ClaimedReport], *, until: datetime, answer: str) -> None:
        await to_its_end(self._outbox.postpone(reports, until=until, answer=answer))

    async def give_back(self, reports: Sequence[ClaimedReport], error: FluxtrailError) -> None:
        """The receiver is at fault: leave it alone for a while, and these in the outbox."""
        wait = self._circuit.fail(self._clock.monotonic(), retry_after_seconds=error.retry_after_seconds)
        if not self.numbers.is_down:
            log.warning("receiver_down", sink=self.sink, error=str(error), retry_in_seconds=round(wait, 1))
        self.numbers.is_down, self.numbers.problem = True, str(error)
        self._closed_until = self._clock.now() + timedelta(seconds=wait)
        await to_its_end(self._outbox.postpone(reports, until=self._closed_until, answer=str(error)))

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

    # -- what a SettlingOutput needs -----------------------------------------------------------------------------

    async def hand_over(self, reports: Sequence[ClaimedReport], output: SettlingOutput) -> None:
        """Let the output send and settle these; what it leaves is left in the outbox."""
        try:
            await output.deliver(reports, self)
        except StoreError:
            raise
        except FluxtrailError as exc:
            self._dispatcher.numbers.failed += 1
            left = self.left(reports)
            await self._dispatcher.give_back(left, exc)
        else:
            left = self.left(reports)
            if left:
                await self._dispatcher.release(left)
        self.done(left)

    @property
    def is_late(self) -> bool:
        return self._dispatcher.monotonic() > self._deadline

    def is_stubborn(self, report: ClaimedReport) -> bool:
        return self._dispatcher.refusals_of(report) >= BURY_AFTER

    async def acknowledge(self, reports: Sequence[ClaimedReport]) -> None:
        await self._dispatcher.acknowledge(reports)
        self.done(reports)

    async def drop(self, reports: Sequence[ClaimedReport]) -> None:
        await self._dispatcher.drop(reports)
        self.done(reports)

    async def postpone(self, reports: Sequence[ClaimedReport], *, until: datetime, answer: str) -> None:
        await self._dispatcher.postpone(reports, until=until, answer=answer)
        self.done(reports)

    # -- what any other output needs -----------------------------------------------------------------------------

    async def send(self, ready: Sequence[Ready], output: Output) -> None:
        """Send these, in halves where they are refused."""
        if self._is_over or self.is_late:
            await self._return(ready)
            return
        error = await self._dispatcher.attempt(ready, output)
        if error is None:
            self._has_taken = True
            self.done([one.report for one in ready])
        elif fault_of(error) is Fault.RECEIVER:
            self._is_over = True
            await self._give_back(ready, error)
        elif len(ready) > 1:
            middle = len(ready) // 2
            await self.send(ready[:middle], output)
            await self.send(ready[middle:], output)
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
