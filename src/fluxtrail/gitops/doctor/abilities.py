"""Finds out what the helm-controller of a cluster understands: from the schema of its HelmReleases, not its version.

Every authenticated user may read `/openapi/v3` (Kubernetes' role `system:discovery`), so no right is needed for it.
"""

from __future__ import annotations

from typing import Any

import structlog

from fluxtrail.clusters.connection import Connection
from fluxtrail.model.doctor.policy import V2BETA1, Abilities
from fluxtrail.model.errors import UpstreamError, WireError
from fluxtrail.model.flux import HELM_GROUP

SCHEMA_LIMIT_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 12

log = structlog.get_logger(__name__)

Schema = dict[str, Any]


async def find_abilities(connection: Connection, version: str) -> Abilities:
    """Return what HelmReleases at `version` can be asked for.

    Where the schema is not to be had, the version tells of the requests: they came with v2beta2. Nothing tells of
    `RetryOnFailure` then, so nobody is advised to use it.

    Raises:
        UpstreamError: the server could not be asked at all.
    """
    path = f"/openapi/v3/apis/{HELM_GROUP}/{version}"
    try:
        document = await connection.get(path, Schema, limit_bytes=SCHEMA_LIMIT_BYTES)
    except (UpstreamError, WireError) as exc:
        log.debug("schema not read", path=path, error=str(exc))
        return by_version(version)
    schema = _release_schema(document)
    return by_schema(schema, version) if schema else by_version(version)


def by_version(version: str) -> Abilities:
    return V2BETA1 if version == "v2beta1" else Abilities(told_by=f"{HELM_GROUP}/{version}")


def by_schema(schema: Schema, version: str) -> Abilities:
    """Return what a schema of HelmReleases says. One that says nothing of the status says nothing at all."""
    status = _at(schema, "properties", "status", "properties")
    if not status:
        return by_version(version)
    strategies = [
        _at(schema, "properties", "spec", "properties", action, "properties", "strategy", "properties", "name")
        for action in ("install", "upgrade")
    ]
    return Abilities(
        has_reset="lastHandledResetAt" in status,
        has_force="lastHandledForceAt" in status,
        has_retry_on_failure=any("RetryOnFailure" in (each.get("enum") or ()) for each in strategies),
        told_by=f"the schema of {HELM_GROUP}/{version}",
    )


def _release_schema(document: Schema) -> Schema:
    schemas = _at(document, "components", "schemas")
    for schema in schemas.values():
        kinds = schema.get("x-kubernetes-group-version-kind") if isinstance(schema, dict) else None
        if isinstance(kinds, list) and any(isinstance(k, dict) and k.get("kind") == "HelmRelease" for k in kinds):
            return dict(schema)
    return {}


def _at(schema: Any, *path: str) -> Schema:
    for part in path:
        schema = schema.get(part) if isinstance(schema, dict) else None
    return schema if isinstance(schema, dict) else {}
