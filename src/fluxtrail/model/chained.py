"""Any object as a link of the chain from a workload back to a commit: who made it, and what it was made from.

Flux's own objects are read whole; of all others the metadata is enough, so that nothing else of them (a Secret's data)
is ever asked for. As in `flux.py`, a projection never fails on a value that it does not understand.
Source: `flux trace` (fluxcd/flux2 cmd/flux/trace.go), which walks the same labels.
"""

from datetime import datetime
from typing import Any

import msgspec

from fluxtrail.model.flux import HELM_GROUP, KUSTOMIZE_GROUP, SOURCE_GROUP, Condition, read_conditions
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.redaction import redact_url
from fluxtrail.model.sources import ORIGIN_REVISION, ORIGIN_SOURCE
from fluxtrail.model.wire import WireArtifact, WireCondition, WireReference, WireSnapshot
from fluxtrail.model.wire_workloads import WireOwner

MAX_TEXT = 1024
_APPLIED_MESSAGE = "Applied revision: "
"""How kustomize-controller has ended its `Ready` message since its first release."""
_FETCHED_MESSAGE = "Fetched revision: "


class WireChainLabels(msgspec.Struct):
    kustomization_name: str | None = msgspec.field(default=None, name="kustomize.toolkit.fluxcd.io/name")
    kustomization_namespace: str | None = msgspec.field(default=None, name="kustomize.toolkit.fluxcd.io/namespace")
    release_name: str | None = msgspec.field(default=None, name="helm.toolkit.fluxcd.io/name")
    release_namespace: str | None = msgspec.field(default=None, name="helm.toolkit.fluxcd.io/namespace")


class WireChainMeta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str | None = None
    owner_references: list[WireOwner | None] | None = None
    labels: WireChainLabels | None = None


class WireChainMade(msgspec.Struct):
    """Of any object, or the PartialObjectMetadata of one."""

    metadata: WireChainMeta


class WireChartTemplateSpec(msgspec.Struct, rename="camel"):
    chart: str | None = None
    version: str | None = None
    source_ref: WireReference | None = None


class WireChartTemplate(msgspec.Struct):
    spec: WireChartTemplateSpec | None = None


class WireChainSpec(msgspec.Struct, rename="camel"):
    """What any of Flux's kinds says of where it comes from. `chart` is a text in a HelmChart, else a template."""

    path: str | None = None
    url: str | None = None
    endpoint: str | None = None
    bucket_name: str | None = None
    suspend: bool | None = None
    source_ref: WireReference | None = None
    chart_ref: WireReference | None = None
    chart: str | WireChartTemplate | None = None
    version: str | None = None
    ref: dict[str, Any] | None = None


class WireChainHistory(WireSnapshot, rename="camel"):
    """A snapshot of a Kustomization, or a release of a HelmRelease."""

    chart_version: str | None = None


class WireChainStatus(msgspec.Struct, rename="camel"):
    conditions: list[WireCondition | None] | None = None
    last_applied_revision: str | None = None
    last_attempted_revision: str | None = None
    last_applied_origin_revision: str | None = None
    helm_chart: str | None = None
    artifact: WireArtifact | None = None
    history: list[WireChainHistory | None] | None = None


class WireChained(msgspec.Struct):
    metadata: WireChainMeta
    spec: WireChainSpec | None = None
    status: WireChainStatus | None = None


class Chained(msgspec.Struct, frozen=True, kw_only=True):
    key: ObjectKey
    owner: ObjectKey | None = None
    """Its controller, else the first that owns it; of the same namespace."""
    applied_by: ObjectKey | None = None
    """The HelmRelease, or else the Kustomization, that its labels name."""
    chart: ObjectKey | None = None
    """Of a HelmRelease: the HelmChart or OCIRepository that it takes its chart from."""
    source: ObjectKey | None = None
    """What a Kustomization or a HelmChart is made from; of a HelmRelease, what its chart is to be made from."""
    revision: str | None = None
    """What it has applied or fetched, else what it last tried."""
    origin: str | None = None
    """The revision of the source repository, as an artifact is annotated."""
    origin_url: str = ""
    ready: Condition | None = None
    reconciled_at: datetime | None = None
    is_suspended: bool = False
    url: str = ""
    path: str = ""
    follows: str = ""
    """Branch, tag, version range, digest, commit: what of a source is followed; of a chart, its name and version."""


def is_flux(group: str) -> bool:
    """Whether objects of a group are read whole."""
    return group in (KUSTOMIZE_GROUP, HELM_GROUP, SOURCE_GROUP)


def project_made(wire: WireChainMade, *, group: str, kind: str) -> Chained:
    meta = wire.metadata
    key = ObjectKey(group, kind, meta.namespace or "", meta.name)
    return Chained(key=key, owner=_owner(meta), applied_by=_applied_by(meta.labels, key))


