"""HelmReleases as Fluxtrail keeps them. Their values are never read: they may hold secrets.

As in `flux.py`, a projection never fails on a value it does not understand. Flux before 2.2 (v2beta1) keeps no history
and says `lastAppliedRevision` instead; the fields of both are here, and empty where a version has none.
Source: fluxcd/helm-controller api/v2, api/v2beta2, api/v2beta1.
"""

from datetime import datetime

import msgspec

from fluxtrail.model.flux import (
    HELM_GROUP,
    SOURCE_GROUP,
    Condition,
    find_parent,
    read_conditions,
    read_dependencies,
    read_kube_config,
    read_observed_generation,
)
from fluxtrail.model.inventory import read_inventory
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.touching import read_touched_at
from fluxtrail.model.wire import WireReference
from fluxtrail.model.wire_releases import (
    MAX_SNAPSHOTS,
    WireAction,
    WireChartSpec,
    WireHelmRelease,
    WireHelmReleaseSpec,
    WireHelmReleaseStatus,
    WireReleaseSnapshot,
    WireTestHook,
)

HELM_VERSIONS = ("v2", "v2beta2", "v2beta1")
STANDING = frozenset({"deployed", "superseded"})
"""The statuses of a Helm release that was made; its tests are another matter."""
MAX_TEXT = 1024


class ReleaseSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `status.history`: a release as Helm stored it."""

    name: str
    """`<namespace>/<name>` of the Helm release."""
    version: int
    """Helm's own number of it. It begins again with 1 after an uninstallation."""
    status: str
    """`deployed`, `superseded`, `failed`, `pending-upgrade`, `uninstalled`, …"""
    action: str
    """`install`, `upgrade`, `rollback`, `uninstall-remediation`; empty in older ones, and before Flux 2.8."""
    chart_name: str
    chart_version: str
    app_version: str
    config_digest: str
    """Of its values."""
    oci_digest: str | None
    first_deployed: datetime | None
    last_deployed: datetime | None
    """When Helm began with it."""
    has_failed_test: bool
    tested_at: datetime | None
    """When the last of its tests had ended."""

    @property
    def is_standing(self) -> bool:
        return self.status in STANDING


class Remediation(msgspec.Struct, frozen=True):
    """What is done when an action fails."""

    retries: int = 0
    """Negative: without end."""
    strategy: str = ""
    """`rollback`, `uninstall`, or `retry` (the action is run again); empty: nothing."""


class HelmRelease(msgspec.Struct, frozen=True, kw_only=True):
    key: ObjectKey
    uid: ObjectUid
    generation: int
    observed_generation: int
    """Set when a generation ended, and also when it was suspended: `attempted_generation` says what was handled."""
    is_deleting: bool
    is_suspended: bool
    source: ObjectKey
    """What its chart comes from: a HelmChart, OCIRepository or ExternalArtifact."""
    chart_source: ObjectKey | None
    """What that HelmChart is made from: a HelmRepository, GitRepository or Bucket; None with `chartRef`."""
    chart: str
    """`spec.chart.spec.chart`: the chart's name in a Helm repository, its path in another source."""
    chart_version: str
    """The version or range that is asked for."""
    kube_config: str | None
    release_name: str
    target_namespace: str
    depends_on: tuple[str, ...]
    has_checks: bool
    """Helm waits for what it installs and upgrades: then `applied` and `healthy` are two moments."""
    has_tests: bool
    """Helm's tests are run, and their failure fails the release."""
    install_remediation: Remediation
    upgrade_remediation: Remediation
    attempted_generation: int | None
    """The last one that was dealt with; None where this version of Flux does not say."""
    last_attempted: str | None
    """The chart's version: `6.3.5`, `0.1.0+<12 hex of commit or digest>`."""
    last_attempted_digest: str | None
    """`sha256:…` of an OCI artifact, or the whole revision of an artifact that has no version as its tag."""
    last_attempted_config: str | None
    """Digest of the values, those of `valuesFrom` too."""
    action: str
    failures: int
    """Failed actions since the last change of generation, chart or values."""
    install_failures: int
    upgrade_failures: int
    history: tuple[ReleaseSnapshot, ...]
    """Newest first."""
    last_applied: str | None
    """Flux before 2.2 only."""
    last_release: int | None
    """Helm's number of the newest release. Flux before 2.2 only."""
    inventory: tuple[ObjectKey, ...]
    """What it applied that may run something; Flux 2.8 and later."""
    parent: ObjectKey | None
    conditions: tuple[Condition, ...]
    created_at: datetime | None = None
    touched_at: datetime | None = None
    """When Flux last applied it."""

    def find_condition(self, kind: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == kind), None)

    @property
    def newest(self) -> ReleaseSnapshot | None:
        return self.history[0] if self.history else None


