"""How the lead time moves: its spread hour by hour, kept beside the figures (docs/pages.md).

The same samples as `fluxtrail_lead_time_seconds`, by the hour in which each delivery was applied. Durations are counted
in buckets whose bounds grow by 8 %, so a quantile is right within 4 %; an hour takes a few hundred bytes, whatever
happens in it.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from fluxtrail.model.views import LeadTimeView

HOURS = 31 * 24
"""What is kept, back from the newest hour."""
_PER_DOUBLING = 9
_HOUR = 3600
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Trend:
    """Counts of lead times by hour. Order does not matter, but for what is older than is kept."""

    def __init__(self) -> None:
        self._hours: dict[int, dict[int, int]] = {}
        self._newest = 0

    def observe(self, at: datetime, seconds: float) -> None:
        """Count one lead time, of a delivery that was applied at `at`."""
        hour = int((at - _EPOCH).total_seconds()) // _HOUR
        if hour > self._newest:
            self._newest = hour
            for old in [known for known in self._hours if known <= hour - HOURS]:
                del self._hours[old]
        if hour > self._newest - HOURS:
            counts = self._hours.setdefault(hour, {})
            bucket = _bucket(seconds)
            counts[bucket] = counts.get(bucket, 0) + 1

    def by_hour(self, now: datetime, *, hours: int = 24) -> list[LeadTimeView]:
        """Return so many hours, the newest first: the present one, which is not over yet, leads."""
        return self._spans(now, number=hours, size=1)

    def by_day(self, now: datetime, *, days: int = 30) -> list[LeadTimeView]:
        """Return so many days in UTC, the newest first."""
        return self._spans(now, number=days, size=24)

    def within(self, begin: datetime, end: datetime) -> LeadTimeView:
        """Return the spread of the whole hours from the one of `begin` up to, not with, that of `end`."""
        first, last = (int((at - _EPOCH).total_seconds()) // _HOUR for at in (begin, end))
        return _view(first, [self._hours[hour] for hour in range(first, last) if hour in self._hours])

    def _spans(self, now: datetime, *, number: int, size: int) -> list[LeadTimeView]:
        latest = int((now - _EPOCH).total_seconds()) // _HOUR // size
        found = []
        for span in range(latest, latest - number, -1):
            hours = range(span * size, (span + 1) * size)
            found.append(_view(span * size, [self._hours[hour] for hour in hours if hour in self._hours]))
        return found


def _bucket(seconds: float) -> int:
    return math.ceil(math.log2(max(seconds, 1.0)) * _PER_DOUBLING)


def _view(hour: int, hours: Sequence[dict[int, int]]) -> LeadTimeView:
    counts: dict[int, int] = {}
    for one in hours:
        for bucket, number in one.items():
            counts[bucket] = counts.get(bucket, 0) + number
    return LeadTimeView(
        at=_EPOCH + timedelta(hours=hour),
        count=sum(counts.values()),
        p50_seconds=_quantile(counts.items(), 0.5),
        p95_seconds=_quantile(counts.items(), 0.95),
    )


def _quantile(counts: Iterable[tuple[int, int]], share: float) -> float | None:
    """Return the middle of the bucket that holds it; None of nothing."""
    ordered = sorted(counts)
    left = share * sum(number for _, number in ordered)
    for bucket, number in ordered:
        left -= number
        if left <= 0:
            return float(2 ** ((bucket - 0.5) / _PER_DOUBLING)) if bucket > 0 else 1.0
    return None
