"""A Flux object without what a server added, and with what it would add: two that are equal then mean the same.

Durations are in Go's form, as Flux itself writes them; what a CRD fills in is filled in, and nulls are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxtrail.gitops.declaration.goduration import find_duration
from fluxtrail.gitops.generate.objects import API_VERSIONS

_ADDED_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration",)
_DURATIONS = ("interval", "timeout", "retryInterval")
_FILLED_IN = {
    "OCIRepository": {"provider": "generic"},
    "Bucket": {"provider": "generic"},
    "Kustomization": {"path": "./"},
}


def normal(data: Mapping[str, Any], *, namespace: str) -> dict[str, Any]:
    """Return an object in its normal form, in the API version that is generated.

    Args:
        namespace: its own, where the object names none.
    """
    kind = data["kind"]
    metadata = data["metadata"]
    kept: dict[str, Any] = {"name": metadata["name"], "namespace": metadata.get("namespace") or namespace}
    if labels := _texts(metadata.get("labels")):
        kept["labels"] = labels
    annotations = {name: value for name, value in _texts(metadata.get("annotations")).items() if _is_own(name)}
    if annotations:
        kept["annotations"] = annotations
    return {"apiVersion": API_VERSIONS[kind], "kind": kind, "metadata": kept, "spec": _spec(kind, data.get("spec"))}


def _is_own(annotation: str) -> bool:
    return annotation not in _ADDED_ANNOTATIONS


def _texts(value: Any) -> dict[str, str]:
    return {name: str(each) for name, each in value.items() if each is not None} if isinstance(value, dict) else {}


def _spec(kind: str, value: Any) -> dict[str, Any]:
    spec = _without_nulls(value) if isinstance(value, dict) else {}
    found = _with_durations({**_FILLED_IN.get(kind, {}), **spec})
    if kind != "HelmRelease":
        return found
    if isinstance(value, dict) and isinstance(value.get("values"), dict):
        # Helm takes a chart's default away where a value is null.
        found["values"] = value["values"]
    chart = found.get("chart")
    if isinstance(chart, dict) and isinstance(chart.get("spec"), dict):
        found["chart"] = {**chart, "spec": _with_durations({"reconcileStrategy": "ChartVersion", **chart["spec"]})}
    return found


def _with_durations(spec: dict[str, Any]) -> dict[str, Any]:
    said = {field: find_duration(spec.get(field)) for field in _DURATIONS if field in spec}
    return {**spec, **{field: text for field, text in said.items() if text is not None}}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def patch(below: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what, merged over `below`, gives `wanted`: the smallest merge patch between two mappings without nulls."""
    found: dict[str, Any] = {key: None for key in below if key not in wanted}
    for key, value in wanted.items():
        under = below.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            if inner := patch(under, value):
                found[key] = inner
        elif key not in below or under != value or type(under) is not type(value):
            found[key] = value
    return found
