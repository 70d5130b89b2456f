"""What the declaration dropped: Flux's objects that were applied under our name and are in none of its files.

Only what nobody else applies counts. Two declarations in one cluster have to be applied under two names.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.discovery import Resource
from fluxtrail.clusters.listing import list_pages
from fluxtrail.clusters.served import served_kinds
from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.apply.differing import difference
from fluxtrail.gitops.apply.planning import Action, Step
from fluxtrail.gitops.apply.selecting import EVERYTHING
from fluxtrail.model.flux import HELM_GROUP, KUSTOMIZE_GROUP, SOURCE_GROUP
from fluxtrail.model.observation import ObjectKey

PAGE_LIMIT = 200
PAGE_LIMIT_BYTES = 64 * 1024 * 1024
_GROUPS = {"releases": (HELM_GROUP,), "kustomizations": (KUSTOMIZE_GROUP,), "sources": (SOURCE_GROUP,)}
_UNTOUCHED = frozenset({"HelmChart", "ExternalArtifact"})
"""Made by controllers."""


async def dropped(
    connection: Connection, writer: Writer, kept: Collection[ObjectKey], choices: Collection[str]
) -> list[Step]:
    """Return the objects to delete: releases first, then Kustomizations, then sources.

    Args:
        kept: what the files hold, all of it.
        choices: of which kinds, as `selecting` has them; all three where empty.

    Raises:
        UpstreamError: and its subclasses; they may not be listed.
    """
    wanted = set(choices) - {EVERYTHING} or set(_GROUPS)
    steps: list[Step] = []
    for choice, groups in _GROUPS.items():
        for group in groups if choice in wanted else ():
            for resource in await _kinds(connection, group):
                steps += await _dropped_of(connection, writer.field_manager, resource, kept)
    return steps


async def _kinds(connection: Connection, group: str) -> list[Resource]:
    """Return each kind once, at the version that the server prefers."""
    found: dict[str, Resource] = {}
    for resource in await served_kinds(connection, group):
        if resource.kind not in _UNTOUCHED:
            found.setdefault(resource.kind, resource)
    return list(found.values())


async def _dropped_of(
    connection: Connection, manager: str, resource: Resource, kept: Collection[ObjectKey]
) -> list[Step]:
    steps = []
    path = resource.path()
    async for page in list_pages(connection, path, {}, limit=PAGE_LIMIT, limit_bytes=PAGE_LIMIT_BYTES):
        for raw in page.items or ():
            obj: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
            metadata = obj.get("metadata") or {}
            key = ObjectKey(resource.group, resource.kind, metadata.get("namespace", ""), metadata.get("name", ""))
            if key not in kept and _appliers(metadata) == {manager} and not metadata.get("deletionTimestamp"):
                steps.append(_deletion(key, resource, obj))
    return steps


def _appliers(metadata: dict[str, Any]) -> set[str]:
    entries = metadata.get("managedFields") or ()
    return {str(entry.get("manager")) for entry in entries if entry.get("operation") == "Apply"}


def _deletion(key: ObjectKey, resource: Resource, obj: dict[str, Any]) -> Step:
    api_version = f"{resource.group}/{resource.version}"
    spec = obj.get("spec") or {}
    note = ""
    if resource.kind == "Kustomization" and spec.get("prune") and not spec.get("suspend"):
        note = "Flux deletes all that it applied (spec.prune)"
    elif resource.kind == "HelmRelease" and not spec.get("suspend"):
        note = "Flux uninstalls the release"
    diff = difference(obj | {"apiVersion": api_version, "kind": resource.kind}, {}, name=str(key))
    return Step(
        key=key,
        api_version=api_version,
        place="",
        action=Action.DELETE,
        uid=str(obj["metadata"].get("uid", "")),
        diff=diff,
        problem=note,
    )
