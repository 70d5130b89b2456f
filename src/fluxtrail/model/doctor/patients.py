"""What a doctor looks at: HelmReleases, Kustomizations and sources, in one shape, cleared of secrets where they enter.

A projection never fails on a value that it does not understand: an unreadable time or duration is an absent one.
Source: fluxcd/helm-controller api/v2, api/v2beta1; kustomize-controller api/v1; source-controller api/v1.
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from fluxtrail.model.doctor.wire import (
    WireDependency,
    WireOwner,
    WirePast,
    WirePatientMeta,
    WirePatientStatus,
    WireSource,
    WireTarget,
    WireTargetSpec,
    WireTimedAction,
)
from fluxtrail.model.durations import find_seconds
from fluxtrail.model.flux import HELM_GROUP, KUSTOMIZE_GROUP, SOURCE_GROUP, Condition, find_parent, read_conditions
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.wire import MAX_CONDITIONS, WireAppliedMeta, WireReference
from fluxtrail.model.wire_releases import MAX_SNAPSHOTS

TREATED = "doctor.fluxtrail.dev/treated"
"""The annotation in which an object carries what was done to it: `memory.py`."""
RELEASE, KUSTOMIZATION, CHART, CHART_PLACE = "HelmRelease", "Kustomization", "HelmChart", "HelmRepository"
HELM_TIMEOUT_SECONDS = 300.0
SOURCE_TIMEOUT_SECONDS = 60.0
LEAST_APPLY_SECONDS = 30.0
MAX_DEPENDENCIES = 100
MAX_OWNERS = 64
MAX_TREATED_BYTES = 16 * 1024
_FAILED_TO = re.compile(r"Failed to (install|upgrade) after ")
_FAILED_ACTIONS = {"InstallFailed": "install", "UpgradeFailed": "upgrade"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Suspension(msgspec.Struct, frozen=True):
    """Who wrote `spec.suspend`, as `managedFields` has it."""

    manager: str
    """`flux`, `kubectl-edit`, `kustomize-controller`, …; empty where it is not recorded."""
    at: datetime | None
    """When that manager wrote last: it was suspended then, or earlier."""


class Dependency(msgspec.Struct, frozen=True):
    key: ObjectKey
    ready_expr: str = ""
    """A condition of its own, in the place of Flux's."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A HelmRelease's release, or a snapshot of what a Kustomization applied."""

    digest: str
    """Of a Kustomization's built manifests; of a release its chart's version and its values' digest."""
    status: str
    version: int = 0
    """Helm's number of a release."""
    revision: str = ""
    began_at: datetime | None = None
    ended_at: datetime | None = None
    """Of a release: when Helm began with it last. Of a snapshot: when it was reconciled last."""
    total: int = 0


