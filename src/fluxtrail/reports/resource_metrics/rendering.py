"""One kind's objects made into lines: what is compiled of a configuration, once at start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from fluxtrail.reports.resource_metrics.configuration import Family, Label, Metric, Resource, SampledMetric
from fluxtrail.reports.resource_metrics.reading import reading_of
from fluxtrail.reports.resource_metrics.sampling import Labels, Refusal
from fluxtrail.reports.resource_metrics.selection import Rules, Shard
from fluxtrail.reports.resource_metrics.text import escape, go_float, go_text

_USUAL = {0.0: "0", 1.0: "1"}
CLUSTER_LABEL = "cluster"

Lines = tuple[bytes, ...]
"""Of one object: what it has of each of its kind's families, in their order. Each line ends; none is empty text."""

OnRefusal = Callable[[SampledMetric, Refusal, str], None]
"""Told what gave no sample, and of which object (`namespace/name`)."""


class Renderer:
    """Makes the lines of one kind's objects.

    Args:
        fixed: labels of every series, with their values. What an object says under the same name wins.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        fixed: Mapping[str, str] | None = None,
        rules: Rules | None = None,
        shard: Shard | None = None,
        on_refusal: OnRefusal | None = None,
    ) -> None:
        self.resource = resource
        self._rules = rules or Rules()
        self._shard = shard or Shard()
        self._reading = reading_of(set[tuple[str, ...]]().union(*(metric.reads() for metric in resource.metrics)))
        self._on_refusal = on_refusal or _ignore
        self._metrics = [
            _Samples(metric, fixed or {})
            if isinstance(metric, SampledMetric)
            else _Series(metric, resource, fixed or {})
            for metric in resource.metrics
        ]

    @property
    def families(self) -> tuple[Family, ...]:
        return tuple(metric.family for metric in self.resource.metrics)

    @property
    def wire(self) -> type[Any]:
        """What an object's JSON is decoded into."""
        return self._reading.wire

    def project(self, wire: Any) -> Lines | None:
        """Return an object's lines; None where it has none here."""
        identity, read = self._reading.open(wire)
        if not self._shard.has(identity.uid):
            return None
        if not self._rules.admit(self.resource.kind, identity.namespace, identity.name):
            return None
        obj = read()
        seen: Seen = defaultdict(set)

        def refuse(metric: SampledMetric, refusal: Refusal) -> None:
            self._on_refusal(metric, refusal, f"{identity.namespace}/{identity.name}")

        return tuple(metric.lines(obj, seen, refuse) for metric in self._metrics)


Seen = defaultdict[str, set[str]]
"""The labels of one object's series, by family: two series must not have the same."""


def _ignore(_metric: SampledMetric, _refusal: Refusal, _name: str) -> None:
    """Whoever wants to know says so."""


class _Series:
    """One family of one kind. Labels stand in the order of their names."""

    def __init__(self, metric: Metric, resource: Resource, fixed: Mapping[str, str]) -> None:
        own = {label.name for label in metric.labels}
        of_kind = {"customresource_group": resource.group, "customresource_kind": resource.kind}
        parts: dict[str, Label | str] = {name: value for name, value in {**fixed, **of_kind}.items() if name not in own}
        parts["customresource_version"] = ""
        parts.update({label.name: label for label in metric.labels})
        self._name = metric.family.name
        self._parts = [
            (name, part if isinstance(part, Label) else None, escape(part) if isinstance(part, str) else "")
            for name, part in sorted(parts.items())
        ]

    def lines(self, obj: dict[str, Any], _seen: Seen, _refuse: Any) -> bytes:
        version = (obj.get("apiVersion") or "").rpartition("/")[2]
        written: list[str] = []
        for name, label, fixed in self._parts:
            if label is None:
                text = version if name == "customresource_version" else fixed
            else:
                value = label.value(obj)
                if value is None:
                    continue
                text = escape(go_text(value))
            written.append(f'{name}="{text}"')
        return f"{self._name}{{{','.join(written)}}} 1\n".encode("utf-8", "replace")


class _Samples:
    """One family of one kind, as a user states it. An object may have any number of lines."""

    def __init__(self, metric: SampledMetric, fixed: Mapping[str, str]) -> None:
        self._metric = metric
        self._name = metric.family.name
        self._fixed = {**fixed, **metric.common}

    def lines(self, obj: dict[str, Any], seen: Seen, refuse: Callable[[SampledMetric, Refusal], None]) -> bytes:
        """Return the lines in the order of their labels; a second one of the same labels is left out."""
        metric = self._metric
        try:
            base: Labels = dict(self._fixed)
            metric.labels.add_to(base, obj)
            samples = metric.each.samples(obj, lambda refusal: refuse(metric, refusal))
        except Exception:  # noqa: BLE001 - one family's surprise, whatever it is, must not stop the others
            refuse(metric, Refusal.FAILED)
            return b""
        written: list[str] = []
        there = seen[self._name]
        for own, value in samples:
            labels = _labels({**base, **own})
            if labels in there:
                refuse(metric, Refusal.DUPLICATE)
                continue
            there.add(labels)
            written.append(f"{self._name}{{{labels}}} {_number(value)}\n")
        return "".join(written).encode("utf-8", "replace")


def _labels(labels: Labels) -> str:
    return ",".join([f'{name}="{escape(text)}"' for name, text in sorted(labels.items())])


def _number(value: float) -> str:
    """Return a sample's value; nothing has no sign."""
    return _USUAL.get(value) or go_float(value)
