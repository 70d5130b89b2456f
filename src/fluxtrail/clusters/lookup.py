"""Single objects of any kind, asked when somebody wants to know: what a chain is made of.

Flux's own objects are read whole. Of all others only the metadata is asked for, so that nobody's Secret is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.discovery import Resource, find_resource, served_versions
from fluxtrail.clusters.listing import metadata_only
from fluxtrail.model.chained import Chained, WireChained, WireChainMade, is_flux, project_chained, project_made
from fluxtrail.model.errors import NotFoundError, UpstreamError
from fluxtrail.model.kinds import find_kind
from fluxtrail.model.observation import ClusterUid, ObjectKey

OBJECT_LIMIT_BYTES = 8 * 1024 * 1024
TIMEOUT_SECONDS = 10.0

_NO_NAMES = frozenset({"", ".", ".."})
_Shape = TypeVar("_Shape")


class _WholeList(msgspec.Struct):
    items: list[WireChained] | None = None


class _MadeList(msgspec.Struct):
    items: list[WireChainMade] | None = None


class _Entry(msgspec.Struct, rename="camel"):
    name: str
    kind: str
    namespaced: bool = False
    singular_name: str | None = None
    short_names: list[str] | None = None


class _Entries(msgspec.Struct):
    resources: list[_Entry] | None = None


class ObjectLookup:
    """Asks one cluster. How each kind is served is found out once a connection.

    Args:
        connection: the cluster's while it is connected, else None.
    """

    def __init__(self, uid: Callable[[], ClusterUid], name: str, connection: Callable[[], Connection | None]) -> None:
        self._uid = uid
        self.name = name
        self._find_connection = connection
        self._resources: dict[tuple[str, str], Resource] = {}
        self._of: Connection | None = None

    @property
    def uid(self) -> ClusterUid:
        return self._uid()

    async def find_kind(self, text: str) -> tuple[str, str] | None:
        """Return (group, kind) of what people write, or None where the cluster serves no such kind.

        Raises:
            UpstreamError: the server could not say.
        """
        meant = find_kind(text)
        if meant is None:
            return None
        if not meant.kind.islower():
            return meant.group, meant.kind
        for version in await served_versions(self._connection(), meant.group):
            entries = await self._connection().get(f"/apis/{meant.group}/{version}", _Entries)
            for entry in entries.resources or ():
                if "/" not in entry.name and meant.kind in _names(entry):
                    return meant.group, entry.kind
        return None

    async def read(self, key: ObjectKey) -> Chained | None:
        """Return the object, None where it is not there.

        Raises:
            AuthError: it may not be read.
            UpstreamError: the server could not say.
        """
        resource = await self._resource(key.group, key.kind)
        if resource is None or key.name in _NO_NAMES or (resource.is_namespaced and key.namespace in _NO_NAMES):
            return None
        # References are written by anybody: none of them may lead to another path.
        path = f"{resource.path(quote(key.namespace, safe=''))}/{quote(key.name, safe='')}"
        try:
            if is_flux(key.group):
                whole = await self._get(path, WireChained, accept="")
                return project_chained(whole, group=key.group, kind=key.kind)
            made = await self._get(path, WireChainMade, accept=metadata_only(is_list=False))
        except NotFoundError:
            return None
        return project_made(made, group=key.group, kind=key.kind)

    async def find(self, group: str, kind: str, name: str, *, limit: int) -> Sequence[Chained]:
        """Return the objects of this name in any namespace.

        Raises:
            AuthError: they may not be listed.
            UpstreamError: the server could not say.
        """
        resource = await self._resource(group, kind)
        if resource is None:
            return []
        selector = {"fieldSelector": f"metadata.name={name}", "limit": str(limit)}
        if is_flux(group):
            whole = await self._get(resource.path(), _WholeList, accept="", params=selector)
            return [project_chained(item, group=group, kind=kind) for item in whole.items or ()]
        made = await self._get(resource.path(), _MadeList, accept=metadata_only(is_list=True), params=selector)
        return [project_made(item, group=group, kind=kind) for item in made.items or ()]

    async def _get(
        self, path: str, shape: type[_Shape], *, accept: str, params: dict[str, str] | None = None
    ) -> _Shape:
        return await self._connection().get(
            path, shape, params, accept=accept, limit_bytes=OBJECT_LIMIT_BYTES, timeout_seconds=TIMEOUT_SECONDS
        )

    async def _resource(self, group: str, kind: str) -> Resource | None:
        found = self._resources.get((group, kind)) if self._of is self._connection() else None
        if found is None:
            if self._of is not self._connection():
                self._resources, self._of = {}, self._connection()
            found = await find_resource(self._connection(), group, kind)
            if found is not None:
                self._resources[group, kind] = found
        return found

    def _connection(self) -> Connection:
        connection = self._find_connection()
        if connection is None:
            raise UpstreamError("it is not connected now", subject=self.name, retryable=True)
        return connection


def _names(entry: _Entry) -> set[str]:
    return {entry.kind.lower(), entry.name, entry.singular_name or "", *(entry.short_names or ())}
