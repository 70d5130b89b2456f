"""A user's `CustomResourceStateMetrics`: what kube-state-metrics is told by `--custom-resource-state-config[-file]`.

It is taken as it is. What would break the exposition there (an invalid name) is refused here, with its path in the file
and all of it at once; a field that does not exist is passed over as there, and said.

Source: kube-state-metrics 2.20, docs/metrics/extend/customresourcestate-metrics.md and pkg/customresourcestate.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from fluxtrail.model.errors import ConfigError
from fluxtrail.reports.resource_metrics.configuration import INFO_SUFFIX, Family, FamilyType, Resource, SampledMetric
from fluxtrail.reports.resource_metrics.paths import Path, is_lookup, lookup_of
from fluxtrail.reports.resource_metrics.sampling import Copy, Each, LabelPaths, SampleType
from fluxtrail.reports.resource_metrics.text import label_name
from fluxtrail.reports.resource_metrics.user_document import SHOWN, Fields, Findings, Place, check, load_document

_log = structlog.get_logger(__name__)

KIND = "CustomResourceStateMetrics"
PREFIX = "kube_customresource"
OWN_PREFIX = "fluxtrail_"
ANY = "*"

_HELM = frozenset({"kube-state-metrics", "customResourceState"})
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_BLOCKS = {SampleType.INFO: "info", SampleType.GAUGE: "gauge", SampleType.STATE_SET: "stateSet"}
_RESOURCE_FIELDS = (
    "groupVersionKind",
    "metrics",
    "metricNamePrefix",
    "commonLabels",
    "labelsFromPath",
    "resourcePlural",
    "errorLogV",
)
_METRIC_FIELDS = ("name", "help", "each", "commonLabels", "labelsFromPath", "errorLogV")


class Kinds(msgspec.Struct, frozen=True):
    """Which kinds are meant: one of a version, or all of either."""

    group: str
    version: str = ANY
    kind: str = ANY

    def match(self, version: str, kind: str) -> bool:
        return self.version in (ANY, version) and self.kind in (ANY, kind)

    def __str__(self) -> str:
        return f"{self.kind}.{self.version}.{self.group or 'core'}"


class UserMetric(msgspec.Struct, frozen=True, kw_only=True):
    family: Family
    given: dict[str, str]
    """The resource's labels: what is said of the kind, and then its own, win over them."""
    common: dict[str, str]
    named: dict[str, Path]
    each: Each
    verbosity: int


