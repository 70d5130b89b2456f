"""All series there are at the moment, one line of bytes each, in blocks; a scrape joins those that have changed.

Everything belongs to the event loop; the blocks may be read anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta

from fluxtrail.model.observation import Gone, Listed, ObjectKey, Observation, Seen, Unavailable
from fluxtrail.reports.resource_metrics.blocks import Block, Blocks
from fluxtrail.reports.resource_metrics.configuration import Family, Resource
from fluxtrail.reports.resource_metrics.rendering import Lines

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

    Attributes:
        count: of series. An object may have many.
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
        self._held = [Blocks() for _ in resource.metrics]
        self._waiting: dict[ObjectKey, Lines] = {}
        self._unconfirmed: set[ObjectKey] = set()
        self._missing_since: datetime | None = None
        self.count = 0

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

    def blocks(self) -> Iterator[tuple[Family, list[Block]]]:
        """Yield what there is now of each of its families; of one twice where two metrics have its name."""
        is_hidden = self.is_hidden
        for metric, held in zip(self.resource.metrics, self._held, strict=True):
            yield metric.family, [] if is_hidden else held.blocks()

    def admit_waiting(self) -> None:
        """Give those that wait the room there is."""
        while self._waiting and self._budget.used < self._budget.limit:
            key, lines = next(iter(self._waiting.items()))
            if not self._take(_count(lines)):
                return
            del self._waiting[key]
            self._hold(key, lines)

    def _put(self, key: ObjectKey, lines: Lines) -> None:
        if self._take(_count(lines) - self._held_count(key)):
            self._waiting.pop(key, None)
            self._hold(key, lines)
        else:
            self._remove(key)
            self._waiting[key] = lines

    def _hold(self, key: ObjectKey, lines: Lines) -> None:
        for held, line in zip(self._held, lines, strict=True):
            if line:
                held.put(key, line)
            else:
                held.pop(key)

    def _remove(self, key: ObjectKey) -> None:
        self._waiting.pop(key, None)
        for held in self._held:
            self._take(-held.pop(key).count(b"\n"))

    def _take(self, count: int) -> bool:
        is_granted = self._budget.take(count)
        if is_granted:
            self.count += count
        return is_granted

    def _held_count(self, key: ObjectKey) -> int:
        return sum(held.get(key).count(b"\n") for held in self._held)


def _count(lines: Lines) -> int:
    return sum(line.count(b"\n") for line in lines)


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

    def pieces(
        self, *, is_openmetrics: bool, resources: Collection[str] | None = None, excluded: Collection[str] = ()
    ) -> list[bytes | Block]:
        """Return the lines of all families as they are now; without OpenMetrics' `# EOF`.

        Args:
            resources: plurals (`kustomizations`), perhaps with their group behind a dot; None for all.
        """
        families: dict[str, list[bytes | Block]] = {}
        for kind in self.kinds:
            if _is_named(kind.resource, excluded) or not (resources is None or _is_named(kind.resource, resources)):
                continue
            for family, blocks in kind.blocks():
                if family.name not in families:
                    families[family.name] = [family.head(is_openmetrics=is_openmetrics)]
                families[family.name] += blocks
        return [piece for pieces in families.values() for piece in pieces]


def _is_named(resource: Resource, names: Collection[str]) -> bool:
    return resource.plural in names or f"{resource.plural}.{resource.group}" in names
