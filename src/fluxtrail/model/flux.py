"""Flux objects as Fluxtrail keeps them: small, typed, and cleared of secrets where they enter.

A projection never fails on a value it does not understand: an unreadable timestamp is an absent one.
Source of the fields: fluxcd/kustomize-controller and source-controller API, tabled in docs/concepts.md.
"""

from datetime import datetime, timedelta

import msgspec

from fluxtrail.model.durations import find_seconds
from fluxtrail.model.inventory import read_inventory
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.redaction import redact
from fluxtrail.model.wire import (
    MAX_CONDITIONS,
    MAX_HISTORY,
    WireAppliedMeta,
    WireCondition,
    WireKubeConfig,
    WireKustomization,
    WireReference,
    WireSnapshot,
)

KUSTOMIZE_GROUP = "kustomize.toolkit.fluxcd.io"
HELM_GROUP = "helm.toolkit.fluxcd.io"
SOURCE_GROUP = "source.toolkit.fluxcd.io"
KUSTOMIZE_VERSIONS = ("v1", "v1beta2", "v1beta1")
SOURCE_VERSIONS = ("v1", "v1beta2", "v1beta1")


class Condition(msgspec.Struct, frozen=True):
    type: str
    status: str
    """`True`, `False` or `Unknown`."""
    reason: str
    message: str
    """Redacted, at most 1 KiB."""
    changed_at: datetime | None
    observed_generation: int | None = None
    """The generation it speaks of."""


class Snapshot(msgspec.Struct, frozen=True):
    """One entry of a Kustomization's `status.history`: newest first, keyed by (digest, status), at most five."""

    digest: str
    """Of the built manifests, not of the artifact."""
    status: str
    """The reason of the Ready condition it ended with."""
    first_reconciled: datetime | None
    last_reconciled: datetime | None
    total: int
    revision: str | None
    origin: str | None = None
    """`org.opencontainers.image.revision` of the artifact, where it had one."""
    took_seconds: float | None = None
    """How long the last reconciliation took, from its begin until it was noted here."""

    @property
    def last_began(self) -> datetime | None:
        """When the last reconciliation had not begun before: when it ended is cut to the second."""
        if self.last_reconciled is None or self.took_seconds is None:
            return None
        try:
            return self.last_reconciled - timedelta(seconds=self.took_seconds)
        except OverflowError:  # before year 1
            return None


class Kustomization(msgspec.Struct, frozen=True, kw_only=True):
    key: ObjectKey
    uid: ObjectUid
    generation: int
    observed_generation: int
    is_deleting: bool
    is_suspended: bool
    path: str
    """As in the spec; `normal_path` of `model/paths.py` makes it comparable."""
    components: tuple[str, ...]
    source: ObjectKey
    kube_config: str | None
    """`<namespace>/<secret>` of the remote cluster it lands on, or None for the cluster it lives in."""
    depends_on: tuple[str, ...]
    """`<namespace>/<name>` each."""
    has_checks: bool
    """`wait`, or health checks: then `applied` and `healthy` are two moments."""
    last_applied: str | None
    last_applied_origin: str | None
    last_attempted: str | None
    conditions: tuple[Condition, ...]
    history: tuple[Snapshot, ...]
    inventory: tuple[ObjectKey, ...] = ()
    """What it applied that may run or release something (`model/inventory.py`)."""
    parent: ObjectKey | None = None
    """The Kustomization or HelmRelease that applied it, as its labels say."""
    created_at: datetime | None = None

    def find_condition(self, kind: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == kind), None)


def project_kustomization(wire: WireKustomization) -> Kustomization:
    """Return what Fluxtrail keeps of a Kustomization. `sourceRef.namespace` and `dependsOn` default to its own."""
    meta, spec, status = wire.metadata, wire.spec, wire.status
    namespace = meta.namespace or ""
    source = (spec.source_ref if spec else None) or WireReference()
    key = ObjectKey(KUSTOMIZE_GROUP, "Kustomization", namespace, meta.name)
    return Kustomization(
        key=key,
        uid=ObjectUid(meta.uid or ""),
        generation=meta.generation or 0,
        observed_generation=read_observed_generation(status.observed_generation if status else None),
        is_deleting=meta.deletion_timestamp is not None,
        is_suspended=bool(spec and spec.suspend),
        path=(spec.path if spec else None) or "./",
        components=tuple(component for component in (spec.components if spec else None) or () if component),
        source=ObjectKey(
            SOURCE_GROUP, source.kind or "GitRepository", source.namespace or namespace, source.name or ""
        ),
        kube_config=read_kube_config(spec.kube_config if spec else None, namespace),
        depends_on=read_dependencies(spec.depends_on if spec else None, namespace),
        has_checks=bool(spec and (spec.wait or spec.health_checks)),
        last_applied=(status.last_applied_revision if status else None) or None,
        last_applied_origin=(status.last_applied_origin_revision if status else None) or None,
        last_attempted=(status.last_attempted_revision if status else None) or None,
        conditions=read_conditions(status.conditions if status else None),
        history=_history(status.history if status else None),
        inventory=read_inventory(status.inventory if status else None),
        created_at=parse_timestamp(meta.creation_timestamp),
        parent=find_parent(meta, key),
    )


def find_parent(meta: WireAppliedMeta, key: ObjectKey) -> ObjectKey | None:
    """Return the Kustomization or HelmRelease that applied an object. One that applies itself has no parent."""
    labels, parent = meta.labels, None
    if labels is None:
        return None
    if labels.kustomization_name and labels.kustomization_namespace:
        parent = ObjectKey(KUSTOMIZE_GROUP, "Kustomization", labels.kustomization_namespace, labels.kustomization_name)
    elif labels.release_name and labels.release_namespace:
        parent = ObjectKey(HELM_GROUP, "HelmRelease", labels.release_namespace, labels.release_name)
    return None if parent == key else parent


def read_observed_generation(value: int | None) -> int:
    return -1 if value is None else value


def read_kube_config(wire: WireKubeConfig | None, namespace: str) -> str | None:
    reference = wire and (wire.secret_ref or wire.config_map_ref)
    return f"{namespace}/{reference.name}" if reference and reference.name else None


def read_dependencies(wire: list[WireReference | None] | None, namespace: str) -> tuple[str, ...]:
    """Return `<namespace>/<name>` each; the namespace defaults to the object's own."""
    return tuple(f"{item.namespace or namespace}/{item.name}" for item in wire or () if item and item.name)


def read_conditions(wire: list[WireCondition | None] | None) -> tuple[Condition, ...]:
    return tuple(
        Condition(
            type=item.type or "",
            status=item.status or "Unknown",
            reason=item.reason or "",
            message=redact(item.message),
            changed_at=parse_timestamp(item.last_transition_time),
            observed_generation=item.observed_generation,
        )
        for item in (wire or ())[:MAX_CONDITIONS]
        if item is not None
    )


def _history(wire: list[WireSnapshot | None] | None) -> tuple[Snapshot, ...]:
    return tuple(
        Snapshot(
            digest=item.digest or "",
            status=item.last_reconciled_status or "",
            first_reconciled=parse_timestamp(item.first_reconciled),
            last_reconciled=parse_timestamp(item.last_reconciled),
            total=item.total_reconciliations or 0,
            revision=(item.metadata or {}).get("revision"),
            origin=(item.metadata or {}).get("originRevision"),
            took_seconds=find_seconds(item.last_reconciled_duration),
        )
        for item in (wire or ())[:MAX_HISTORY]
        if item is not None
    )