def project_helm_release(wire: WireHelmRelease) -> HelmRelease:
    meta, spec = wire.metadata, wire.spec or WireHelmReleaseSpec()
    status = wire.status or WireHelmReleaseStatus()
    namespace = meta.namespace or ""
    key = ObjectKey(HELM_GROUP, "HelmRelease", namespace, meta.name)
    chart = (spec.chart.spec if spec.chart else None) or WireChartSpec()
    test, install, upgrade = spec.test, spec.install or WireAction(), spec.upgrade or WireAction()
    return HelmRelease(
        key=key,
        uid=ObjectUid(meta.uid or ""),
        created_at=parse_timestamp(meta.creation_timestamp),
        touched_at=read_touched_at(meta.managed_fields),
        generation=meta.generation or 0,
        observed_generation=read_observed_generation(status.observed_generation),
        is_deleting=meta.deletion_timestamp is not None,
        is_suspended=bool(spec.suspend),
        source=_source(spec.chart_ref, chart, status.helm_chart, key),
        chart_source=_chart_source(spec.chart_ref, chart, namespace),
        chart=_text(chart.chart),
        chart_version=_text(chart.version),
        kube_config=read_kube_config(spec.kube_config, namespace),
        release_name=_text(spec.release_name),
        target_namespace=_text(spec.target_namespace),
        depends_on=read_dependencies(spec.depends_on, namespace),
        has_checks=not (install.disable_wait or upgrade.disable_wait),
        has_tests=bool(test and test.enable and not test.ignore_failures),
        install_remediation=_remediation(install, "uninstall", remediates_last=False),
        upgrade_remediation=_remediation(upgrade, "rollback", remediates_last=True),
        attempted_generation=status.last_attempted_generation or None,
        last_attempted=_text(status.last_attempted_revision) or None,
        last_attempted_digest=_text(status.last_attempted_revision_digest) or None,
        last_attempted_config=_config(status),
        action=_text(status.last_attempted_release_action),
        failures=status.failures or 0,
        install_failures=status.install_failures or 0,
        upgrade_failures=status.upgrade_failures or 0,
        history=_history(status.history),
        last_applied=_text(status.last_applied_revision) or None,
        last_release=status.last_release_revision or None,
        inventory=read_inventory(status.inventory),
        parent=find_parent(meta, key),
        conditions=read_conditions(status.conditions),
    )


def _source(chart_ref: WireReference | None, chart: WireChartSpec, stated: str | None, own: ObjectKey) -> ObjectKey:
    """Return where the chart comes from.

    A HelmChart is made for `spec.chart`, in the namespace of the chart's source, under a name of both: Flux notes it
    in `status.helmChart` once it is there, and leaves it there for a while when the spec has changed.
    """
    if chart_ref is not None and chart_ref.name:
        kind = chart_ref.kind or "OCIRepository"
        return ObjectKey(SOURCE_GROUP, kind, chart_ref.namespace or own.namespace, chart_ref.name)
    namespace, slash, name = (stated or "").partition("/")
    if slash and namespace and name:
        return ObjectKey(SOURCE_GROUP, "HelmChart", namespace, name)
    reference = chart.source_ref or WireReference()
    made_in = reference.namespace or own.namespace
    return ObjectKey(SOURCE_GROUP, "HelmChart", made_in, f"{own.namespace}-{own.name}")


def _chart_source(chart_ref: WireReference | None, chart: WireChartSpec, namespace: str) -> ObjectKey | None:
    reference = chart.source_ref
    if (chart_ref is not None and chart_ref.name) or reference is None or not reference.name:
        return None
    return ObjectKey(SOURCE_GROUP, reference.kind or "HelmRepository", reference.namespace or namespace, reference.name)


def _remediation(action: WireAction, usual: str, *, remediates_last: bool) -> Remediation:
    """Return what follows a failure. The last failure of an upgrade is remediated by default where it is retried."""
    if action.strategy is not None and action.strategy.name == "RetryOnFailure":
        return Remediation(-1, "retry")
    wire = action.remediation
    if wire is None:
        return Remediation()
    retries = wire.retries or 0
    remediates = wire.remediate_last_failure
    if remediates is None:
        remediates = remediates_last and retries != 0
    return Remediation(retries, (_text(wire.strategy) or usual) if remediates or retries != 0 else "")


def _config(status: WireHelmReleaseStatus) -> str | None:
    checksum = _text(status.last_attempted_values_checksum)
    return _text(status.last_attempted_config_digest) or (f"sha1:{checksum}" if checksum else None)


def _history(wire: list[WireReleaseSnapshot | None] | None) -> tuple[ReleaseSnapshot, ...]:
    """Return the newest snapshots, newest first: Flux does not always sort them (seen after a rollback)."""
    found = [_snapshot(item) for item in wire or () if item is not None]
    return tuple(sorted(found, key=_age, reverse=True)[:MAX_SNAPSHOTS])


def _age(snapshot: ReleaseSnapshot) -> tuple[float, int]:
    return (snapshot.last_deployed.timestamp() if snapshot.last_deployed else 0.0, snapshot.version)


def _snapshot(wire: WireReleaseSnapshot) -> ReleaseSnapshot:
    hooks = [hook for hook in (wire.test_hooks or {}).values() if hook is not None]
    return ReleaseSnapshot(
        name=_text(f"{wire.namespace or ''}/{wire.name or ''}"),
        version=wire.version or 0,
        status=_text(wire.status),
        action=_text(wire.action),
        chart_name=_text(wire.chart_name),
        chart_version=_text(wire.chart_version),
        app_version=_text(wire.app_version),
        config_digest=_text(wire.config_digest),
        oci_digest=_text(wire.oci_digest) or None,
        first_deployed=parse_timestamp(wire.first_deployed),
        last_deployed=parse_timestamp(wire.last_deployed),
        has_failed_test=any(hook.phase == "Failed" for hook in hooks),
        tested_at=_tested_at(hooks),
    )


def _tested_at(hooks: list[WireTestHook]) -> datetime | None:
    ends = [parse_timestamp(hook.last_completed) for hook in hooks]
    return max((end for end in ends if end is not None), default=None)


def _text(value: str | None) -> str:
    return (value or "")[:MAX_TEXT]
