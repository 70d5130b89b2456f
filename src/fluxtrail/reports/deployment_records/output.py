"""Tells GitHub which image digest runs under which deployment name, as the ledger has it when it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from fluxtrail.model.deployment import SINK, KeptRecord, RecordId, Told, limit_problem
from fluxtrail.model.errors import WireError
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.report import ClaimedReport
from fluxtrail.reports.at_once import at_once
from fluxtrail.reports.deployment_records.counters import RecordCounters
from fluxtrail.reports.deployment_records.courier import Courier, Desk
from fluxtrail.reports.deployment_records.learned import Learned
from fluxtrail.reports.deployment_records.lost_jobs import LostJobs
from fluxtrail.reports.deployment_records.noting import Notes, parts_of
from fluxtrail.reports.deployment_records.plan import read_record_id
from fluxtrail.reports.deployment_records.ports import Budget, FindDestination, RecordLedger, RecordsClient
from fluxtrail.reports.deployment_records.rounds import Round
from fluxtrail.reports.deployment_records.tellings import (
    JOB_LIMIT,
    Schedule,
    Telling,
    find_pending_schedules,
    grouped,
    is_to_be_told,
)
from fluxtrail.reports.deployment_records.unknowns import Unknowns
from fluxtrail.reports.dispatcher import BATCH, Pace
from fluxtrail.reports.outputs import Settlement
from fluxtrail.reports.ports import Clock

UNFOLLOWED_SECONDS = (2.0, 300.0)
"""How long a record waits whose cluster is not followed (yet): at first, as just after a start, and in the end."""
UNFOLLOWED = "its cluster is not followed now; its records wait until it is"
NOWHERE = ""
"""No destination's text."""
JOB_SECONDS = 400.0
"""The longest that a job and what comes after it take."""


def records_pace(*, has_bulk: bool) -> Pace:
    """Return how these are sent: many at once where GitHub takes many, and as long as a job takes."""
    return Pace(
        gather_seconds=0.1,
        claim=JOB_LIMIT if has_bulk else BATCH,
        sitting_seconds=120.0,
        timeout_seconds=JOB_SECONDS if has_bulk else 150.0,
        grace_seconds=5.0,
    )


