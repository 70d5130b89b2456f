"""Objects of every Flux kind in every state, and what is to be said of any object: facts, stated once more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from fluxtrail.simulator.apiserver.resources import FLUX_RESOURCES, ResourceDefinition

Object = dict[str, Any]
TEAMS = ("team-a", "team-b")
GENERATOR = "source.extensions.fluxcd.io"
OPERATOR = "fluxcd.controlplane.io"
OTHERS = (
    ResourceDefinition(group=GENERATOR, versions=("v1beta1",), kind="ArtifactGenerator", plural="artifactgenerators"),
    ResourceDefinition(group=OPERATOR, versions=("v1",), kind="FluxInstance", plural="fluxinstances"),
    ResourceDefinition(group=OPERATOR, versions=("v1",), kind="ResourceSet", plural="resourcesets"),
    ResourceDefinition(
        group=OPERATOR, versions=("v1",), kind="ResourceSetInputProvider", plural="resourcesetinputproviders"
    ),
    ResourceDefinition(group=OPERATOR, versions=("v1",), kind="FluxReport", plural="fluxreports"),
)
"""Kinds that come with other programs than Flux's own."""
KINDS = (*FLUX_RESOURCES, *OTHERS)
STATIC = frozenset({"Alert", "Provider"})
"""Flux gives these no status."""
_ARTIFACT = {"revision": "main@sha1:5394cb7f48332b2de7c17dd8b8384bbc84b7e738"}
_APPLIED = {"lastAppliedRevision": _ARTIFACT["revision"]}
_SPECS: dict[str, Object] = {
    "Kustomization": {"sourceRef": {"kind": "GitRepository", "name": "fleet"}, "path": "./"},
    "HelmRelease": {"chart": {"spec": {"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}},
    "GitRepository": {"url": "ssh://git@git.example.com/acme/fleet.git"},
    "OCIRepository": {"url": "oci://registry.example.com/fleet", "ref": {"tag": "latest"}},
    "Bucket": {"endpoint": "minio.example.com", "bucketName": "fleet"},
    "HelmRepository": {"url": "https://charts.example.com"},
    "HelmChart": {"chart": "web", "version": "1.x", "sourceRef": {"kind": "HelmRepository", "name": "charts"}},
    "ExternalArtifact": {"sourceRef": {"kind": "ArtifactGenerator", "name": "parts"}},
    "ImageRepository": {"image": "registry.example.com/web"},
    "ImagePolicy": {"imageRepositoryRef": {"name": "web"}},
    "ImageUpdateAutomation": {"sourceRef": {"kind": "GitRepository", "name": "fleet"}},
    "ResourceSetInputProvider": {"url": "https://reader:secret@git.example.com/acme?key=secret#part"},
}
_LABELS: dict[str, dict[str, str]] = {
    "Kustomization": {"revision": "status.lastAppliedRevision", "source_name": "spec.sourceRef.name"},
    "HelmRelease": {
        "revision": "status.history.0.chartVersion",
        "chart_name": "status.history.0.chartName",
        "chart_app_version": "status.history.0.appVersion",
        "chart_ref_name": "spec.chartRef.name",
        "chart_source_name": "spec.chart.spec.sourceRef.name",
    },
    "GitRepository": {"revision": "status.artifact.revision", "url": "spec.url"},
    "OCIRepository": {"revision": "status.artifact.revision", "url": "spec.url"},
    "HelmRepository": {"revision": "status.artifact.revision", "url": "spec.url"},
    "Bucket": {
        "revision": "status.artifact.revision",
        "endpoint": "spec.endpoint",
        "bucket_name": "spec.bucketName",
    },
    "HelmChart": {
        "revision": "status.artifact.revision",
        "chart_name": "spec.chart",
        "chart_version": "spec.version",
    },
    "ImageRepository": {"image": "spec.image"},
    "ImagePolicy": {"source_name": "spec.imageRepositoryRef.name"},
    "ImageUpdateAutomation": {"source_name": "spec.sourceRef.name"},
    "ExternalArtifact": {"revision": "status.artifact.revision", "source_name": "spec.sourceRef.name"},
    "FluxInstance": {"revision": "status.lastAppliedRevision"},
    "ResourceSet": {"revision": "status.lastAppliedRevision"},
    "ResourceSetInputProvider": {"url": "spec.url"},
}
"""Beside those of all kinds. Source: fluxcd/flux2-monitoring-example; the last four are Fluxtrail's own."""


def install(store: Any) -> None:
    """Put objects of every kind into the teams' namespaces: good, failing, suspended, and new ones."""
    for definition in OTHERS:
        store.install(definition)
    for namespace in TEAMS:
        store.insert_namespace(namespace)
    for definition in KINDS:
        for name in ("good", "failing", "held", "new"):
            obj = _object(definition, name, TEAMS[0])
            # A release that nobody holds would be installed by the simulated helm-controller.
            if name == "held" or definition.kind == "HelmRelease":
                _suspend(obj, definition)
            store.create(definition.plural, obj)
        store.create(definition.plural, _suspended(_object(definition, "held", TEAMS[1]), definition))


def tell(store: Any) -> None:
    """Write the statuses of those that were reconciled."""
    for definition in KINDS:
        if definition.kind in STATIC:
            continue
        for name, ready in (("good", "True"), ("failing", "False"), ("held", "True")):
            condition = {"type": "Ready", "status": ready, "reason": "Said", "lastTransitionTime": _MOMENT}
            status: Object = {"conditions": [{**condition, "type": "Reconciling"}, condition]}
            if name != "failing":
                status |= {"artifact": _ARTIFACT, **_APPLIED}
                status |= {"history": [{"chartName": "web", "chartVersion": "1.2.3", "appVersion": "7"}]}
            store.patch_status(definition.plural, name, TEAMS[0], status)


def held_by(store: Any) -> list[Object]:
    """Return every object of these kinds, as the API server has it now."""
    return [
        {"kind": definition.kind, "group": definition.group, "version": definition.versions[0], **obj}
        for definition in KINDS
        for obj in store.list(definition.plural)
    ]


def labels_of(obj: Object) -> dict[str, str]:
    """Return the labels that `gotk_resource_info` has for an object."""
    kind, metadata = obj["kind"], obj["metadata"]
    found: dict[str, Any] = {
        "customresource_group": obj["group"],
        "customresource_version": obj["version"],
        "customresource_kind": kind,
        "name": metadata["name"],
        "exported_namespace": metadata["namespace"],
        "suspended": _is_suspended(obj),
        "ready": None if kind in STATIC else _ready(obj),
    }
    found |= {label: _at(obj, path.split(".")) for label, path in _LABELS.get(kind, {}).items()}
    told = {label: _text(value) for label, value in found.items() if value is not None}
    # Who fetches, and with which key, is nobody's business.
    bare = {label: re.sub(r"//[^/@]*@|[?#].*", _slashes, told[label]) for label in ("url", "endpoint") if label in told}
    return told | bare


def rows(objects: Iterable[Object], *kinds: str, **labels: str) -> list[dict[str, str]]:
    """Return the labels of all objects of these kinds that have these labels."""
    every = (labels_of(obj) for obj in objects if not kinds or obj["kind"] in kinds)
    return [found for found in every if labels.items() <= found.items()]


_MOMENT = "2026-01-02T03:04:05Z"


def _object(definition: ResourceDefinition, name: str, namespace: str) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": dict(_SPECS.get(definition.kind, {}))}


def _suspended(obj: Object, definition: ResourceDefinition) -> Object:
    _suspend(obj, definition)
    return obj


def _suspend(obj: Object, definition: ResourceDefinition) -> None:
    if definition in OTHERS:
        obj["metadata"]["annotations"] = {f"{definition.group}/reconcile": "disabled"}
    else:
        obj["spec"]["suspend"] = True


def _is_suspended(obj: Object) -> Any:
    if obj["group"] not in (GENERATOR, OPERATOR):
        return (obj.get("spec") or {}).get("suspend")
    annotations = obj["metadata"].get("annotations") or {}
    return True if annotations.get(f"{obj['group']}/reconcile") == "disabled" else None


def _slashes(found: re.Match[str]) -> str:
    return "//" if found[0].startswith("//") else ""


def _ready(obj: Object) -> str | None:
    conditions: Iterator[Object] = iter((obj.get("status") or {}).get("conditions") or ())
    return next((item["status"] for item in conditions if item["type"] == "Ready"), None)


def _at(value: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
