"""Objects as an API server sends them, and what is made of them."""

from __future__ import annotations

from typing import Any

import msgspec

from fluxtrail.reports.resource_metrics.configuration import Resource
from fluxtrail.reports.resource_metrics.flux import flux_resources
from fluxtrail.reports.resource_metrics.rendering import Renderer


def resource_of(kind: str, **options: Any) -> Resource:
    return next(item for item in flux_resources(**options) if item.kind == kind)


def make(kind: str, version: str = "v1", *, name: str = "web", namespace: str = "apps", **parts: Any) -> dict[str, Any]:
    """An object; `metadata` in `parts` is added to its own."""
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "7"}
    metadata |= parts.pop("metadata", {})
    group = next((item.group for item in flux_resources() if item.kind == kind), "example.com")
    return {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": metadata, **parts}


def render(renderer: Renderer, obj: dict[str, Any]) -> tuple[bytes, ...] | None:
    """What the watcher does with an object's bytes."""
    return renderer.project(msgspec.json.decode(msgspec.json.encode(obj), type=renderer.wire))


def line_of(obj: dict[str, Any], **options: Any) -> str:
    lines = render(Renderer(resource_of(obj["kind"], **options)), obj)
    assert lines is not None
    return lines[0].decode()


def ready(status: str = "True", reason: str = "ReconciliationSucceeded") -> list[dict[str, str]]:
    return [{"type": "Reconciling", "status": "False"}, {"type": "Ready", "status": status, "reason": reason}]
