"""Attestations come late: asks again about artifacts that GitHub did not know, each digest once, a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from fluxtrail.model.deployment import KeptRecord
from fluxtrail.model.errors import StoreError
from fluxtrail.reports.deployment_records.catching_up import CatchingUp
from fluxtrail.reports.deployment_records.counters import RecordCounters
from fluxtrail.reports.deployment_records.lost_jobs import LostJobs
from fluxtrail.reports.deployment_records.noting import Notes
from fluxtrail.reports.deployment_records.plan import report_of
from fluxtrail.reports.deployment_records.ports import RecordLedger
from fluxtrail.reports.ports import Clock

log = structlog.get_logger(__name__)

LOOK_SECONDS = 15.0
MINUTE_SECONDS = 60.0
DIGESTS_PER_MINUTE = 60
FORGET_SECONDS = 600.0
"""A digest that was planned and has no answer by then is planned again."""

_Due = tuple[str, datetime | None]
"""A digest, and when it was due: an answer puts that off."""


class LateArtifacts:
    """Run it beside the dispatcher, in one process or in several.

    Args:
        wake: called when something was planned: the dispatcher's.
        digests_per_minute: so that ten thousand images that nobody attests cost a call or two a minute.
    """

    def __init__(
        self,
        ledger: RecordLedger,
        clock: Clock,
        *,
        wake: Callable[[], None] = lambda: None,
        digests_per_minute: int = DIGESTS_PER_MINUTE,
        lost_jobs: LostJobs | None = None,
        counters: RecordCounters | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._notes = Notes(ledger, clock, wake)
        self._catching_up = CatchingUp(ledger, clock, wake)
        self._most = digests_per_minute
        self._lost_jobs = lost_jobs or LostJobs(clock)
        self._counters = counters or RecordCounters()
        self._planned_at: dict[_Due, float] = {}
        """At most those of FORGET_SECONDS."""

    async def run(self) -> None:
        """Look for ever; a ledger that cannot be used now is asked again."""
        while True:
            try:
                await self.look()
            except StoreError as exc:
                log.warning("late_artifacts_postponed", error=str(exc))
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> int:
        """Plan what is due; returns how many digests."""
        for job in self._lost_jobs.due():
            records = await self._catching_up.resend(job.cluster, told_since=job.since)
            log.info("records_told_once_more", cluster=job.cluster, records=records)
            self._lost_jobs.done(job)
        now = self._clock.monotonic()
        self._planned_at = {due: at for due, at in self._planned_at.items() if now - at < FORGET_SECONDS}
        room = self._most - sum(now - at < MINUTE_SECONDS for at in self._planned_at.values())
        if room <= 0:
            return 0
        due = await self._ledger.records_due(self._clock.now(), limit=4 * (room + len(self._planned_at)))
        chosen: dict[_Due, KeptRecord] = {}
        for record in due:
            key = (record.content.digest, record.retry_at)
            if key not in self._planned_at and len(chosen) < room:
                chosen.setdefault(key, record)
        await self._notes.plan([report_of(record) for record in chosen.values()])
        self._planned_at |= dict.fromkeys(chosen, now)
        self._counters.retried += len(chosen)
        return len(chosen)
