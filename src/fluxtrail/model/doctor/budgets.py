"""How much a doctor may do, and when it may do nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from fluxtrail.model.doctor.memory import BUDGET_WINDOW

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """A time in which nothing is done: on these days, from one hour to another, by the clocks of a place.

    `until` at or before `start` is on the next day; a window belongs to the day on which it begins.
    """

    zone: tzinfo
    zone_name: str
    days: frozenset[int] = frozenset(range(7))
    """0 is Monday. None stated: every day."""
    start: time = time()
    until: time = time()
    first: date | None = None
    last: date | None = None
    """Only between these dates, both included."""

    def holds(self, moment: datetime) -> bool:
        local = moment.astimezone(self.zone)
        return any(self._holds_on(local.date() - timedelta(days=back), local) for back in (0, 1))

    def _holds_on(self, day: date, local: datetime) -> bool:
        if day.weekday() not in self.days or (self.first and day < self.first) or (self.last and day > self.last):
            return False
        # Wall-clock times: an hour that clocks skip or repeat is the people's, not the sun's.
        naive = local.replace(tzinfo=None)
        begin, end = datetime.combine(day, self.start), datetime.combine(day, self.until)
        if end <= begin:
            end += timedelta(days=1)
        return begin <= naive < end

    def __str__(self) -> str:
        days = "every day" if len(self.days) == 7 else ",".join(WEEKDAYS[day] for day in sorted(self.days))
        return f"{days} {self.start:%H:%M}-{self.until:%H:%M} {self.zone_name}"


@dataclass(frozen=True, kw_only=True)
class Limits:
    per_hour: int = 10
    per_namespace_per_hour: int = 3
    freezes: tuple[Freeze, ...] = ()

    def frozen_by(self, now: datetime) -> Freeze | None:
        return next((each for each in self.freezes if each.holds(now)), None)


class Budget:
    """What is left of this hour, for one cluster.

    Args:
        spent: (namespace, when) of every act that is known: remembered by objects, or by this process.
    """

    def __init__(self, limits: Limits, spent: Iterable[tuple[str, datetime]], now: datetime) -> None:
        # One by a clock that is ahead of ours counts too: better one act too few.
        recent = [namespace for namespace, at in spent if now - at < BUDGET_WINDOW]
        self._limits = limits
        self._by_namespace = Counter(recent)
        self._all = len(recent)

    @property
    def left(self) -> int:
        return max(self._limits.per_hour - self._all, 0)

    def left_in(self, namespace: str) -> int:
        return min(self.left, max(self._limits.per_namespace_per_hour - self._by_namespace[namespace], 0))

    def spend(self, namespace: str) -> None:
        self._by_namespace[namespace] += 1
        self._all += 1


def parse_days(names: Sequence[str]) -> frozenset[int]:
    """Return days by their names, `mon` or `Monday`; none means all.

    Raises:
        ValueError: no such day.
    """
    found = set()
    for name in names:
        short = name.strip().lower()[:3]
        if short not in WEEKDAYS:
            raise ValueError(f"{name[:40]!r} is no day; write mon, tue, wed, thu, fri, sat or sun")
        found.add(WEEKDAYS.index(short))
    return frozenset(found or range(7))
