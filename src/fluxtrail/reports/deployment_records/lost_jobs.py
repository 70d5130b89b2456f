"""Jobs that nobody waits for any more: what they write may come late, over what was told after them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from fluxtrail.model.observation import ClusterUid
from fluxtrail.reports.ports import Clock

OVER = timedelta(minutes=10)
"""A job that was under way has ended by then."""


class LostJob(NamedTuple):
    cluster: ClusterUid
    since: datetime
    """It began no earlier: what was told before, it cannot have written over."""
    over_at: datetime


class LostJobs:
    """In memory: which clusters are to be told once more, and from when on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: dict[ClusterUid, LostJob] = {}

    def note(self, cluster: ClusterUid) -> None:
        now = self._clock.now()
        before = self._noted.get(cluster)
        self._noted[cluster] = LostJob(cluster, before.since if before else now - OVER, now + OVER)

    def due(self) -> list[LostJob]:
        """Return those whose time has come, until each is `done`."""
        return [job for job in self._noted.values() if job.over_at <= self._clock.now()]

    def done(self, job: LostJob) -> None:
        """What it may have written over is told again; one that was lost meanwhile stays."""
        if self._noted.get(job.cluster) == job:
            del self._noted[job.cluster]
