"""The shape of a HelmRelease on the wire: only the fields that are read, every one of them tolerant.

`spec.values` is not among them, so that the decoder skips it: values may hold secrets, and never become an object.
"""

import msgspec

from fluxtrail.model.wire import WireAppliedMeta, WireCondition, WireInventory, WireKubeConfig, WireReference

MAX_SNAPSHOTS = 32


class WireChartSpec(msgspec.Struct, rename="camel"):
    chart: str | None = None
    version: str | None = None
    source_ref: WireReference | None = None


class WireChartTemplate(msgspec.Struct):
    spec: WireChartSpec | None = None


class WireStrategy(msgspec.Struct):
    """`{name: …}` in v2; `remediation.strategy` is a bare word."""

    name: str | None = None


class WireRemediation(msgspec.Struct, rename="camel"):
    retries: int | None = None
    strategy: str | None = None
    remediate_last_failure: bool | None = None


class WireAction(msgspec.Struct, rename="camel"):
    """`spec.install` or `spec.upgrade`."""

    disable_wait: bool | None = None
    remediation: WireRemediation | None = None
    strategy: WireStrategy | None = None


class WireTest(msgspec.Struct, rename="camel"):
    enable: bool | None = None
    ignore_failures: bool | None = None


class WireHelmReleaseSpec(msgspec.Struct, rename="camel"):
    chart: WireChartTemplate | None = None
    chart_ref: WireReference | None = None
    kube_config: WireKubeConfig | None = None
    suspend: bool | None = None
    release_name: str | None = None
    target_namespace: str | None = None
    depends_on: list[WireReference | None] | None = None
    install: WireAction | None = None
    upgrade: WireAction | None = None
    test: WireTest | None = None


class WireTestHook(msgspec.Struct, rename="camel"):
    phase: str | None = None
    last_completed: str | None = None


class WireReleaseSnapshot(msgspec.Struct, rename="camel"):
    name: str | None = None
    namespace: str | None = None
    version: int | None = None
    status: str | None = None
    action: str | None = None
    chart_name: str | None = None
    chart_version: str | None = None
    app_version: str | None = None
    config_digest: str | None = None
    first_deployed: str | None = None
    last_deployed: str | None = None
    test_hooks: dict[str, WireTestHook | None] | None = None
    oci_digest: str | None = None


class WireHelmReleaseStatus(msgspec.Struct, rename="camel"):
    observed_generation: int | None = None
    conditions: list[WireCondition | None] | None = None
    helm_chart: str | None = None
    last_attempted_generation: int | None = None
    last_attempted_revision: str | None = None
    last_attempted_revision_digest: str | None = None
    last_attempted_config_digest: str | None = None
    last_attempted_values_checksum: str | None = None
    last_attempted_release_action: str | None = None
    last_applied_revision: str | None = None
    last_release_revision: int | None = None
    failures: int | None = None
    install_failures: int | None = None
    upgrade_failures: int | None = None
    history: list[WireReleaseSnapshot | None] | None = None
    inventory: WireInventory | None = None


class WireHelmRelease(msgspec.Struct, rename="camel"):
    metadata: WireAppliedMeta
    spec: WireHelmReleaseSpec | None = None
    status: WireHelmReleaseStatus | None = None