class Patient(msgspec.Struct, frozen=True, kw_only=True):
    key: ObjectKey
    api_version: str
    uid: str
    resource_version: str
    generation: int
    observed_generation: int
    created_at: datetime | None
    changed_at: datetime | None
    """When somebody last wrote anything but its status."""
    spoke_at: datetime | None
    """When its controller last wrote its status."""
    deleting_since: datetime | None
    finalizers: tuple[str, ...]
    is_suspended: bool
    suspension: Suspension | None
    has_suspend_field: bool
    """Whether `spec.suspend` is stated at all, true or false."""
    parent: ObjectKey | None
    """What applied it: what is changed here, that will change back."""
    interval_seconds: float | None
    timeout_seconds: float
    depends_on: tuple[Dependency, ...]
    source: ObjectKey | None
    conditions: tuple[Condition, ...]
    is_static: bool = False
    """Nothing is ever reconciled of it: a HelmRepository that names an OCI registry."""
    attempted: str = ""
    config: str = ""
    """Digest of the values of the last attempt; before v2beta2 their checksum."""
    applied: str = ""
    action: str = ""
    """`install`, `upgrade`, …: the last one."""
    failures: int = 0
    install_failures: int = 0
    upgrade_failures: int = 0
    newest_version: int = 0
    """Helm's number of the newest release; before v2beta2 `lastReleaseRevision`."""
    history: tuple[Past, ...] = ()
    artifact: str = ""
    """The fetched revision; empty where nothing has been fetched."""
    artifact_at: datetime | None = None
    retries: int = 0
    strategy: str = ""
    """`spec.upgrade.strategy.name`, or that of install while nothing is installed."""
    drift_mode: str = ""
    storage_namespace: str = ""
    release_name: str = ""
    was_forced: bool = False
    was_reset: bool = False
    treated: str | None = None
    """The annotation as it is."""

    def find_condition(self, kind: str) -> Condition | None:
        return next((item for item in self.conditions if item.type == kind), None)

    def is_true(self, kind: str) -> bool:
        found = self.find_condition(kind)
        return found is not None and found.status == "True"

    @property
    def ready(self) -> Condition | None:
        return self.find_condition("Ready")

    @property
    def is_ready(self) -> bool:
        return self.is_true("Ready")

    @property
    def is_old_helm(self) -> bool:
        """Before the atomic rewrite: neither unlocks by itself nor knows requests to reset and to force."""
        return self.api_version.endswith("/v2beta1")


def project_target(wire: WireTarget, *, group: str, kind: str, version: str) -> Patient:
    """Return a Kustomization or a HelmRelease as a patient. References default to its own namespace."""
    meta, spec, status = wire.metadata, wire.spec or WireTargetSpec(), wire.status or WirePatientStatus()
    namespace = meta.namespace or ""
    interval = find_seconds(spec.interval)
    is_installed = bool(status.history) or bool(status.last_release_revision)
    attempted = _attempted_action(status)
    of_attempted = {"upgrade": spec.upgrade, "install": spec.install}.get(attempted)
    action = of_attempted or (spec.upgrade if is_installed else spec.install) or WireTimedAction()
    is_release = kind == RELEASE
    return Patient(
        **_shared(meta, status, group=group, kind=kind, version=version),
        is_suspended=bool(spec.suspend),
        has_suspend_field=spec.suspend is not None,
        interval_seconds=interval,
        timeout_seconds=_release_timeout(spec) if is_release else _apply_timeout(spec, interval),
        depends_on=_dependencies(spec.depends_on, group, kind, namespace),
        source=_chart_source(meta, spec, status) if is_release else _source(spec.source_ref, namespace),
        attempted=(status.last_attempted_revision or "")[:1024],
        config=(status.last_attempted_config_digest or status.last_attempted_values_checksum or "")[:256],
        applied=(status.last_applied_revision or "")[:1024],
        action=attempted[:64],
        failures=status.failures or 0,
        install_failures=status.install_failures or 0,
        upgrade_failures=status.upgrade_failures or 0,
        newest_version=max(
            (past.version or 0 for past in status.history or () if past), default=status.last_release_revision or 0
        ),
        history=_history(status.history),
        retries=(action.remediation.retries if action.remediation else None) or 0,
        strategy=(action.strategy.name if action.strategy else None) or "",
        drift_mode=(spec.drift_detection.mode if spec.drift_detection else None) or "",
        storage_namespace=spec.storage_namespace or namespace,
        release_name=spec.release_name or _default_release_name(spec, meta.name),
        was_forced=bool(status.last_handled_force_at),
        was_reset=bool(status.last_handled_reset_at),
    )


