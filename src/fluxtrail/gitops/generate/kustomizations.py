"""The spec of a Kustomization."""

from __future__ import annotations

from typing import Any

from fluxtrail.gitops.declaration.declaration import Environment, Key
from fluxtrail.gitops.declaration.entries import Kustomization, Release
from fluxtrail.gitops.declaration.names import source_path
from fluxtrail.gitops.declaration.references import (
    KUSTOMIZATION_SOURCES,
    dependency,
    parse_reference,
    source_reference,
)
from fluxtrail.model.errors import ConfigError

CHECK_TIMEOUT = "2m0s"
"""How long `flux create` has health checks take, where nothing is said."""

_CHECKED_KINDS = {"Deployment": "", "DaemonSet": "", "StatefulSet": "", "HelmRelease": "helm.toolkit.fluxcd.io/v2"}


def kustomization_spec(entry: Kustomization, key: Key, environment: Environment, subject: str) -> dict[str, Any]:
    source = source_reference(
        entry.source,
        environment,
        namespace=key.namespace,
        sections=KUSTOMIZATION_SOURCES,
        subject=f"{subject}.source",
    )
    spec: dict[str, Any] = {"path": source_path(entry.path), "prune": entry.prune, "sourceRef": source.fields()}
    if entry.depends_on:
        spec["dependsOn"] = dependencies(entry, "kustomizations", key, environment, subject)
    if entry.target_namespace:
        spec["targetNamespace"] = entry.target_namespace
    if entry.kubeconfig_secret:
        spec["kubeConfig"] = {"secretRef": {"name": entry.kubeconfig_secret}}
    if entry.service_account:
        spec["serviceAccountName"] = entry.service_account
    if entry.retry_interval is not None:
        spec["retryInterval"] = entry.retry_interval
    if entry.decryption is not None:
        spec["decryption"] = {"provider": entry.decryption.provider}
        if entry.decryption.secret:
            spec["decryption"]["secretRef"] = {"name": entry.decryption.secret}
    return {**spec, **_checks(entry, f"{subject}.health_checks")}


def _checks(entry: Kustomization, subject: str) -> dict[str, Any]:
    if entry.wait and entry.health_checks:
        raise ConfigError("are not looked at with wait, which checks everything; leave one out", subject=subject)
    if entry.wait:
        return {"wait": True, "timeout": CHECK_TIMEOUT}
    if entry.health_checks:
        return {"healthChecks": [_check(text, subject) for text in entry.health_checks], "timeout": CHECK_TIMEOUT}
    return {}


def _check(text: str, subject: str) -> dict[str, str]:
    kind, _, rest = text.partition("/")
    if kind not in _CHECKED_KINDS:
        raise ConfigError(
            f"{text[:80]!r} is of none of the kinds {', '.join(_CHECKED_KINDS)}; write others into spec.healthChecks",
            subject=subject,
        )
    reference = parse_reference(kind, rest, text=text, subject=subject)
    if reference.namespace is None or "." in reference.name:
        raise ConfigError(f"{text[:80]!r} has no namespace; write <kind>/<name>.<namespace>", subject=subject)
    version = _CHECKED_KINDS[kind]
    return {**({"apiVersion": version} if version else {}), **reference.fields()}


def dependencies(
    entry: Kustomization | Release, section: str, key: Key, environment: Environment, subject: str
) -> list[dict[str, str]]:
    found = []
    for text in entry.depends_on:
        other, is_elsewhere = dependency(
            text, environment.sections[section], namespace=key.namespace, subject=f"{subject}.depends_on"
        )
        found.append({"name": other.name, **({"namespace": other.namespace} if is_elsewhere else {})})
    return found
