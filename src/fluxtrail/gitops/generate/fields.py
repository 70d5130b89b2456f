"""Flux objects back into entries: `flux create`'s words where they fit, and the rest as `spec`.

Nothing here needs to be exact: what an entry does not reproduce is found by making its object, and goes into `spec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxtrail.gitops.declaration.filling import DURATIONS
from fluxtrail.gitops.declaration.goduration import find_duration

Fields = dict[str, Any]


def entry_fields(section: str, spec: Mapping[str, Any]) -> Fields:
    """Return what a spec says in an entry's words. References are written out: `<kind>/<name>.<namespace>`."""
    makers = {"git": _git, "helm": _helm, "oci": _oci, "bucket": _bucket, "kustomizations": _kustomization}
    found = makers.get(section, _release)(spec)
    found.update(_copied(spec, interval="interval", timeout="timeout"))
    if spec.get("suspend") is True:
        found["suspend"] = True
    for field in DURATIONS:
        if field in found and find_duration(found[field]) is None:
            del found[field]
    # What defaults could say otherwise is always said.
    found.setdefault("interval", "1m0s")
    if "{" in str(found.get("path")):
        found.pop("path")  # a placeholder
    return {field: value for field, value in found.items() if value is not None}


def _git(spec: Mapping[str, Any]) -> Fields:
    return {
        **_copied(spec, url="url", provider="provider", recurse_submodules="recurseSubmodules"),
        **_git_reference(_part(spec, "ref")),
        **_secrets(spec),
        "sparse_checkout": _texts(spec.get("sparseCheckout")),
        "ignore": _text(spec.get("ignore")),
    }


def _git_reference(reference: Mapping[str, Any]) -> Fields:
    """Return the reference that Flux goes by, if there are several; without any it takes the branch master."""
    for field, name in (("commit", "commit"), ("name", "ref_name"), ("semver", "semver"), ("tag", "tag")):
        if value := _text(reference.get(field)):
            branch = {"branch": _text(reference.get("branch"))} if field == "commit" else {}
            return {name: value, **branch}
    return {"branch": _text(reference.get("branch")) or "master"}


def _helm(spec: Mapping[str, Any]) -> Fields:
    found = _copied(spec, url="url")
    if str(spec.get("url")).startswith("oci://"):
        found.update(_copied(spec, provider="provider"))
    secrets = {"secret": _text(_part(spec, "secretRef").get("name"))}
    if secrets["secret"] and spec.get("passCredentials") is True:
        found["pass_credentials"] = True
    return {**found, **secrets}


def _oci(spec: Mapping[str, Any]) -> Fields:
    reference = _part(spec, "ref")
    named = [field for field in ("digest", "semver", "tag") if _text(reference.get(field))]
    layer = _part(spec, "layerSelector")
    verify = _part(spec, "verify")
    found = _copied(spec, url="url", provider="provider", insecure="insecure", service_account="serviceAccountName")
    found[named[0] if named else "tag"] = reference.get(named[0]) if named else "latest"
    if set(layer) == {"mediaType", "operation"}:
        found["layer_selector"] = f"{layer['mediaType']}:{layer['operation']}"
    if verify.get("provider"):
        found["verify"] = {"provider": verify["provider"], **_secrets(verify)}
    return {
        **found,
        **_secrets(spec),
        "ignore": _text(spec.get("ignore")),
    }


def _bucket(spec: Mapping[str, Any]) -> Fields:
    return {
        **_copied(
            spec, bucket="bucketName", endpoint="endpoint", provider="provider", region="region", insecure="insecure"
        ),
        **_secrets(spec),
        "ignore": _text(spec.get("ignore")),
    }


