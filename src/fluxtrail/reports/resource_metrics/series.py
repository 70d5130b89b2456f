"""All series there are at the moment, one line of bytes each; a scrape joins them and computes nothing.

Everything but `render_snapshot` belongs to the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from fluxtrail.model.observation import Gone, Listed, ObjectKey, Observation, Seen, Unavailable
from fluxtrail.reports.resource_metrics.configuration import Family, Resource
from fluxtrail.reports.resource_metrics.rendering import Lines

LINES_AT_ONCE = 131_072
"""Lines that are joined together: some 40 MiB. One large piece of memory is had for a third of what many small ones
take: the system gives it in huge pages."""
MISSING_GRACE = timedelta(seconds=30)
"""An API server that starts up says for a moment that it knows no custom resource."""


class Budget:
    """How many series there may be, of all clusters and kinds together. First come, first served."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, count: int) -> bool:
        """Take as many more; False, and none is taken, where that is over the limit. Less is always granted."""
        if count > 0 and self.used + count > self.limit:
            return False
        self.used += count
        return True


class KindSeries:
    """The series of one kind on one cluster, as one stream tells of it.

    Args:
        cluster: its name.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        cluster: str,
        budget: Budget,
        now: Callable[[], datetime],
    ) -> None:
        self.resource = resource
        self.cluster = cluster
        self._budget = budget
        self._now = now
        self._held: list[dict[ObjectKey, bytes]] = [{} for _ in resource.metrics]
        self._waiting: dict[ObjectKey, Lines] = {}
        self._unconfirmed: set[ObjectKey] = set()
        self._missing_since: datetime | None = None

    @property
    def count(self) -> int:
        return sum(len(lines) for lines in self._held)

    @property
    def over_budget(self) -> int:
        """Series for which there is no room."""
        return sum(_count(lines) for lines in self._waiting.values())

    @property
    def is_hidden(self) -> bool:
        """The kind is not served any more: its objects are not there, although nobody said so of each."""
        return self._missing_since is not None and self._now() - self._missing_since > MISSING_GRACE

    def begin(self) -> None:
        """A stream begins that knows nothing of what the one before has told."""
        self._unconfirmed = {*self._waiting}.union(*self._held)

    def observe(self, batch: Sequence[Observation[Lines]]) -> None:
        for observation in batch:
            match observation:
                case Seen():
                    self._unconfirmed.discard(observation.key)
                    self._put(observation.key, observation.object)
                case Gone():
                    self._remove(observation.key)
                case Listed():
                    self._missing_since = None
                    for key in self._unconfirmed:
                        self._remove(key)
                    self._unconfirmed.clear()
                case Unavailable():
                    if observation.reason == "not_installed":
                        self._missing_since = self._missing_since or observation.observed_at
                case _:
                    self._missing_since = None

    def lines(self, family: Family) -> Iterator[list[bytes]]:
        """Return what there is of a family now: lists that nobody changes later."""
        if self.is_hidden:
            return
        for metric, held in zip(self.resource.metrics, self._held, strict=True):
            if metric.family.name == family.name and held:
                yield list(held.values())

    def admit_waiting(self) -> None:
        """Give those that wait the room there is."""
        while self._waiting and self._budget.used < self._budget.limit:
            key, lines = next(iter(self._waiting.items()))
            if not self._budget.take(_count(lines)):
                return
            del self._waiting[key]
            self._hold(key, lines)

    def _put(self, key: ObjectKey, lines: Lines) -> None:
        if self._budget.take(_count(lines) - self._held_count(key)):
            self._waiting.pop(key, None)
            self._hold(key, lines)
        else:
            self._remove(key)
            self._waiting[key] = lines

    def _hold(self, key: ObjectKey, lines: Lines) -> None:
        for held, line in zip(self._held, lines, strict=True):
            if line:
                held[key] = line
            else:
                held.pop(key, None)

    def _remove(self, key: ObjectKey) -> None:
        self._waiting.pop(key, None)
        for held in self._held:
            line = held.pop(key, None)
            if line is not None:
                self._budget.take(-line.count(b"\n"))

    def _held_count(self, key: ObjectKey) -> int:
        return sum(line.count(b"\n") for held in self._held if (line := held.get(key)) is not None)


def _count(lines: Lines) -> int:
    return sum(line.count(b"\n") for line in lines)


class FamilyLines(NamedTuple):
    family: Family
    blocks: list[list[bytes]]


class ResourceSeries:
    """Every kind of every cluster. Families of one name are one: its HELP and TYPE come once, from the first."""

    def __init__(self, limit: int) -> None:
        self.budget = Budget(limit)
        self.kinds: list[KindSeries] = []

    def add(self, series: KindSeries) -> None:
        self.kinds.append(series)

    def observe(self, series: KindSeries, batch: Sequence[Observation[Lines]]) -> None:
        """Take what a stream tells of one kind; where that makes room, whoever waits for some gets it."""
        before = self.budget.used
        series.observe(batch)
        if self.budget.used < before:
            for kind in self.kinds:
                kind.admit_waiting()

    def snapshot(
        self, *, resources: Collection[str] | None = None, excluded: Collection[str] = ()
    ) -> list[FamilyLines]:
        """Return what there is now, to be rendered elsewhere.

        Args:
            resources: plurals (`kustomizations`), perhaps with their group behind a dot; None for all.
        """
        families: dict[str, Family] = {}
        chosen = [
            kind
            for kind in self.kinds
            if (resources is None or _is_named(kind.resource, resources)) and not _is_named(kind.resource, excluded)
        ]
        for kind in chosen:
            for metric in kind.resource.metrics:
                families.setdefault(metric.family.name, metric.family)
        return [
            FamilyLines(family, [block for kind in chosen for block in kind.lines(family)])
            for family in families.values()
        ]


def _is_named(resource: Resource, names: Collection[str]) -> bool:
    return resource.plural in names or f"{resource.plural}.{resource.group}" in names


def render_snapshot(snapshot: Sequence[FamilyLines], *, is_openmetrics: bool) -> list[bytes]:
    """Return the lines of all families, in few pieces; without OpenMetrics' `# EOF`."""
    pieces: list[bytes] = []
    for family, blocks in snapshot:
        pieces.append(family.head(is_openmetrics=is_openmetrics))
        for block in blocks:
            for begin in range(0, len(block), LINES_AT_ONCE):
                part = block if len(block) <= LINES_AT_ONCE else block[begin : begin + LINES_AT_ONCE]
                pieces.append(b"".join(part))
    return pieces