def project_chained(wire: WireChained, *, group: str, kind: str) -> Chained:
    spec, status = wire.spec or WireChainSpec(), wire.status or WireChainStatus()
    made = project_made(WireChainMade(metadata=wire.metadata), group=group, kind=kind)
    conditions = read_conditions(status.conditions)
    ready = next((condition for condition in conditions if condition.type == "Ready"), None)
    annotations = (status.artifact.metadata if status.artifact else None) or {}
    return msgspec.structs.replace(
        made,
        chart=_chart(spec, status, made.key),
        source=_source(spec, made.key),
        revision=_revision(kind, status, ready),
        origin=_text(status.last_applied_origin_revision or annotations.get(ORIGIN_REVISION)) or None,
        origin_url=redact_url(_text(annotations.get(ORIGIN_SOURCE))) if annotations.get(ORIGIN_SOURCE) else "",
        ready=ready,
        reconciled_at=_reconciled_at(kind, status, ready),
        is_suspended=bool(spec.suspend),
        url=_url(spec),
        path=_text(spec.path),
        follows=_follows(spec),
    )


def _owner(meta: WireChainMeta) -> ObjectKey | None:
    owners = [each for each in meta.owner_references or () if each is not None and each.kind and each.name]
    found = next((each for each in owners if each.controller), owners[0] if owners else None)
    if found is None:
        return None
    group = (found.api_version or "").rpartition("/")[0]
    return ObjectKey(group, found.kind or "", meta.namespace or "", found.name or "")


def _applied_by(labels: WireChainLabels | None, own: ObjectKey) -> ObjectKey | None:
    """A HelmRelease first: what it renders has its labels alone, or those of its own Kustomization copied."""
    if labels is None:
        return None
    named = (
        ObjectKey(HELM_GROUP, "HelmRelease", labels.release_namespace or own.namespace, labels.release_name or ""),
        ObjectKey(
            KUSTOMIZE_GROUP,
            "Kustomization",
            labels.kustomization_namespace or own.namespace,
            labels.kustomization_name or "",
        ),
    )
    # The root Kustomization applies itself.
    return next((key for key in named if key.name and key != own), None)


def _chart(spec: WireChainSpec, status: WireChainStatus, own: ObjectKey) -> ObjectKey | None:
    if own.kind != "HelmRelease":
        return None
    if spec.chart_ref is not None and spec.chart_ref.name:
        return _referred(spec.chart_ref, own, default="OCIRepository")
    namespace, _, name = (status.helm_chart or "").rpartition("/")
    return ObjectKey(SOURCE_GROUP, "HelmChart", namespace or own.namespace, name) if name else None


def _source(spec: WireChainSpec, own: ObjectKey) -> ObjectKey | None:
    reference = spec.source_ref
    if reference is None and isinstance(spec.chart, WireChartTemplate) and spec.chart.spec is not None:
        reference = spec.chart.spec.source_ref
    if reference is None or not reference.name:
        return None
    return _referred(reference, own, default="HelmRepository" if own.kind != "Kustomization" else "GitRepository")


def _referred(reference: WireReference, own: ObjectKey, *, default: str) -> ObjectKey:
    # HelmCharts name sources of their own namespace only.
    namespace = own.namespace if own.kind == "HelmChart" else reference.namespace or own.namespace
    return ObjectKey(SOURCE_GROUP, reference.kind or default, namespace, reference.name or "")


def _revision(kind: str, status: WireChainStatus, ready: Condition | None) -> str | None:
    release = next((item for item in status.history or () if item is not None), None)
    found = (
        (status.artifact.revision if status.artifact else None)
        or status.last_applied_revision
        or (release.chart_version if release is not None and kind == "HelmRelease" else None)
        or _told_revision(ready)
        or status.last_attempted_revision
    )
    return _text(found) or None


def _told_revision(ready: Condition | None) -> str:
    """Objects without a revision in their status may say it in their `Ready` message."""
    if ready is None or ready.status != "True":
        return ""
    for before in (_APPLIED_MESSAGE, _FETCHED_MESSAGE):
        if ready.message.startswith(before):
            return ready.message.removeprefix(before).strip()
    return ""


def _reconciled_at(kind: str, status: WireChainStatus, ready: Condition | None) -> datetime | None:
    snapshot = next((item for item in status.history or () if item is not None), None)
    told = parse_timestamp(snapshot.last_reconciled) if snapshot is not None and kind == "Kustomization" else None
    return told or (ready.changed_at if ready is not None else None)


def _url(spec: WireChainSpec) -> str:
    if spec.url:
        return redact_url(_text(spec.url))
    if spec.bucket_name:
        return f"bucket://{_text(spec.endpoint)}/{_text(spec.bucket_name)}"
    return ""


def _follows(spec: WireChainSpec) -> str:
    """Later fields win over earlier ones, as in Flux."""
    if isinstance(spec.chart, str):
        return " ".join(filter(None, (_text(spec.chart), _text(spec.version))))
    if isinstance(spec.chart, WireChartTemplate) and spec.chart.spec is not None:
        return " ".join(filter(None, (_text(spec.chart.spec.chart), _text(spec.chart.spec.version))))
    named = spec.ref or {}
    order = ("digest", "commit", "name", "semver", "tag", "branch")
    return next((_text(named[field]) for field in order if isinstance(named.get(field), str) and named[field]), "")


def _text(value: str | None) -> str:
    return (value or "")[:MAX_TEXT]
