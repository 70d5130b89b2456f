"""Objects as API servers send them, and the findings that come of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fluxtrail.model.doctor.drifting import Corrections
from fluxtrail.model.doctor.examining import examine
from fluxtrail.model.doctor.findings import Finding
from fluxtrail.model.doctor.patients import GROUP_OF, SOURCE_KINDS, Patient, project_source, project_target
from fluxtrail.model.doctor.policy import Abilities, Policy
from fluxtrail.model.doctor.ward import EVERYWHERE, Ward, by_key
from fluxtrail.model.doctor.wire import WireSource, WireTarget

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Object = dict[str, Any]
CURRENT = Abilities(has_retry_on_failure=True, told_by="the schema of helm.toolkit.fluxcd.io/v2")


def ago(**how_long: float) -> str:
    return (NOW - timedelta(**how_long)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(
    kind: str, status: str, reason: str, message: str = "", *, since: str = "", generation: int = 1
) -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since or ago(hours=1),
        "observedGeneration": generation,
    }


def meta(name: str, namespace: str = "apps", **more: Any) -> Object:
    managers = [
        {"manager": "kustomize-controller", "operation": "Apply", "time": ago(days=3), "fieldsV1": {"f:spec": {}}},
        {"manager": "helm-controller", "subresource": "status", "time": ago(hours=1), "fieldsV1": {"f:status": {}}},
    ]
    base = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "resourceVersion": "7",
        "generation": 1,
        "creationTimestamp": ago(days=30),
        "managedFields": managers,
    }
    return base | more


def release(
    name: str = "api",
    *conditions: Object,
    spec: Object | None = None,
    status: Object | None = None,
    metadata: Object | None = None,
) -> Object:
    return {
        "kind": "HelmRelease",
        "metadata": meta(name) | (metadata or {}),
        "spec": {
            "interval": "10m",
            "timeout": "5m",
            "chartRef": {"kind": "OCIRepository", "name": "charts"},
        }
        | (spec or {}),
        "status": {"observedGeneration": 1, "conditions": list(conditions)} | (status or {}),
    }


def kustomization(
    name: str = "apps",
    *conditions: Object,
    spec: Object | None = None,
    status: Object | None = None,
    metadata: Object | None = None,
) -> Object:
    return {
        "kind": "Kustomization",
        "metadata": meta(name) | (metadata or {}),
        "spec": {"interval": "10m", "sourceRef": {"kind": "GitRepository", "name": "fleet"}} | (spec or {}),
        "status": {"observedGeneration": 1, "conditions": list(conditions), "lastAppliedRevision": "main@sha1:1"}
        | (status or {}),
    }


def source(
    kind: str,
    name: str,
    *conditions: Object,
    spec: Object | None = None,
    status: Object | None = None,
    metadata: Object | None = None,
) -> Object:
    artifact = {"revision": "main@sha1:1", "digest": "sha256:1", "lastUpdateTime": ago(days=2)}
    return {
        "kind": kind,
        "metadata": meta(name) | (metadata or {}),
        "spec": {"interval": "5m", "url": "https://git.example.com/fleet"} | (spec or {}),
        "status": {"observedGeneration": 1, "conditions": list(conditions), "artifact": artifact} | (status or {}),
    }


READY = condition("Ready", "True", "Succeeded", "all is well")
FLEET = source("GitRepository", "fleet", READY)
CHARTS = source("OCIRepository", "charts", READY)


def patient_of(obj: Object, *, version: str = "") -> Patient:
    raw = json.dumps(obj).encode()
    kind = obj["kind"]
    if kind in SOURCE_KINDS:
        wire = msgspec.json.decode(raw, type=WireSource)
        return project_source(wire, group="source.toolkit.fluxcd.io", kind=kind, version=version or "v1")
    target = msgspec.json.decode(raw, type=WireTarget)
    return project_target(
        target, group=GROUP_OF[kind], kind=kind, version=version or ("v2" if kind == "HelmRelease" else "v1")
    )


def ward_of(*objects: Object, version: str = "", **more: Any) -> Ward:
    kinds = (*GROUP_OF, *SOURCE_KINDS)
    settings: dict[str, Any] = {"abilities": CURRENT, "policy": Policy()} | more
    return Ward(
        patients=by_key(patient_of(obj, version=version if obj["kind"] == "HelmRelease" else "") for obj in objects),
        now=settings.pop("now", NOW),
        listed=frozenset((kind, EVERYWHERE) for kind in kinds),
        **settings,
    )


def findings_of(
    *objects: Object, version: str = "", corrections: Corrections | None = None, **more: Any
) -> tuple[Finding, ...]:
    """Examine these objects, beside two sources that are well."""
    given = {(obj["kind"], obj["metadata"]["name"]) for obj in objects}
    others = [obj for obj in (FLEET, CHARTS) if (obj["kind"], obj["metadata"]["name"]) not in given]
    return examine(ward_of(*objects, *others, version=version, **more), corrections)
