"""Finds at which version an API server serves a kind, and under which name. Nothing about it is written down here."""

from collections.abc import Sequence

import msgspec

from fluxtrail.clusters.connection import Connection
from fluxtrail.model.errors import NotFoundError


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A kind as one server serves it."""

    group: str
    version: str
    kind: str
    plural: str
    is_namespaced: bool

    def path(self, namespace: str | None = None) -> str:
        """Return the path of the collection, of one namespace or of all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace is not None and self.is_namespaced:
            return f"{root}/namespaces/{namespace}/{self.plural}"
        return f"{root}/{self.plural}"


class _GroupVersion(msgspec.Struct):
    version: str


class _Group(msgspec.Struct, rename="camel"):
    versions: list[_GroupVersion] | None = None
    preferred_version: _GroupVersion | None = None


class _CoreVersions(msgspec.Struct):
    versions: list[str] | None = None


class _Entry(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool = False


class _Entries(msgspec.Struct):
    resources: list[_Entry] | None = None


async def served_versions(connection: Connection, group: str) -> list[str]:
    """Return the versions of `group` that are served, the server's preferred one first; none if it has no such group.

    Raises:
        UpstreamError: the server could not say.
    """
    try:
        if not group:
            return (await connection.get("/api", _CoreVersions)).versions or []
        found = await connection.get(f"/apis/{group}", _Group)
    except NotFoundError:
        return []
    versions = [each.version for each in found.versions or ()]
    preferred = found.preferred_version.version if found.preferred_version else ""
    return sorted(versions, key=lambda version: version != preferred)


async def find_resource(connection: Connection, group: str, kind: str, versions: Sequence[str] = ()) -> Resource | None:
    """Return how `kind` of `group` is served, or None where its CRD is not installed.

    Args:
        versions: the ones the caller can read, best first. Others do not count; without any, all do, the server's
            preferred one first.

    Raises:
        UpstreamError: the server could not say.
    """
    served = await served_versions(connection, group)
    wanted = [version for version in versions if version in served] if versions else served
    for version in wanted:
        found = await _find_in_version(connection, group, version, kind)
        if found is not None:
            return found
    return None


async def _find_in_version(connection: Connection, group: str, version: str, kind: str) -> Resource | None:
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    try:
        answer = await connection.get(path, _Entries)
    except NotFoundError:  # it went between the two questions
        return None
    for entry in answer.resources or ():
        # A subresource (`kustomizations/status`) names its parent's kind as well.
        if entry.kind == kind and "/" not in entry.name:
            return Resource(group=group, version=version, kind=kind, plural=entry.name, is_namespaced=entry.namespaced)
    return None
