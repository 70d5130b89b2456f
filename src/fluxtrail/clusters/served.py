"""What an API server serves of a group now: every kind at every version that can be listed and watched."""

from collections.abc import Collection

import msgspec

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.discovery import Resource, served_versions
from fluxtrail.model.errors import NotFoundError

_NEEDED = frozenset({"list", "watch"})


class _Entry(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool = False
    verbs: list[str] | None = None


class _Entries(msgspec.Struct):
    resources: list[_Entry] | None = None


async def served_kinds(connection: Connection, group: str, versions: Collection[str] = ()) -> list[Resource]:
    """Return what of `group` can be listed and watched; nothing where the server has no such group.

    Args:
        versions: only these; all where empty.

    Raises:
        UpstreamError: the server could not say.
    """
    found: list[Resource] = []
    for version in await served_versions(connection, group):
        if versions and version not in versions:
            continue
        try:
            answer = await connection.get(f"/apis/{group}/{version}" if group else f"/api/{version}", _Entries)
        except NotFoundError:  # it went between the two questions
            continue
        found += [
            Resource(group=group, version=version, kind=entry.kind, plural=entry.name, is_namespaced=entry.namespaced)
            for entry in answer.resources or ()
            # A subresource (`kustomizations/status`) names its parent's kind as well.
            if "/" not in entry.name and set(entry.verbs or ()) >= _NEEDED
        ]
    return found