def project_source(wire: WireSource, *, group: str, kind: str, version: str) -> Patient:
    """Return a source as a patient."""
    meta, spec, status = wire.metadata, wire.spec, wire.status or WirePatientStatus()
    interval = find_seconds(spec.interval) if spec else None
    return Patient(
        **_shared(meta, status, group=group, kind=kind, version=version),
        is_suspended=bool(spec and spec.suspend),
        has_suspend_field=bool(spec and spec.suspend is not None),
        interval_seconds=interval,
        timeout_seconds=(find_seconds(spec.timeout) if spec else None) or SOURCE_TIMEOUT_SECONDS,
        depends_on=(),
        source=_source(spec.source_ref, meta.namespace or "") if spec and kind == CHART else None,
        is_static=bool(kind == CHART_PLACE and spec and spec.type == "oci"),
        artifact=((status.artifact.revision if status.artifact else None) or "")[:1024],
        artifact_at=parse_timestamp(status.artifact.last_update_time) if status.artifact else None,
    )


def _shared(meta: WirePatientMeta, status: WirePatientStatus, *, group: str, kind: str, version: str) -> dict[str, Any]:
    owners = [each for each in (meta.managed_fields or ())[:MAX_OWNERS] if each is not None]
    key = ObjectKey(group, kind, meta.namespace or "", meta.name)
    return {
        "key": key,
        "api_version": f"{group}/{version}",
        "uid": meta.uid or "",
        "resource_version": meta.resource_version or "",
        "generation": meta.generation or 0,
        "observed_generation": -1 if status.observed_generation is None else status.observed_generation,
        "created_at": parse_timestamp(meta.creation_timestamp),
        "changed_at": _last_write(owners, of_status=False),
        "spoke_at": _last_write(owners, of_status=True),
        "deleting_since": parse_timestamp(meta.deletion_timestamp),
        "finalizers": tuple(item for item in (meta.finalizers or ())[:32] if item),
        "suspension": _suspension(owners),
        "parent": find_parent(WireAppliedMeta(name=meta.name, labels=meta.labels), key),
        "conditions": read_conditions(status.conditions),
        "treated": _annotation(meta, TREATED),
    }


def _annotation(meta: WirePatientMeta, name: str) -> str | None:
    found = (meta.annotations or {}).get(name)
    return found if found is None else found[: MAX_TREATED_BYTES + 1]


def _last_write(owners: list[WireOwner], *, of_status: bool) -> datetime | None:
    times = (parse_timestamp(each.time) for each in owners if (each.subresource == "status") is of_status)
    return max((found for found in times if found is not None), default=None)


class _SuspendField(msgspec.Struct):
    suspend: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="f:suspend")


class _OwnedFields(msgspec.Struct):
    spec: _SuspendField | None = msgspec.field(default=None, name="f:spec")


def _suspension(owners: list[WireOwner]) -> Suspension | None:
    """Return the newest owner of `spec.suspend`."""
    found = [
        Suspension((each.manager or "")[:128], parse_timestamp(each.time))
        for each in owners
        if not each.subresource and _owns_suspend(each)
    ]
    dated = [each for each in found if each.at is not None]
    return max(dated, key=_written_at, default=found[0] if found else None)


def _written_at(suspension: Suspension) -> datetime:
    return suspension.at or _EPOCH


def _owns_suspend(owner: WireOwner) -> bool:
    raw = bytes(owner.fields_v1)
    if b'"f:suspend"' not in raw:
        return False
    try:
        fields = msgspec.json.decode(raw, type=_OwnedFields)
    except (msgspec.DecodeError, RecursionError):
        return False
    return fields.spec is not None and fields.spec.suspend is not msgspec.UNSET


def _release_timeout(spec: WireTargetSpec) -> float:
    """Return the longest that one action of Helm's may take."""
    own = [action.timeout for action in (spec.install, spec.upgrade, spec.rollback, spec.test) if action]
    stated = [found for found in map(find_seconds, [spec.timeout, *own]) if found]
    return max(stated, default=HELM_TIMEOUT_SECONDS)


def _apply_timeout(spec: WireTargetSpec, interval: float | None) -> float:
    """Source: kustomize-controller api/v1 `GetTimeout`."""
    stated = find_seconds(spec.timeout)
    return stated or max((interval or 0.0) - LEAST_APPLY_SECONDS, LEAST_APPLY_SECONDS)