class DeploymentRecordsOutput:
    """The sink `github.records`. Hand it to a Dispatcher with `records_pace`.

    Args:
        find_destination: under what GitHub keeps a cluster's records.
        wake: called when something was planned: the dispatcher's.
        workers: how many requests for single records are made at once, and how many clusters are told at once.
        has_bulk: whether calls for many records are made at all.
        lost_jobs: shared with who tells clusters once more; see `LateArtifacts`.
    """

    sink = SINK

    def __init__(
        self,
        client: RecordsClient,
        ledger: RecordLedger,
        clock: Clock,
        *,
        find_destination: FindDestination,
        budget: Budget,
        wake: Callable[[], None] = lambda: None,
        workers: int = 2,
        has_bulk: bool = True,
        lost_jobs: LostJobs | None = None,
        counters: RecordCounters | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._find_destination = find_destination
        self._workers = workers
        self._unknowns = Unknowns()
        self._notes = Notes(ledger, clock, wake, unknowns=self._unknowns)
        self._begun: set[ClusterUid] = set()
        """Clusters of which GitHub holds something."""
        self.counters = counters or RecordCounters()
        self._desk = Desk(
            client=client,
            budget=budget,
            learned=Learned(clock, self.counters),
            lost_jobs=lost_jobs or LostJobs(clock),
            workers=workers,
            has_bulk=has_bulk,
        )

    async def deliver(self, reports: Sequence[ClaimedReport], settlement: Settlement) -> None:
        """Tell these records, and settle each of them by itself. See `SettlingOutput`."""
        tellings = await self._read(reports, settlement)
        if not tellings:
            return
        schedules = await self._schedules(tellings)
        await self._notes.sending(tellings)
        round_ = Round(settlement, self._notes, self.counters, self._clock, schedules=schedules)
        by_cluster = grouped(tellings, lambda one: one.record.cluster)

        async def tell(cluster: ClusterUid) -> None:
            destination = self._find_destination(cluster)
            if destination is not None:
                courier = Courier(self._desk, round_, destination)
                await courier.tell(by_cluster[cluster], is_first=await self._is_first(cluster))
                self._begun.add(cluster)

        await at_once(by_cluster, tell, workers=self._workers, is_over=lambda: round_.is_over)
        await round_.finish()

    async def _schedules(self, tellings: Sequence[Telling]) -> dict[str, Schedule]:
        """Return the digests that these need not ask about now.

        A record that GitHub was asked about itself is here because it is to be asked about again: it is due, or
        everything is told anew.
        """
        digests = {one.digest for one in tellings}
        now = self._clock.now()
        unknown = await self._ledger.records_of_digests(sorted(digests), told=Told.UNKNOWN)
        again = {one.digest for one in tellings if one.record.unknown_since is not None}
        remembered = self._unknowns.pending(digests - again, now)
        if remembered:  # by another process GitHub may have been told meanwhile
            told = await self._ledger.records_of_digests(sorted(remembered), told=Told.TOLD)
            known = {item.content.digest for item in told if self._unknowns.is_older(item.content.digest, item.told_at)}
            self._unknowns.forget(known)
            remembered = {digest: found for digest, found in remembered.items() if digest not in known}
        return remembered | find_pending_schedules(unknown, now)

    async def _is_first(self, cluster: ClusterUid) -> bool:
        """Whether GitHub holds nothing of a cluster, under whatever destination."""
        if cluster not in self._begun and await self._ledger.records_told_elsewhere(cluster, NOWHERE, limit=1):
            self._begun.add(cluster)
        return cluster not in self._begun

    async def _read(self, reports: Sequence[ClaimedReport], settlement: Settlement) -> list[Telling]:
        """Return what is to be told, after settling the rest: what is gone, told already, or does not fit."""
        tellings, silent, unfollowed = list[Telling](), list[ClaimedReport](), list[ClaimedReport]()
        now = self._clock.now()
        for report, record in await self._records(reports, settlement):
            destination = None if record is None else self._find_destination(record.cluster)
            if record is None:
                silent.append(report)
            elif destination is None:
                unfollowed.append(report)
            elif not is_to_be_told(record, destination, now):
                silent.append(report)
            elif problem := limit_problem(record.deployment_name, record.content):
                self.counters.refused += 1
                await self._notes.refused(record, record.content, problem)
                await settlement.bury([report], problem)
            else:
                tellings.append(Telling(report, record, record.content))
        if silent:
            await settlement.drop(silent)
        await self._let_wait(unfollowed, settlement)
        return tellings

    async def _let_wait(self, reports: Sequence[ClaimedReport], settlement: Settlement) -> None:
        """Give them a little longer each time."""
        soon, late = UNFOLLOWED_SECONDS
        for attempts, some in grouped(reports, lambda report: report.attempts).items():
            until = self._clock.now() + timedelta(seconds=min(soon * 2.0 ** min(attempts, 16), late))
            await settlement.postpone(some, until=until, answer=UNFOLLOWED)

    async def _records(
        self, reports: Sequence[ClaimedReport], settlement: Settlement
    ) -> list[tuple[ClaimedReport, KeptRecord | None]]:
        ids: list[tuple[ClaimedReport, RecordId]] = []
        for report in reports:
            try:
                ids.append((report, read_record_id(report.body)))
            except WireError as exc:
                await settlement.bury([report], str(exc))
        found: dict[RecordId, KeptRecord] = {}
        for part in parts_of([id_ for _, id_ in ids]):
            async with self._ledger.unit() as unit:
                found.update((record.id, record) for record in await unit.records_by_id(part))
        return [(report, found.get(id_)) for report, id_ in ids]
