"""The shapes of what a doctor looks at, on the wire: only the fields that are read, every one of them tolerant.

HelmReleases of v2beta1, v2beta2 and v2 have one shape: what a version does not say is absent. Values are not among the
fields: they may hold secrets.
"""

import msgspec

from fluxtrail.model.wire import WireArtifact, WireCondition, WireManager, WireParentLabels, WireReference
from fluxtrail.model.wire_releases import WireChartTemplate, WireRemediation, WireStrategy


class WireOwner(WireManager, rename="camel"):
    """An entry of `managedFields`; its fields stay bytes until somebody asks whose one is."""

    fields_v1: msgspec.Raw = msgspec.Raw()


class WirePatientMeta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    finalizers: list[str | None] | None = None
    annotations: dict[str, str | None] | None = None
    labels: WireParentLabels | None = None
    managed_fields: list[WireOwner | None] | None = None


class WireDependency(msgspec.Struct, rename="camel"):
    name: str | None = None
    namespace: str | None = None
    ready_expr: str | None = None


class WireDriftDetection(msgspec.Struct):
    mode: str | None = None


class WireTimedAction(msgspec.Struct, rename="camel"):
    timeout: str | None = None
    remediation: WireRemediation | None = None
    strategy: WireStrategy | None = None


class WirePast(msgspec.Struct, rename="camel"):
    """An entry of `status.history`: a HelmRelease's release, or a Kustomization's snapshot."""

    version: int | None = None
    status: str | None = None
    chart_version: str | None = None
    config_digest: str | None = None
    first_deployed: str | None = None
    last_deployed: str | None = None
    digest: str | None = None
    first_reconciled: str | None = None
    last_reconciled: str | None = None
    last_reconciled_status: str | None = None
    total_reconciliations: int | None = None
    metadata: dict[str, str | None] | None = None


class WirePatientStatus(msgspec.Struct, rename="camel"):
    observed_generation: int | None = None
    conditions: list[WireCondition | None] | None = None
    last_attempted_revision: str | None = None
    last_attempted_config_digest: str | None = None
    last_attempted_values_checksum: str | None = None
    last_attempted_release_action: str | None = None
    last_applied_revision: str | None = None
    last_release_revision: int | None = None
    last_handled_reset_at: str | None = None
    last_handled_force_at: str | None = None
    failures: int | None = None
    install_failures: int | None = None
    upgrade_failures: int | None = None
    helm_chart: str | None = None
    artifact: WireArtifact | None = None
    history: list[WirePast | None] | None = None


class WireTargetSpec(msgspec.Struct, rename="camel"):
    """Of a Kustomization or a HelmRelease."""

    suspend: bool | None = None
    interval: str | None = None
    retry_interval: str | None = None
    timeout: str | None = None
    depends_on: list[WireDependency | None] | None = None
    source_ref: WireReference | None = None
    chart: WireChartTemplate | None = None
    chart_ref: WireReference | None = None
    release_name: str | None = None
    target_namespace: str | None = None
    storage_namespace: str | None = None
    drift_detection: WireDriftDetection | None = None
    install: WireTimedAction | None = None
    upgrade: WireTimedAction | None = None
    rollback: WireTimedAction | None = None
    test: WireTimedAction | None = None


class WireTarget(msgspec.Struct, rename="camel"):
    metadata: WirePatientMeta
    spec: WireTargetSpec | None = None
    status: WirePatientStatus | None = None


class WireSourceSpec(msgspec.Struct, rename="camel"):
    suspend: bool | None = None
    interval: str | None = None
    timeout: str | None = None
    type: str | None = None
    source_ref: WireReference | None = None


class WireSource(msgspec.Struct, rename="camel"):
    metadata: WirePatientMeta
    spec: WireSourceSpec | None = None
    status: WirePatientStatus | None = None
