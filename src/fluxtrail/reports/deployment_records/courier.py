"""Tells GitHub a destination's records, in the way that fits how many there are, and finds another where one fails.

job        up to 5,000, in the background; its errors say only images' names
cluster    up to 1,000, answered at once
singles    one by one, several at once: the only way to learn the truth about a single record
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from fluxtrail.model.deployment import Destination, RecordId
from fluxtrail.model.errors import (
    AuthError,
    ConfigError,
    ConflictError,
    FluxtrailError,
    NotFoundError,
    RateLimitedError,
    StoreError,
    WireError,
)
from fluxtrail.model.observation import ClusterUid
from fluxtrail.remotes.github.artifact_errors import CredentialsRefusedError
from fluxtrail.reports.at_once import at_once
from fluxtrail.reports.batches import Fault, fault_of
from fluxtrail.reports.deployment_records.learned import Learned
from fluxtrail.reports.deployment_records.lost_jobs import LostJobs
from fluxtrail.reports.deployment_records.ports import Budget, JobStatus, RecordsClient, Rejection
from fluxtrail.reports.deployment_records.rounds import Round
from fluxtrail.reports.deployment_records.tellings import (
    CLUSTER_LIMIT,
    JOB_LIMIT,
    SINGLES,
    Telling,
    Way,
    choose_probes,
    choose_way,
    sort_out,
    withdrawal_of,
)

log = structlog.get_logger(__name__)

PROBES = 5
"""Singles that decide whether a bulk's 404 is about its records or about the call."""
LEARN_SECONDS = 10.0
"""How long those wait that are more than a burst, where only singles can tell."""
OTHERS_FIRST_SECONDS = 120.0
"""How long one waits that met a 403 while nothing is accepted: longer than a circuit is open, so that another is asked
next, which shows whether it is about that one."""
FORBIDDEN = "unauthorized: GitHub left it out of what it took; the credentials may not write about its repository"
COMPLETED = "completed"
_BULK_REMEDY = (
    "this GitHub answers 404 to calls for many records and takes single ones; they are told one by one for an hour; "
    "deployment_records.bulk=false (BULK_CLUSTER_SYNC=false) avoids the attempt"
)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where records are handed in: what all deliveries share."""

    client: RecordsClient
    budget: Budget
    learned: Learned
    lost_jobs: LostJobs
    workers: int
    has_bulk: bool


class Courier:
    """One delivery to one destination."""

    def __init__(self, desk: Desk, round_: Round, destination: Destination) -> None:
        self._desk = desk
        self._round = round_
        self._destination = destination
        self._is_known: dict[RecordId, bool] = {}
        """What GitHub said of a record that was told by itself, first of all."""

    async def tell(self, tellings: Sequence[Telling], *, is_first: bool = False) -> None:
        """Tell these, and settle each that gets an answer.

        Raises:
            FluxtrailError: GitHub is at fault, or the budget is used up; what is not settled is to be told again.
        """
        known = [one for one in tellings if self._round.is_known_unknown(one)]
        await self._unknown(known, is_asked=False)
        left = [one for one in tellings if not self._round.is_known_unknown(one)]
        match choose_way(len(left), has_bulk=self._has_bulk, is_first=is_first):
            case Way.JOB:
                await self._in_parts(left, JOB_LIMIT, is_job=True)
            case Way.CLUSTER:
                await self._in_parts(left, CLUSTER_LIMIT)
            case Way.SINGLES:
                await self._singles(left)

    @property
    def _has_bulk(self) -> bool:
        return self._desk.has_bulk and not self._desk.learned.is_bulk_absent

    async def _in_parts(self, tellings: Sequence[Telling], size: int, *, is_job: bool = False) -> None:
        for start in range(0, len(tellings), size):
            if self._round.is_over:
                return
            part = tellings[start : start + size]
            if not self._has_bulk:  # learned from the part before
                await self._singles(part)
            elif is_job:
                await self._job(part)
            else:
                await self._cluster(part)

    # -- ways ----------------------------------------------------------------------------------------------------

    async def _job(self, part: Sequence[Telling]) -> None:
        await self._desk.budget.admit()
        try:
            job = await self._desk.client.submit_job(self._destination, [one.entry for one in part])
        except NotFoundError as exc:
            await self._doubt_bulk(part, exc)
            return
        except (ConflictError, WireError) as exc:
            await self._without_job(part, reason=str(exc))
            return
        except FluxtrailError as exc:
            if fault_of(exc) is Fault.RECEIVER:
                raise
            await self._halves(part, exc)
            return
        status = await self._await_job(part, job.job_id)
        if status is None:
            return
        await self._settle(part, [*job.errors, *status.errors], None)

    async def _await_job(self, part: Sequence[Telling], job_id: int) -> JobStatus | None:
        """Return how a job ended well; None where it did not, and its records were told in another way."""
        try:
            status = await self._desk.client.wait_for_job(self._destination, job_id)
        except (AuthError, RateLimitedError, ConfigError, StoreError):
            raise
        except FluxtrailError as exc:
            await self._without_job(part, reason=str(exc))
            return None
        if status.status == COMPLETED:
            return status
        log.warning("records_job_failed", cluster=self._destination.cluster, job=job_id, status=status.status)
        await self._in_parts(part, CLUSTER_LIMIT)
        return None

    async def _without_job(self, part: Sequence[Telling], *, reason: str) -> None:
        """A job is under way that nobody waits for: it may write over what is told now, so that is told once more."""
        log.warning("records_job_lost", cluster=self._destination.cluster, error=reason)
        self._desk.lost_jobs.note(_cluster_of(part))
        await self._in_parts(part, CLUSTER_LIMIT)

    async def _cluster(self, part: Sequence[Telling]) -> None:
        await self._desk.budget.admit()
        try:
            answer = await self._desk.client.post_cluster(self._destination, [one.entry for one in part])
        except NotFoundError as exc:
            await self._doubt_bulk(part, exc)
        except (ConflictError, WireError) as exc:
            log.warning("records_call_unclear", cluster=self._destination.cluster, error=str(exc))
            await self._learn(part)
        except FluxtrailError as exc:
            if fault_of(exc) is Fault.RECEIVER:
                raise
            await self._halves(part, exc)
        else:
            await self._settle(part, answer.errors, answer.accepted)

    async def _singles(self, tellings: Sequence[Telling]) -> None:
        workers = self._desk.workers
        await at_once(tellings, self._single, workers=workers, is_over=lambda: self._round.is_over)

    async def _single(self, telling: Telling) -> None:
        if self._round.is_known_unknown(telling):  # the one before it was asked about the same digest
            await self._unknown([telling], is_asked=False)
            return
        await self._desk.budget.admit()
        try:
            await self._desk.client.post_record(self._destination, telling.entry)
        except NotFoundError as exc:
            self._is_known.setdefault(telling.record.id, False)
            self._round.hear(telling, exc.message)
            await self._unknown([telling])
        except ConflictError as exc:
            await self._round.contest(telling, exc)
        except CredentialsRefusedError as exc:
            await self._refused_credentials(telling, exc)
        except FluxtrailError as exc:
            if fault_of(exc) is Fault.RECEIVER:
                raise
            await self._round.refuse(telling, exc)
        else:
            self._is_known.setdefault(telling.record.id, True)
            await self._accept([telling])

    async def _refused_credentials(self, telling: Telling, error: CredentialsRefusedError) -> None:
        """403 to credentials that are good for others: they may not write about its repository (yet)."""
        if error.status != 403:
            raise error
        if not self._desk.learned.is_taking:
            await self._round.postpone([telling], seconds=OTHERS_FIRST_SECONDS, answer=str(error))
            raise error
        self._round.hear(telling, error.message)
        await self._unknown([telling])

    # -- answers -------------------------------------------------------------------------------------------------

    async def _settle(
        self, part: Sequence[Telling], errors: Sequence[Rejection], accepted: frozenset[str] | None
    ) -> None:
        found = sort_out(part, errors, accepted=accepted)
        await self._accept(found.accepted)
        await self._unknown(found.unknown)
        if not self._desk.learned.is_taking:
            await self._learn([*found.doubtful, *found.forbidden])
            return
        for one in found.forbidden:
            self._round.hear(one, FORBIDDEN)
        await self._unknown(found.forbidden)
        await self._learn(found.doubtful)

    async def _accept(self, tellings: Sequence[Telling]) -> None:
        if tellings:
            self._desk.learned.note_taken()
        await self._round.accept(tellings, self._destination)

    async def _unknown(self, tellings: Sequence[Telling], *, is_asked: bool = True) -> None:
        """GitHub does not know these. Where it holds another digest as deployed there, it is told that that is gone."""
        ended, withdrawals = list[Telling](), list[Telling]()
        for one in tellings:
            withdrawal = None if one.is_withdrawal else withdrawal_of(one)
            if withdrawal is None:
                ended.append(one)
            else:
                withdrawals.append(withdrawal)
        await self._round.end_unknown(ended, is_asked=is_asked)
        if withdrawals:
            await self.tell(withdrawals)

    async def _learn(self, tellings: Sequence[Telling]) -> None:
        """Ask about each by itself, a burst at most; the rest waits."""
        await self._singles(tellings[:SINGLES])
        await self._round.postpone(tellings[SINGLES:], seconds=LEARN_SECONDS)

    async def _halves(self, part: Sequence[Telling], error: FluxtrailError) -> None:
        """One of these makes GitHub refuse them all."""
        log.info("records_call_refused", cluster=self._destination.cluster, records=len(part), answer=str(error))
        if len(part) <= SINGLES:
            await self._singles(part)
            return
        middle = min(len(part) // 2, CLUSTER_LIMIT)
        await self._in_parts(part[:middle], CLUSTER_LIMIT)
        await self._in_parts(part[middle:], CLUSTER_LIMIT)

    async def _doubt_bulk(self, part: Sequence[Telling], error: FluxtrailError) -> None:
        """404 of a whole call: GitHub knows none of these, or not the call. Singles decide."""
        probes = choose_probes(part, PROBES)
        asked = {one.record.id for one in probes}
        rest = [one for one in part if one.record.id not in asked]
        self._is_known.clear()
        await self._singles(probes)
        answers = {self._is_known[id_] for id_ in asked if id_ in self._is_known}
        if True in answers:
            if not self._desk.learned.is_bulk_absent:
                log.warning("bulk_calls_absent", answer=str(error), remedy=_BULK_REMEDY)
            self._desk.learned.note_bulk_absent()
            await self._singles(rest)
        elif answers:
            await self._unknown(rest)
        else:
            await self._round.postpone(rest, seconds=LEARN_SECONDS, answer=str(error))


def _cluster_of(part: Sequence[Telling]) -> ClusterUid:
    return part[0].record.cluster
