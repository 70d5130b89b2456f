"""One kind's objects made into lines: what is compiled of a configuration, once at start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxtrail.reports.resource_metrics.configuration import Family, Label, Metric, Resource
from fluxtrail.reports.resource_metrics.projection import Projection, paths_of
from fluxtrail.reports.resource_metrics.selection import Rules, Shard
from fluxtrail.reports.resource_metrics.text import escape, go_text

CLUSTER_LABEL = "cluster"

Lines = tuple[bytes, ...]
"""Of one object: what it has of each of its kind's families, in their order. Each line ends; none is empty text."""


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
    ) -> None:
        self.resource = resource
        self._rules = rules or Rules()
        self._shard = shard or Shard()
        self._projection = Projection(paths_of([label for metric in resource.metrics for label in metric.labels]))
        of_kind = {"customresource_group": resource.group, "customresource_kind": resource.kind}
        self._metrics = [_Series(metric, {**(fixed or {}), **of_kind}) for metric in resource.metrics]

    @property
    def families(self) -> tuple[Family, ...]:
        return tuple(metric.family for metric in self.resource.metrics)

    @property
    def wire(self) -> type[Any]:
        """What an object's JSON is decoded into."""
        return self._projection.wire

    def project(self, wire: Any) -> Lines | None:
        """Return an object's lines; None where it has none here."""
        meta = wire.metadata
        if not self._shard.has(meta.uid or ""):
            return None
        if not self._rules.admit(self.resource.kind, meta.namespace or "", meta.name or ""):
            return None
        obj = self._projection.read(wire)
        version = (wire.api_version or "").rpartition("/")[2]
        return tuple(metric.line(obj, version) for metric in self._metrics)


class _Series:
    """One family of one kind. Labels stand in the order of their names."""

    def __init__(self, metric: Metric, fixed: Mapping[str, str]) -> None:
        own = {label.name for label in metric.labels}
        parts: dict[str, Label | str] = {name: value for name, value in fixed.items() if name not in own}
        parts["customresource_version"] = ""
        parts.update({label.name: label for label in metric.labels})
        self._name = metric.family.name
        self._parts = [
            (name, part if isinstance(part, Label) else None, escape(part) if isinstance(part, str) else "")
            for name, part in sorted(parts.items())
        ]

    def line(self, obj: dict[str, Any], version: str) -> bytes:
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
