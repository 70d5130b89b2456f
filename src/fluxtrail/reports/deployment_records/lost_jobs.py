"""Jobs that nobody waits for any more: what they write may come late, over what was told after them."""

from __future__ import annotations

from datetime import datetime, timedelta

from fluxtrail.model.observation import ClusterUid
from fluxtrail.reports.ports import Clock

OVER = timedelta(minutes=10)
"""A job that was under way has ended by then."""


class LostJobs:
    """In memory: which clusters are to be told once more, and from when on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[ClusterUid, datetime] = {}

    def note(self, cluster: ClusterUid) -> None:
        self._due[cluster] = self._clock.now() + OVER

    def take_due(self) -> list[ClusterUid]:
        """Return the clusters whose time has come, once."""
        due = [cluster for cluster, at in self._due.items() if at <= self._clock.now()]
        for cluster in due:
            del self._due[cluster]
        return due