class UserResource(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the file, or all of the same kinds."""

    kinds: Kinds
    metrics: tuple[UserMetric, ...]

    def resource(self, *, version: str, kind: str, plural: str) -> Resource:
        """Return what is said of one kind that is meant, at a version that is served."""
        of_kind = {
            "customresource_group": self.kinds.group,
            "customresource_version": version,
            "customresource_kind": kind,
        }
        return Resource(
            group=self.kinds.group,
            kind=kind,
            plural=plural,
            versions=(version,),
            metrics=tuple(
                SampledMetric(
                    family=metric.family,
                    common={**metric.given, **of_kind, **metric.common},
                    labels=_label_paths(metric.named),
                    each=metric.each,
                    is_quiet=metric.verbosity > 0,
                )
                for metric in self.metrics
            ),
        )


def parse_configuration(source: str | Mapping[str, Any], *, subject: str) -> tuple[UserResource, ...]:
    """Return the entries of a file.

    Args:
        source: its text, or what was read of it already.
        subject: what to call it: the file, or the setting.

    Raises:
        ConfigError: all that is wrong with it, each with its path.
    """
    findings = Findings()
    document = load_document(source, subject=subject) if isinstance(source, str) else source
    if isinstance(document, Mapping) and (chart := _HELM.intersection(document)):
        raise ConfigError(
            f"these are values of a Helm chart ({min(chart)}): state what is below customResourceState.config alone",
            subject=subject,
        )
    top = Place(document, "", findings).fields("apiVersion", "kind", "metadata", "spec")
    if (kind := top["kind"].text(KIND)) != KIND:
        top["kind"].refuse(f"must be {KIND} (given: {kind[:80]!r})")
    found = [_resource(place) for place in top["spec"].fields("resources")["resources"].items()]
    check(findings, subject=subject)
    for ignored in findings.ignored[:SHOWN]:
        _log.warning("a field means nothing, and is passed over", subject=subject, field=ignored)
    return _agree(_gather(found))


def _resource(place: Place) -> UserResource:
    fields = place.fields(*_RESOURCE_FIELDS)
    prefix = fields["metricNamePrefix"].text(PREFIX)
    named = _paths(fields["labelsFromPath"])
    verbosity = fields["errorLogV"].whole_number()
    fields["resourcePlural"].text()
    given = _common(fields["commonLabels"])
    metrics = [
        _metric(each, prefix=prefix, given=given, named=named, verbosity=verbosity)
        for each in fields["metrics"].items()
    ]
    return UserResource(kinds=_kinds(fields["groupVersionKind"]), metrics=tuple(metrics))


def _kinds(place: Place) -> Kinds:
    fields = place.fields("group", "version", "kind")
    if "group" not in fields or not fields["group"].is_given:
        fields["group"].refuse("is needed: state the API group, such as kustomize.toolkit.fluxcd.io, or '' for core")
    group = fields["group"].text()
    if group == ANY:
        fields["group"].refuse("no wildcard can be a group: state one entry for each")
    return Kinds(group, fields["version"].text() or ANY, fields["kind"].text() or ANY)


def _metric(place: Place, *, prefix: str, given: dict[str, str], named: dict[str, Path], verbosity: int) -> UserMetric:
    fields = place.fields(*_METRIC_FIELDS)
    stated = fields["name"].text()
    name = f"{prefix}_{stated}" if prefix else stated
    if not stated:
        fields["name"].refuse("is needed: the metric's name, without its prefix")
    elif not _METRIC.fullmatch(name):
        fields["name"].refuse(f"{name[:80]!r} is no name of a metric: use letters, digits and '_'")
    elif name.startswith(OWN_PREFIX):
        fields["name"].refuse(f"{name[:80]!r} could be one of Fluxtrail's own: state another metricNamePrefix")
    each = _each(fields["each"])
    return UserMetric(
        family=Family(name=name, help=fields["help"].text(), type=_type_of(each, name)),
        given=given,
        common=_common(fields["commonLabels"]),
        named={**named, **_paths(fields["labelsFromPath"])},
        each=each,
        verbosity=fields["errorLogV"].whole_number() or verbosity,
    )


def _type_of(each: Each, name: str) -> FamilyType:
    """What strict parsers take for what it is: an info that is named so, a state in a label of the family's name."""
    if each.type is SampleType.INFO and name.endswith(INFO_SUFFIX):
        return FamilyType.INFO
    is_state_set = each.type is SampleType.STATE_SET and each.state_label == name
    return FamilyType.STATE_SET if is_state_set else FamilyType.GAUGE


def _each(place: Place) -> Each:
    fields = place.fields("type", *_BLOCKS.values())
    stated = fields["type"].text()
    chosen = next((item for item in SampleType if item.value == stated.lower()), None)
    if chosen is None:
        shown = f" (given: {stated[:80]!r})" if stated else ""
        fields["type"].refuse(f"must be Info, Gauge or StateSet{shown}")
    found = {item: _block(fields[name], item) for item, name in _BLOCKS.items()}
    if chosen is None:
        return Each(type=SampleType.INFO)
    block = fields[_BLOCKS[chosen]]
    if not block.is_given:
        block.refuse(f"is needed where each.type is {stated}")
    return found[chosen]


def _block(place: Place, chosen: SampleType) -> Each:
    if chosen is SampleType.INFO:
        return _info(place.fields("path", "labelsFromPath", "labelFromKey"))
    if chosen is SampleType.GAUGE:
        fields = place.fields("path", "labelsFromPath", "labelFromKey", "valueFrom", "nilIsZero")
        return msgspec.structs.replace(
            _info(fields),
            type=SampleType.GAUGE,
            value_from=_path(fields["valueFrom"]),
            nil_is_zero=fields["nilIsZero"].switch(),
        )
    fields = place.fields("path", "labelsFromPath", "valueFrom", "labelName", "list")
    if place.is_given:
        _label(fields["labelName"], "is needed: the label that takes the states")
    return Each(
        type=SampleType.STATE_SET,
        path=_path(fields["path"]),
        labels=_label_paths(_paths(fields["labelsFromPath"])),
        value_from=_path(fields["valueFrom"]),
        states=tuple(dict.fromkeys(fields["list"].texts())),
        state_label=fields["labelName"].text(),
    )


def _info(fields: Fields) -> Each:
    _label(fields["labelFromKey"])
    return Each(
        type=SampleType.INFO,
        path=_path(fields["path"]),
        labels=_label_paths(_paths(fields["labelsFromPath"])),
        key_label=fields["labelFromKey"].text(),
    )


def _label(place: Place, missing: str = "") -> None:
    name = place.text()
    if name and not _LABEL.fullmatch(name):
        place.refuse(f"{name[:80]!r} is no name of a label: use letters, digits and '_'")
    elif not name and missing:
        place.refuse(missing)


def _common(place: Place) -> dict[str, str]:
    found = {}
    for name, value in place.entries().items():
        if not _LABEL.fullmatch(name):
            value.refuse("is no name of a label: use letters, digits and '_'")
        found[name] = value.text()
    return found


def _paths(place: Place) -> dict[str, Path]:
    return {name: _path(value) for name, value in place.entries().items()}


def _path(place: Place) -> Path:
    for item in place.items():
        step = item.text()
        if is_lookup(step) and lookup_of(step) is None:
            item.refuse(f"{step[:80]!r} finds no element: write [key=value]")
    return place.texts()


def _label_paths(paths: Mapping[str, Path]) -> LabelPaths:
    """A name with a `*` at either end copies a map; what stands before a last one is put before each name."""
    copies = sorted(name for name in paths if name.startswith(ANY) or name.endswith(ANY))
    return LabelPaths(
        copies=tuple(Copy(prefix=name[:-1] if name.endswith(ANY) else "", path=paths[name]) for name in copies),
        named=tuple((label_name(name), path) for name, path in paths.items() if name not in copies),
    )


def _gather(found: list[UserResource]) -> list[UserResource]:
    """Entries of the same kinds are one, with the metrics of all: kube-state-metrics keeps the last in silence."""
    by_kinds: dict[Kinds, UserResource] = {}
    for resource in found:
        first = by_kinds.get(resource.kinds)
        metrics = (*first.metrics, *resource.metrics) if first else resource.metrics
        by_kinds[resource.kinds] = msgspec.structs.replace(resource, metrics=metrics)
    return list(by_kinds.values())


def _agree(resources: list[UserResource]) -> tuple[UserResource, ...]:
    """Families of one name are one, and have one type; where they differ, it is what holds for all."""
    types: defaultdict[str, set[FamilyType]] = defaultdict(set)
    for resource in resources:
        for metric in resource.metrics:
            types[metric.family.name].add(metric.family.type)
    # OpenMetrics knows an info without its suffix: `x_info` would be the family of the gauge `x`.
    mixed = {
        name
        for name, known in types.items()
        if len(known) > 1 or name.removesuffix(INFO_SUFFIX) in types.keys() - {name}
    }
    return tuple(
        msgspec.structs.replace(
            resource,
            metrics=tuple(
                msgspec.structs.replace(metric, family=msgspec.structs.replace(metric.family, type=FamilyType.GAUGE))
                if metric.family.name in mixed
                else metric
                for metric in resource.metrics
            ),
        )
        for resource in resources
    )