def _kustomization(spec: Mapping[str, Any]) -> Fields:
    decryption = _part(spec, "decryption")
    found = {
        **_copied(
            spec,
            path="path",
            wait="wait",
            target_namespace="targetNamespace",
            service_account="serviceAccountName",
            retry_interval="retryInterval",
        ),
        "kubeconfig_secret": _text(_part(_part(spec, "kubeConfig"), "secretRef").get("name")),
        "prune": spec.get("prune") is True,
        "source": reference_text(_part(spec, "sourceRef")),
        "depends_on": dependency_texts(spec.get("dependsOn")),
    }
    if decryption.get("provider"):
        found["decryption"] = {"provider": decryption["provider"], **_secrets(decryption)}
    if not found.get("wait"):
        found["health_checks"] = _checks(spec.get("healthChecks"))
    return found


def _release(spec: Mapping[str, Any]) -> Fields:
    found: Fields = {
        **_copied(
            spec,
            release_name="releaseName",
            target_namespace="targetNamespace",
            storage_namespace="storageNamespace",
            service_account="serviceAccountName",
        ),
        "kubeconfig_secret": _text(_part(_part(spec, "kubeConfig"), "secretRef").get("name")),
        "depends_on": dependency_texts(spec.get("dependsOn")),
        "values_from": _values_from(spec.get("valuesFrom")),
    }
    if found.get("storage_namespace") == found.get("target_namespace"):
        found.pop("storage_namespace", None)
    if isinstance(spec.get("values"), dict):
        found["values"] = spec["values"]
    if _part(spec, "install").get("createNamespace") is True:
        found["create_namespace"] = True
    if _part(spec, "install").get("crds") == "Create":
        found.update(_copied(_part(spec, "upgrade"), crds="crds"))
    if isinstance(spec.get("chartRef"), dict):
        return {**found, "chart_ref": reference_text(spec["chartRef"])}
    chart = _part(_part(spec, "chart"), "spec")
    return {
        **found,
        **_copied(
            chart,
            chart="chart",
            version="version",
            chart_interval="interval",
            reconcile_strategy="reconcileStrategy",
        ),
        "source": reference_text(_part(chart, "sourceRef")),
    }


def reference_text(reference: Mapping[str, Any]) -> str | None:
    """Return `<kind>/<name>.<namespace>`; without the namespace where there is none."""
    kind, name, namespace = (_text(reference.get(field)) for field in ("kind", "name", "namespace"))
    return f"{kind}/{name}.{namespace}" if namespace else f"{kind}/{name}"


def dependency_texts(items: Any) -> list[str] | None:
    """Return `<name>` or `<namespace>/<name>` of each, or None where one says more than that."""
    if not isinstance(items, list) or not items:
        return None
    if not all(isinstance(item, dict) and set(item) <= {"name", "namespace"} and item.get("name") for item in items):
        return None
    return [f"{item['namespace']}/{item['name']}" if item.get("namespace") else item["name"] for item in items]


def _values_from(items: Any) -> list[str] | None:
    if not isinstance(items, list) or not items:
        return None
    if not all(isinstance(item, dict) and set(item) == {"kind", "name"} for item in items):
        return None
    return [f"{item['kind']}/{item['name']}" for item in items]


def _checks(items: Any) -> list[str] | None:
    if not isinstance(items, list) or not items:
        return None
    if not all(isinstance(item, dict) and {"kind", "name", "namespace"} <= set(item) for item in items):
        return None
    return [str(reference_text(item)) for item in items]


def _part(value: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    found = value.get(field)
    return found if isinstance(found, dict) else {}


def _copied(spec: Mapping[str, Any], **names: str) -> Fields:
    """Return fields by an entry's name for them; what is no simple value is left for `spec`."""
    return {name: spec[field] for name, field in names.items() if isinstance(spec.get(field), str | bool)}


_SECRETS = {"secretRef": "secret", "proxySecretRef": "proxy_secret", "certSecretRef": "cert_secret"}


def _secrets(spec: Mapping[str, Any]) -> Fields:
    found = {name: _text(_part(spec, field).get("name")) for field, name in _SECRETS.items()}
    return {name: value for name, value in found.items() if value}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: Any) -> list[str] | None:
    return value if isinstance(value, list) and value and all(isinstance(each, str) for each in value) else None
