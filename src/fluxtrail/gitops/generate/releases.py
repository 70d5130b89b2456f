"""The spec of a HelmRelease."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluxtrail.gitops.declaration.declaration import Environment, Key
from fluxtrail.gitops.declaration.entries import Release
from fluxtrail.gitops.declaration.merging import overlaid
from fluxtrail.gitops.declaration.references import CHART_SOURCES, parse_reference, source_reference
from fluxtrail.gitops.generate.kustomizations import dependencies
from fluxtrail.model.errors import ConfigError

ReadValues = Callable[[str], Mapping[str, Any]]

STRATEGIES = ("ChartVersion", "Revision")
CRDS_POLICIES = ("Skip", "Create", "CreateReplace")
_VALUES_KINDS = {"configmap": "ConfigMap", "secret": "Secret"}
_CHART_KINDS = ("OCIRepository", "HelmChart", "ExternalArtifact")


def release_spec(
    entry: Release, key: Key, environment: Environment, subject: str, read_values: ReadValues
) -> dict[str, Any]:
    spec: dict[str, Any] = dict(_chart(entry, key, environment, subject))
    if entry.release_name:
        spec["releaseName"] = entry.release_name
    if entry.target_namespace:
        spec["targetNamespace"] = entry.target_namespace
    if storage := entry.storage_namespace or entry.target_namespace:
        spec["storageNamespace"] = storage
    if entry.kubeconfig_secret:
        spec["kubeConfig"] = {"secretRef": {"name": entry.kubeconfig_secret}}
    if entry.service_account:
        spec["serviceAccountName"] = entry.service_account
    if entry.depends_on:
        spec["dependsOn"] = dependencies(entry, "releases", key, environment, subject)
    if entry.values_from:
        spec["valuesFrom"] = [_values_from(text, f"{subject}.values_from") for text in entry.values_from]
    values = _values(entry, read_values)
    return {**spec, **_installing(entry, subject), **({} if values is None else {"values": values})}


def _chart(entry: Release, key: Key, environment: Environment, subject: str) -> dict[str, Any]:
    if (entry.chart is None) == (entry.chart_ref is None):
        raise ConfigError("needs either chart, with source, or chart_ref; name one", subject=subject)
    if entry.chart_ref is not None:
        for field in ("source", "version", "chart_interval"):
            if getattr(entry, field) is not None:
                raise ConfigError("goes with chart, not with chart_ref; leave it out", subject=f"{subject}.{field}")
        return {"chartRef": _chart_reference(entry.chart_ref, f"{subject}.chart_ref")}
    if entry.source is None:
        raise ConfigError("has no source; name where its chart comes from", subject=subject)
    if entry.reconcile_strategy not in STRATEGIES:
        raise ConfigError(
            f"{entry.reconcile_strategy[:40]!r} is no strategy; use {' or '.join(STRATEGIES)}",
            subject=f"{subject}.reconcile_strategy",
        )
    source = source_reference(
        entry.source, environment, namespace=key.namespace, sections=CHART_SOURCES, subject=f"{subject}.source"
    )
    spec: dict[str, Any] = {
        "chart": entry.chart,
        "sourceRef": source.fields(),
        "reconcileStrategy": entry.reconcile_strategy,
    }
    if entry.version:
        spec["version"] = entry.version
    if entry.chart_interval is not None:
        spec["interval"] = entry.chart_interval
    return {"chart": {"spec": spec}}


def _chart_reference(text: str, subject: str) -> dict[str, str]:
    kind, slash, rest = text.partition("/")
    if not slash or kind not in _CHART_KINDS:
        raise ConfigError(
            f"{text[:80]!r} is no chart; write {' or '.join(f'{each}/<name>.<namespace>' for each in _CHART_KINDS)}",
            subject=subject,
        )
    return parse_reference(kind, rest, text=text, subject=subject).fields()


def _installing(entry: Release, subject: str) -> dict[str, Any]:
    install: dict[str, Any] = {}
    if entry.create_namespace:
        install["createNamespace"] = True
    if entry.crds is None:
        return {"install": install} if install else {}
    if entry.crds not in CRDS_POLICIES:
        raise ConfigError(
            f"{entry.crds[:40]!r} is no policy; use {', '.join(CRDS_POLICIES)}", subject=f"{subject}.crds"
        )
    return {"install": {**install, "crds": "Create"}, "upgrade": {"crds": entry.crds}}


def _values_from(text: str, subject: str) -> dict[str, str]:
    kind, slash, name = text.partition("/")
    if not slash or not name or "/" in name or kind.lower() not in _VALUES_KINDS:
        raise ConfigError(
            f"{text[:80]!r} holds no values; write ConfigMap/<name> or Secret/<name>, or more into spec.valuesFrom",
            subject=subject,
        )
    return {"kind": _VALUES_KINDS[kind.lower()], "name": name}


def _values(entry: Release, read_values: ReadValues) -> dict[str, Any] | None:
    if entry.values is None and not entry.values_files:
        return None
    found: dict[str, Any] = {}
    for path in entry.values_files:
        found = overlaid(found, read_values(path))
    return overlaid(found, entry.values or {})
