"""From a request's path to what it addresses."""

from __future__ import annotations

from typing import NamedTuple

from fluxtrail.simulator.apiserver.catalog import Catalog
from fluxtrail.simulator.apiserver.resources import ResourceDefinition


class Target(NamedTuple):
    """A resource's collection (`name` empty), an object, or a subresource of it."""

    definition: ResourceDefinition
    version: str
    namespace: str
    name: str
    subresource: str


def split_path(path: str) -> tuple[str, str, list[str]] | None:
    """Return (group, version, rest) of `/api/v1/…` and `/apis/<group>/<version>/…`, or None for other paths."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 2 and parts[0] == "api":
        return "", parts[1], parts[2:]
    if len(parts) >= 3 and parts[0] == "apis":
        return parts[1], parts[2], parts[3:]
    return None


def find_target(catalog: Catalog, group: str, version: str, rest: list[str]) -> Target | None:
    """Return what `rest` addresses, or None when nothing of that name is served."""
    namespace = ""
    is_scoped = len(rest) >= 3 and rest[0] == "namespaces" and (group != "" or rest[2] not in ("status", "finalize"))
    if is_scoped:
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        return None
    definition = catalog.find(group, version, rest[0])
    if definition is None or (is_scoped and not definition.namespaced):
        return None
    name, subresource = [*rest[1:], "", ""][:2]
    if subresource and not (subresource == "status" and definition.status_subresource):
        return None
    if name and definition.namespaced and not namespace:
        return None
    return Target(definition, version, namespace, name, subresource)