def _attempted_action(status: WirePatientStatus) -> str:
    """Return the last action: that of the conditions where one failed, for that is what people see beside it.

    What a status says of the attempt itself is absent before v2, and may be of an earlier attempt.
    Source: fluxcd/helm-controller internal/reconcile install.go, upgrade.go, atomic_release.go.
    """
    conditions = {each.type: each for each in (status.conditions or ())[:MAX_CONDITIONS] if each is not None}
    stalled = conditions.get("Stalled")
    failed_to = _FAILED_TO.match(stalled.message or "") if stalled is not None and stalled.status == "True" else None
    if failed_to is not None:
        return failed_to[1]
    for kind in ("Released", "Ready"):
        condition = conditions.get(kind)
        if condition is not None and condition.status == "False" and condition.reason in _FAILED_ACTIONS:
            return _FAILED_ACTIONS[condition.reason]
    return status.last_attempted_release_action or ""


def _dependencies(
    wire: list[WireDependency | None] | None, group: str, kind: str, namespace: str
) -> tuple[Dependency, ...]:
    return tuple(
        Dependency(ObjectKey(group, kind, item.namespace or namespace, item.name), (item.ready_expr or "")[:256])
        for item in (wire or ())[:MAX_DEPENDENCIES]
        if item is not None and item.name
    )


def _source(reference: WireReference | None, namespace: str) -> ObjectKey | None:
    if reference is None or not reference.name:
        return None
    kind = reference.kind or "GitRepository"
    return ObjectKey(SOURCE_GROUP, kind, reference.namespace or namespace, reference.name)


def _chart_source(meta: WirePatientMeta, spec: WireTargetSpec, status: WirePatientStatus) -> ObjectKey | None:
    """Return the HelmChart that Flux makes of `spec.chart`, or what `spec.chartRef` names."""
    namespace = meta.namespace or ""
    if spec.chart_ref is not None:
        return _source(spec.chart_ref, namespace)
    reference = spec.chart.spec.source_ref if spec.chart and spec.chart.spec else None
    if reference is None:
        return None
    place, _, name = (status.helm_chart or "").partition("/")
    if name:
        return ObjectKey(SOURCE_GROUP, CHART, place, name)
    return ObjectKey(SOURCE_GROUP, CHART, reference.namespace or namespace, f"{namespace}-{meta.name}")


def _default_release_name(spec: WireTargetSpec, name: str) -> str:
    return f"{spec.target_namespace}-{name}" if spec.target_namespace else name


def _history(wire: list[WirePast | None] | None) -> tuple[Past, ...]:
    return tuple(_past(item) for item in (wire or ())[:MAX_SNAPSHOTS] if item is not None)


def _past(item: WirePast) -> Past:
    if item.version is not None:
        return Past(
            digest=f"{item.chart_version or ''} {item.config_digest or ''}"[:512],
            status=(item.status or "")[:64],
            version=item.version,
            revision=(item.chart_version or "")[:256],
            began_at=parse_timestamp(item.first_deployed),
            ended_at=parse_timestamp(item.last_deployed),
        )
    return Past(
        digest=(item.digest or "")[:512],
        status=(item.last_reconciled_status or "")[:64],
        revision=((item.metadata or {}).get("revision") or "")[:1024],
        began_at=parse_timestamp(item.first_reconciled),
        ended_at=parse_timestamp(item.last_reconciled),
        total=item.total_reconciliations or 0,
    )


GROUP_OF = {RELEASE: HELM_GROUP, KUSTOMIZATION: KUSTOMIZE_GROUP}
SOURCE_KINDS = (
    "GitRepository",
    "OCIRepository",
    "Bucket",
    CHART_PLACE,
    CHART,
    "ExternalArtifact",
)
