"""The configuration that comes with Fluxtrail: `gotk_resource_info` of every Flux kind.

Source: fluxcd/flux2-monitoring-example, kube-state-metrics-config.yaml (2026); what goes beyond it says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import NamedTuple

from fluxtrail.reports.resource_metrics.configuration import Family, Label, Metric, Resource, SuspendedSince
from fluxtrail.reports.resource_metrics.paths import Path

PREFIX = "gotk"
HELP = "The current state of a Flux resource."
SOURCE = "source.toolkit.fluxcd.io"
GENERATOR = "source.extensions.fluxcd.io"
KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
HELM = "helm.toolkit.fluxcd.io"
IMAGE = "image.toolkit.fluxcd.io"
NOTIFICATION = "notification.toolkit.fluxcd.io"
OPERATOR = "fluxcd.controlplane.io"
GENERATOR_SWITCH = f"{GENERATOR}/reconcile"
OPERATOR_SWITCH = f"{OPERATOR}/reconcile"
URLS = frozenset({"url", "endpoint"})


class LabelSet(StrEnum):
    FULL = "full"
    """What Flux's own example configures today."""
    BASIC = "basic"
    """What it configured in 2023: `name`, `exported_namespace`, `ready`, and a HelmRepository's `type`."""


class Extra(StrEnum):
    """Labels beyond Flux's example."""

    ATTEMPTED_REVISION = "attempted_revision"
    ORIGIN_REVISION = "origin_revision"
    REASON = "reason"
    SUSPENDED_SINCE = "suspended_since"
    WEBHOOK_PATH = "webhook_path"
    """Whoever knows it may call the Receiver: it is in the example, and never here unless asked for."""


class _Kind(NamedTuple):
    group: str
    kind: str
    plural: str
    labels: Mapping[str, str] = {}
    """Label → where its value is, steps by blanks; several places by `|`."""
    extras: Mapping[Extra, str] = {}
    has_ready: bool = True
    switch: str = ""
    """An annotation that suspends where it says `disabled`; by default `spec.suspend` does."""
    is_in_example: bool = True


_REVISION = "status artifact revision"
_ORIGIN = "status artifact metadata org.opencontainers.image.revision"
_FETCHED: Mapping[Extra, str] = {Extra.ORIGIN_REVISION: _ORIGIN}
_APPLIED: Mapping[Extra, str] = {
    Extra.ATTEMPTED_REVISION: "status lastAttemptedRevision",
    Extra.ORIGIN_REVISION: "status lastAppliedOriginRevision",
}
_NEWEST = "status history 0"

