"""What is said of which kind: metric families and their labels, before anything is compiled.

A resource may have any number of families, and several resources may share one by its name.
"""

from enum import StrEnum
from typing import Any

import msgspec

from fluxtrail.model.redaction import redact_url
from fluxtrail.reports.resource_metrics.paths import Path, find
from fluxtrail.reports.resource_metrics.sampling import Each, LabelPaths

INFO_SUFFIX = "_info"


class FamilyType(StrEnum):
    INFO = "info"
    """One series, always 1: what matters is in its labels."""
    GAUGE = "gauge"
    STATE_SET = "stateset"
    """One series for each state, 1 for the present one. The state is in a label of the family's own name."""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A label and where its value is. Without a value, the series has no such label."""

    name: str
    paths: tuple[Path, ...]
    """The first one that leads to a value counts: where it is depends on the version that is served."""
    only_if: str | None = None
    """The label is `true` where the value is this text, in any letter case, and missing otherwise."""
    is_url: bool = False
    """Userinfo, query and fragment are left out."""

    def value(self, obj: dict[str, Any]) -> Any:
        """Return the label's value for a decoded object; None for none."""
        for path in self.paths:
            value = find(obj, path)
            if value is None:
                continue
            if self.only_if is not None:
                return True if str(value).lower() == self.only_if else None
            return redact_url(value) if self.is_url and isinstance(value, str) else value
        return None

    def reads(self) -> tuple[Path, ...]:
        """Return all that must be known of an object."""
        return self.paths


class SuspendedSince(Label, frozen=True, kw_only=True):
    """When whoever suspended an object last wrote it: Flux itself keeps no such moment.

    `spec.suspend` has an owner in `managedFields`; a later write of the same owner moves the moment on.
    """

    paths: tuple[Path, ...] = ()

    def value(self, obj: dict[str, Any]) -> Any:
        if find(obj, ("spec", "suspend")) is not True:
            return None
        entries = find(obj, ("metadata", "managedFields"))
        if not isinstance(entries, list):
            return None
        times = [
            entry["time"]
            for entry in entries
            if isinstance(entry, dict)
            and isinstance(entry.get("time"), str)
            and isinstance(owned := find(entry, ("fieldsV1", "f:spec")), dict)
            and "f:suspend" in owned
        ]
        return max(times, default=None)

    def reads(self) -> tuple[Path, ...]:
        entry = ("metadata", "managedFields", "0")
        return ("spec", "suspend"), (*entry, "time"), (*entry, "fieldsV1", "f:spec", "f:suspend")


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as it is exposed, once, however many kinds have series of it."""

    name: str
    help: str
    type: FamilyType = FamilyType.INFO

    def head(self, *, is_openmetrics: bool) -> bytes:
        """Return its HELP and TYPE. Text 0.0.4 has no type for infos, and OpenMetrics names them without the suffix."""
        name, kind = self.name, "gauge"
        if is_openmetrics and self.type is FamilyType.INFO and name.endswith(INFO_SUFFIX):
            name, kind = name.removesuffix(INFO_SUFFIX), self.type.value
        elif is_openmetrics and self.type is FamilyType.STATE_SET:
            kind = self.type.value
        text = self.help.replace("\\", r"\\").replace("\n", r"\n")
        if is_openmetrics:
            text = text.replace('"', r"\"")
        return f"# HELP {name} {text}\n# TYPE {name} {kind}\n".encode()


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind has of a family."""

    family: Family
    labels: tuple[Label, ...]

    def reads(self) -> set[Path]:
        """Return all that must be known of an object."""
        return {path for label in self.labels for path in label.reads()}


class SampledMetric(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind has of a family, as a user's configuration states it: any number of samples an object.

    A label of a sample wins over `labels`, and these over `common`.
    """

    family: Family
    common: dict[str, str]
    labels: LabelPaths
    each: Each
    is_quiet: bool = False
    """What cannot be read is no warning."""

    def reads(self) -> set[Path]:
        """Return all that must be known of an object."""
        return self.labels.reads() | self.each.reads()


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One kind, and what is said of its objects."""

    group: str
    kind: str
    plural: str
    """As rights and `?resources=` name it."""
    metrics: tuple[Metric | SampledMetric, ...]
    versions: tuple[str, ...] = ()
    """Best first; without any, the one that the server prefers."""
