"""What became of each record, in the ledger: first how it stands with GitHub, then its report is done.

Whoever is killed between the two finds a report of a record that needs nothing told any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from fluxtrail.model.deployment import (
    Content,
    DeploymentStatus,
    Destination,
    KeptRecord,
    Told,
    ToldOutcome,
)
from fluxtrail.model.report import NewReport
from fluxtrail.reports.deployment_records.plan import report_of
from fluxtrail.reports.deployment_records.ports import RecordLedger
from fluxtrail.reports.deployment_records.tellings import Schedule, Telling, grouped
from fluxtrail.reports.deployment_records.unknowns import Unknowns
from fluxtrail.reports.ports import Clock

T = TypeVar("T")

UNKNOWN = "no artifact found: GitHub left it out of what it took, as not found"
"""What is kept of an answer to many records."""
BATCH = 1_000
"""Records in one transaction: nobody else writes meanwhile."""


def parts_of(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield a transaction's worth at a time."""
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]


class Notes:
    """Every method is one transaction at most, and raises StoreError.

    Args:
        wake: called when something was planned.
        unknowns: told of every answer.
    """

    def __init__(
        self, ledger: RecordLedger, clock: Clock, wake: Callable[[], None], *, unknowns: Unknowns | None = None
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._wake = wake
        self._unknowns = unknowns or Unknowns()

    async def sending(self, tellings: Sequence[Telling]) -> None:
        """These are on their way: whoever is killed before the answer leaves word that they may have arrived."""
        news = {one.record.id: one.content for one in tellings if _is_news(one)}
        for some in parts_of(list(news)):
            async with self._ledger.unit() as unit:
                await unit.note_sending({id_: news[id_] for id_ in some})

    async def accepted(self, tellings: Sequence[Telling], destination: Destination) -> int:
        """GitHub holds these now. Others of their digests that it did not know before are planned again.

        Returns:
            How many others.
        """
        outcomes = [self._outcome(one.record, Told.TOLD, one.content, told_to=destination.text) for one in tellings]
        taken = {one.record.id for one in tellings if not one.is_withdrawal}
        digests = sorted({one.digest for one in tellings if not one.is_withdrawal})
        self._unknowns.forget(digests)
        others = [
            record
            for record in await self._ledger.records_of_digests(digests, told=Told.UNKNOWN)
            if record.id not in taken
        ]
        async with self._ledger.unit() as unit:
            await unit.note_told(outcomes + [self.again(record) for record in others])
            await unit.add_reports([report_of(record) for record in others])
        if others:
            self._wake()
        return len(others)

    async def unknown(
        self, tellings: Sequence[Telling], schedules: dict[str, Schedule], answers: Mapping[str, str]
    ) -> None:
        """GitHub does not know the digests of these records: all of a digest are asked about at one time.

        Args:
            schedules: by digest; those that are missing are made, and put in.
            answers: what GitHub said, by digest, where it said something.
        """
        now = self._clock.now()
        digests = sorted({one.record.content.digest for one in tellings} - schedules.keys())
        others = list(await self._ledger.records_of_digests(digests, told=Told.UNKNOWN)) if digests else []
        known = [*others, *(one.record for one in tellings)]
        by_digest = grouped(known, lambda item: item.content.digest)
        for digest in digests:
            if digest in schedules:  # another cluster's answer, which came at once with this one, is the same
                continue
            answer, last = answers.get(digest, UNKNOWN), self._unknowns.last(digest)
            schedules[digest] = Schedule.after(by_digest[digest], now, answer, last=last)
            self._unknowns.note(digest, schedules[digest], now)
        meant = {one.record.id for one in tellings}
        records = [one.record for one in tellings] + [record for record in others if record.id not in meant]
        async with self._ledger.unit() as unit:
            await unit.note_told([self._unknown(record, schedules[record.content.digest]) for record in records])

    async def refused(self, record: KeptRecord, content: Content, answer: str) -> None:
        async with self._ledger.unit() as unit:
            await unit.note_told([replace(self._outcome(record, Told.REFUSED, content), answer=answer)])

    def again(self, record: KeptRecord) -> ToldOutcome:
        """Return what makes a record one that is to be told, whatever it was told before."""
        outcome = self._outcome(record, Told.PENDING, record.content)
        return replace(outcome, tries=record.tries, unknown_since=record.unknown_since)

    async def plan_again(self, records: Iterable[KeptRecord]) -> int:
        """Tell these again, whatever was told of them. Returns how many."""
        chosen = list(records)
        if chosen:
            async with self._ledger.unit() as unit:
                await unit.note_told([self.again(record) for record in chosen])
                await unit.add_reports([report_of(record) for record in chosen])
            self._wake()
        return len(chosen)

    async def ask_again(self, unknown: Iterable[KeptRecord]) -> None:
        """Let it be time to ask about these; how often they were asked about already stays known."""
        now = self._clock.now()
        due = [
            replace(
                self._outcome(record, Told.UNKNOWN, record.content),
                tries=record.tries,
                unknown_since=record.unknown_since,
                retry_at=now,
                answer=record.answer,
            )
            for record in unknown
        ]
        async with self._ledger.unit() as unit:
            await unit.note_told(due)

    async def plan(self, reports: Sequence[NewReport]) -> None:
        """Look at records again; what is told of them is as they stand."""
        if reports:
            async with self._ledger.unit() as unit:
                await unit.add_reports(reports)
            self._wake()

    def _unknown(self, record: KeptRecord, schedule: Schedule) -> ToldOutcome:
        """What no longer runs needs no second question, unless GitHub has it as running."""
        held = record.told_content
        is_left = held is not None and (held.digest, held.status) == (record.content.digest, DeploymentStatus.DEPLOYED)
        if record.content.status is DeploymentStatus.DECOMMISSIONED and not is_left:
            return self._outcome(record, Told.SILENT, record.content)
        return replace(
            self._outcome(record, Told.UNKNOWN, record.content),
            tries=schedule.tries,
            unknown_since=schedule.unknown_since,
            retry_at=schedule.retry_at,
            answer=schedule.answer,
        )

    def _outcome(self, record: KeptRecord, told: Told, content: Content, *, told_to: str = "") -> ToldOutcome:
        return ToldOutcome(id=record.id, content=content, told=told, told_to=told_to, at=self._clock.now())


def _is_news(telling: Telling) -> bool:
    """Whether GitHub holds nothing as deployed under the name yet."""
    held = telling.record.told_content
    is_empty = held is None or held.status is DeploymentStatus.DECOMMISSIONED
    return is_empty and telling.content.status is DeploymentStatus.DEPLOYED