_KINDS = (
    _Kind(
        KUSTOMIZE,
        "Kustomization",
        "kustomizations",
        {"revision": "status lastAppliedRevision", "source_name": "spec sourceRef name"},
        _APPLIED,
    ),
    _Kind(
        HELM,
        "HelmRelease",
        "helmreleases",
        {
            # v2beta1 has no history.
            "revision": f"{_NEWEST} chartVersion|status lastAppliedRevision",
            "chart_name": f"{_NEWEST} chartName",
            "chart_app_version": f"{_NEWEST} appVersion",
            "chart_ref_name": "spec chartRef name",
            "chart_source_name": "spec chart spec sourceRef name",
        },
        {Extra.ATTEMPTED_REVISION: "status lastAttemptedRevision"},
    ),
    _Kind(SOURCE, "GitRepository", "gitrepositories", {"revision": _REVISION, "url": "spec url"}),
    _Kind(
        SOURCE,
        "Bucket",
        "buckets",
        {"revision": _REVISION, "endpoint": "spec endpoint", "bucket_name": "spec bucketName"},
    ),
    _Kind(SOURCE, "HelmRepository", "helmrepositories", {"revision": _REVISION, "url": "spec url"}),
    _Kind(
        SOURCE,
        "HelmChart",
        "helmcharts",
        {"revision": _REVISION, "chart_name": "spec chart", "chart_version": "spec version"},
    ),
    _Kind(SOURCE, "OCIRepository", "ocirepositories", {"revision": _REVISION, "url": "spec url"}, _FETCHED),
    _Kind(NOTIFICATION, "Alert", "alerts", has_ready=False),
    _Kind(NOTIFICATION, "Provider", "providers", has_ready=False),
    _Kind(NOTIFICATION, "Receiver", "receivers", extras={Extra.WEBHOOK_PATH: "status webhookPath"}),
    _Kind(IMAGE, "ImageRepository", "imagerepositories", {"image": "spec image"}),
    _Kind(IMAGE, "ImagePolicy", "imagepolicies", {"source_name": "spec imageRepositoryRef name"}),
    _Kind(IMAGE, "ImageUpdateAutomation", "imageupdateautomations", {"source_name": "spec sourceRef name"}),
    _Kind(
        SOURCE,
        "ExternalArtifact",
        "externalartifacts",
        {"revision": _REVISION, "source_name": "spec sourceRef name"},
        _FETCHED,
        is_in_example=False,
    ),
    _Kind(GENERATOR, "ArtifactGenerator", "artifactgenerators", switch=GENERATOR_SWITCH, is_in_example=False),
    _Kind(
        OPERATOR,
        "FluxInstance",
        "fluxinstances",
        {"revision": "status lastAppliedRevision"},
        {Extra.ATTEMPTED_REVISION: "status lastAttemptedRevision"},
        switch=OPERATOR_SWITCH,
        is_in_example=False,
    ),
    _Kind(
        OPERATOR,
        "ResourceSet",
        "resourcesets",
        {"revision": "status lastAppliedRevision"},
        switch=OPERATOR_SWITCH,
        is_in_example=False,
    ),
    _Kind(
        OPERATOR,
        "ResourceSetInputProvider",
        "resourcesetinputproviders",
        {"url": "spec url", "revision": "status lastExportedRevision"},
        switch=OPERATOR_SWITCH,
        is_in_example=False,
    ),
    _Kind(OPERATOR, "FluxReport", "fluxreports", switch=OPERATOR_SWITCH, is_in_example=False),
)


def flux_resources(
    *,
    labels: LabelSet = LabelSet.FULL,
    extras: Collection[Extra] = (),
    prefix: str = PREFIX,
    without: Collection[str] = (),
) -> tuple[Resource, ...]:
    """Return the configuration of all Flux kinds.

    Args:
        prefix: of the metric's name; none where empty.
        without: names of labels to leave out. `name` and `exported_namespace` stay: two objects would be one series.
    """
    family = Family(name=f"{prefix}_resource_info" if prefix else "resource_info", help=HELP)
    return tuple(
        Resource(
            group=item.group,
            kind=item.kind,
            plural=item.plural,
            metrics=(
                Metric(
                    family=family,
                    labels=tuple(label for label in _labels(item, labels, extras) if label.name not in without),
                ),
            ),
        )
        for item in _KINDS
        if item.is_in_example or labels is LabelSet.FULL
    )


def _labels(item: _Kind, labels: LabelSet, extras: Collection[Extra]) -> list[Label]:
    found = [_label("name", "metadata name"), _label("exported_namespace", "metadata namespace")]
    if item.has_ready:
        found.append(_label("ready", "status conditions [type=Ready] status"))
    if labels is LabelSet.BASIC:
        if item.kind == "HelmRepository":
            found.append(_label("type", "spec type"))
    else:
        found.append(_suspended(item))
        found += [_label(name, place) for name, place in item.labels.items()]
    found += [_label(extra.value, place) for extra, place in item.extras.items() if extra in extras]
    if Extra.REASON in extras and item.has_ready:
        found.append(_label(Extra.REASON.value, "status conditions [type=Ready] reason"))
    if Extra.SUSPENDED_SINCE in extras and not item.switch:
        found.append(SuspendedSince(name=Extra.SUSPENDED_SINCE.value))
    return found


def _suspended(item: _Kind) -> Label:
    if item.switch:
        return Label(name="suspended", paths=(("metadata", "annotations", item.switch),), only_if="disabled")
    return _label("suspended", "spec suspend")


def _label(name: str, place: str) -> Label:
    paths: tuple[Path, ...] = tuple(tuple(each.split()) for each in place.split("|"))
    return Label(name=name, paths=paths, is_url=name in URLS)
