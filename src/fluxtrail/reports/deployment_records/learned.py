"""What was learned of GitHub while telling it, and for how long that is believed. In memory: a start learns anew."""

from __future__ import annotations

from fluxtrail.reports.deployment_records.counters import RecordCounters
from fluxtrail.reports.ports import Clock

TAKING_SECONDS = 300.0
"""Credentials that were good so lately are not what a 403 of a single record is about."""
ABSENT_SECONDS = 3600.0
"""One odd 404 does not cost the calls for many records for ever."""
_LONG_AGO = float("-inf")


class Learned:
    def __init__(self, clock: Clock, counters: RecordCounters) -> None:
        self._clock = clock
        self._counters = counters
        self._taken_at = _LONG_AGO
        self._absent_at = _LONG_AGO

    def note_taken(self) -> None:
        """GitHub has accepted something."""
        self._taken_at = self._clock.monotonic()

    @property
    def is_taking(self) -> bool:
        """Whether GitHub accepted something lately: the credentials are good for some of the records."""
        return self._clock.monotonic() - self._taken_at < TAKING_SECONDS

    def note_bulk_absent(self) -> None:
        """This GitHub has no calls for many records."""
        self._absent_at = self._clock.monotonic()
        self._counters.is_bulk_absent = True

    @property
    def is_bulk_absent(self) -> bool:
        is_absent = self._clock.monotonic() - self._absent_at < ABSENT_SECONDS
        self._counters.is_bulk_absent = is_absent
        return is_absent
