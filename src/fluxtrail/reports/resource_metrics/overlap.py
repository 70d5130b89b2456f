"""Series of different objects that have the same labels: Prometheus takes the first of them and drops the others.

A user's configuration need not say whose a series is. Where it does not, labels are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fluxtrail.model.observation import Gone, Listed, ObjectKey, Observation, Seen
from fluxtrail.reports.resource_metrics.configuration import Resource, SampledMetric
from fluxtrail.reports.resource_metrics.paths import Path
from fluxtrail.reports.resource_metrics.rendering import Lines

_UID: Path = ("metadata", "uid")
_NAMES = frozenset({("metadata", "name"), ("metadata", "namespace")})


class Overlap:
    """Of one kind's objects, as one stream tells of them. Costs nothing where each series names its object.

    Attributes:
        count: of series that have the labels of another one.
    """

    def __init__(self, resource: Resource) -> None:
        self._watched = [number for number, metric in enumerate(resource.metrics) if not _names_its_object(metric)]
        self._names = [metric.family.name for metric in resource.metrics]
        self._series: Counter[int] = Counter()
        self._of: dict[ObjectKey, tuple[int, ...]] = {}
        self._unconfirmed: set[ObjectKey] = set()
        self.count = 0

    def begin(self) -> None:
        """A stream begins that knows nothing of what the one before has told."""
        self._unconfirmed = set(self._of)

    def observe(self, batch: Sequence[Observation[Lines]]) -> None:
        if not self._watched:
            return
        for observation in batch:
            match observation:
                case Seen():
                    self._unconfirmed.discard(observation.key)
                    self._remove(observation.key)
                    self._add(observation.key, observation.object)
                case Gone():
                    self._remove(observation.key)
                case Listed():
                    for key in self._unconfirmed:
                        self._remove(key)
                    self._unconfirmed.clear()
                case _:
                    pass

    def _add(self, key: ObjectKey, lines: Lines) -> None:
        found = tuple(
            hash((self._names[number], line.rpartition(b" ")[0]))
            for number in self._watched
            for line in lines[number].splitlines()
        )
        if found:
            self._of[key] = found
        for series in found:
            self._series[series] += 1
            self.count += self._series[series] > 1

    def _remove(self, key: ObjectKey) -> None:
        for series in self._of.pop(key, ()):
            self.count -= self._series[series] > 1
            self._series[series] -= 1
            if not self._series[series]:
                del self._series[series]


def _names_its_object(metric: object) -> bool:
    """Whether the labels of each series are, or contain, its object's name and namespace, or its uid."""
    if not isinstance(metric, SampledMetric):
        return True
    each = metric.each
    if each.labels.copies:  # they may take any name
        return False
    taken = {each.key_label, each.state_label, *(name for name, _ in each.labels.named)}
    paths = {path for name, path in metric.labels.named if name not in taken}
    paths |= {each.path + path for _, path in each.labels.named}
    return _UID in paths or paths >= _NAMES
