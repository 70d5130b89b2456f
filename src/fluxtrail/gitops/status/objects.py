"""What is read of Flux's objects to say how they stand: the few fields that tell, tolerant of all others."""

from typing import Any, NamedTuple

import msgspec

from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.redaction import redact

MAX_CONDITIONS = 64


class WireMeta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    resource_version: str | None = None
    deletion_timestamp: str | None = None
    annotations: dict[str, str | None] | None = None


class WireReference(msgspec.Struct, rename="camel"):
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None


class WireChartSpec(msgspec.Struct, rename="camel"):
    source_ref: WireReference | None = None


class WireChart(msgspec.Struct):
    spec: WireChartSpec | None = None


class WireSpec(msgspec.Struct, rename="camel"):
    suspend: bool | None = None
    type: str | None = None
    source_ref: WireReference | None = None
    chart_ref: WireReference | None = None
    chart: Any = None
    """An object of a HelmRelease, a text of a HelmChart."""
    depends_on: list[WireReference] | None = None


class WireCondition(msgspec.Struct, rename="camel"):
    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    observed_generation: int | None = None


class WireArtifact(msgspec.Struct):
    revision: str | None = None


class WireStatus(msgspec.Struct, rename="camel"):
    observed_generation: int | None = None
    conditions: list[WireCondition] | None = None
    last_handled_reconcile_at: str | None = None
    last_handled_force_at: str | None = None
    last_handled_reset_at: str | None = None
    artifact: WireArtifact | None = None
    last_applied_revision: str | None = None
    last_attempted_revision: str | None = None
    helm_chart: str | None = None


class WireObject(msgspec.Struct):
    """Any of Flux's objects."""

    metadata: WireMeta
    spec: WireSpec | None = None
    status: WireStatus | None = None


class Condition(NamedTuple):
    status: str
    reason: str
    message: str
    """Redacted."""
    observed_generation: int | None


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """One object as Flux left it.

    Args:
        source: what it takes its manifests or chart from.
        handled: what of `lastHandledReconcileAt`, `…ForceAt`, `…ResetAt` was last.
        is_static: no controller writes a status of it.
    """

    key: ObjectKey
    uid: str
    generation: int
    observed_generation: int | None
    is_deleting: bool
    is_suspended: bool
    is_static: bool
    depends_on: tuple[ObjectKey, ...]
    source: ObjectKey | None
    chart: ObjectKey | None
    revision: str
    conditions: dict[str, Condition]
    handled: tuple[str, str, str]

    @property
    def ready(self) -> Condition | None:
        return self.conditions.get("Ready")


_STATIC = frozenset({"Alert", "Provider"})
_SOURCE_GROUP = "source.toolkit.fluxcd.io"
_PAUSED = "source.extensions.fluxcd.io/reconcile"


def project(wire: WireObject, *, group: str, kind: str) -> Reconciled:
    """Return what counts of an object."""
    meta, spec, status = wire.metadata, wire.spec or WireSpec(), wire.status
    namespace = meta.namespace or ""
    key = ObjectKey(group, kind, namespace, meta.name)
    said = status or WireStatus()
    paused = (meta.annotations or {}).get(_PAUSED) == "disabled"
    return Reconciled(
        key=key,
        uid=meta.uid or "",
        generation=meta.generation or 0,
        observed_generation=said.observed_generation,
        is_deleting=meta.deletion_timestamp is not None,
        is_suspended=bool(spec.suspend) or paused,
        is_static=kind in _STATIC or (kind == "HelmRepository" and spec.type == "oci"),
        depends_on=tuple(
            ObjectKey(group, kind, each.namespace or namespace, each.name)
            for each in spec.depends_on or ()
            if each.name
        ),
        source=_source_of(spec, namespace),
        chart=_chart_of(said.helm_chart),
        revision=(said.artifact.revision if said.artifact else None)
        or said.last_applied_revision
        or said.last_attempted_revision
        or "",
        conditions=_conditions(said.conditions),
        handled=(
            said.last_handled_reconcile_at or "",
            said.last_handled_force_at or "",
            said.last_handled_reset_at or "",
        ),
    )


def _source_of(spec: WireSpec, namespace: str) -> ObjectKey | None:
    reference = spec.chart_ref or spec.source_ref
    if reference is None and isinstance(spec.chart, dict):
        try:
            chart = msgspec.convert(spec.chart, WireChart)
        except msgspec.ValidationError:
            return None
        reference = chart.spec.source_ref if chart.spec else None
    if reference is None or not reference.kind or not reference.name:
        return None
    return ObjectKey(_SOURCE_GROUP, reference.kind, reference.namespace or namespace, reference.name)


def _chart_of(helm_chart: str | None) -> ObjectKey | None:
    namespace, slash, name = (helm_chart or "").partition("/")
    return ObjectKey(_SOURCE_GROUP, "HelmChart", namespace, name) if slash and namespace and name else None


def _conditions(given: list[WireCondition] | None) -> dict[str, Condition]:
    return {
        each.type: Condition(
            each.status or "Unknown", each.reason or "", redact(each.message) or "", each.observed_generation
        )
        for each in (given or [])[:MAX_CONDITIONS]
        if each.type
    }
