"""Digests that GitHub did not know when this process asked: names that come and go ask about them on one schedule.

The ledger keeps the schedule with the records that wait for an answer. Jobs of ever new names leave none: each is
gone before the next comes. In memory, as a start asks once more about everything that was unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from fluxtrail.reports.deployment_records.tellings import Schedule

PAUSE = timedelta(days=1)
"""How long new names do not ask about a digest that is not asked about by itself any more."""
MOST = 10_000
"""Digests; some 3 MB. Of more, the first to be noted are asked about again."""


class _Asked(NamedTuple):
    at: datetime
    schedule: Schedule

    @property
    def ends_at(self) -> datetime:
        return self.schedule.retry_at or self.at + PAUSE


class Unknowns:
    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    def note(self, digest: str, schedule: Schedule, now: datetime) -> None:
        """GitHub does not know it."""
        self._asked.pop(digest, None)
        self._asked[digest] = _Asked(now, schedule)
        if len(self._asked) > MOST:
            del self._asked[next(iter(self._asked))]

    def forget(self, digests: Iterable[str]) -> None:
        """GitHub knows them."""
        for digest in digests:
            self._asked.pop(digest, None)

    def last(self, digest: str) -> Schedule | None:
        """Return what followed from the last answer, whether or not its time has come."""
        asked = self._asked.get(digest)
        return asked.schedule if asked else None

    def is_older(self, digest: str, told_at: datetime | None) -> bool:
        """Whether GitHub took it after it did not know it."""
        asked = self._asked.get(digest)
        return asked is not None and told_at is not None and told_at > asked.at

    def pending(self, digests: Iterable[str], now: datetime) -> dict[str, Schedule]:
        """Return the schedules of those that no new name need ask about now."""
        return {
            digest: asked.schedule
            for digest in digests
            if (asked := self._asked.get(digest)) is not None and asked.ends_at > now
        }
