"""Reads single objects, each by a GET of its own: as they are now, whatever a watch has or has not brought yet."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.discovery import Resource, find_resource
from fluxtrail.clusters.subjects import Subject
from fluxtrail.model.errors import NotFoundError
from fluxtrail.model.events import Event, WireEvents, project_events
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.projecting import project_custom
from fluxtrail.model.wire_workloads import WireCustom
from fluxtrail.model.workloads import Workload

T = TypeVar("T")

MAX_READS = 8
"""At one time."""

EVENTS_LIMIT_BYTES = 4 * 1024 * 1024
EVENTS_SECONDS = 10.0

_UID = re.compile(r"[A-Za-z0-9-]{1,128}")
"""Whatever is none would be a selector of its own."""

_NO_NAMES = frozenset({"", ".", ".."})
"""No object is named so, and the path would be another's."""

_Kind = tuple[str, str, tuple[str, ...]]


class ObjectReader:
    """One cluster's, for as long as its connection is good. Any number may read at once; MAX_READS get through."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._turns = asyncio.Semaphore(MAX_READS)
        self._resources: dict[_Kind, Resource] = {}

    async def read(self, subject: Subject[T], namespace: str, name: str) -> T | None:
        """Return an object as `subject` has it made, or None: it is not there, its kind is not served, or it is of no
        interest. Of the subject only the kind and the shapes count, no selector.

        Args:
            namespace: of no account for a kind that has none.

        Raises:
            UpstreamError: and its subclasses; it may be there or not. AuthError: it may not be read.
            WireError: the object has not the shape.
        """
        if name in _NO_NAMES or namespace in _NO_NAMES - {""}:
            return None
        kind = (subject.group, subject.kind, subject.versions)
        async with self._turns:
            held = self._resources.get(kind)
            wire = await self._get(held, namespace, name, subject.wire) if held is not None else None
            if wire is None:
                # Not there at that version: perhaps the kind is served at another one since.
                found = await self._find(kind)
                if found is None or found == held:
                    return None
                wire = await self._get(found, namespace, name, subject.wire)
        return None if wire is None else subject.project(wire)

    async def read_any(self, key: ObjectKey) -> Workload | None:
        """Return an object of a kind that is none of Kubernetes' own: what any controller says in the usual places,
        as `progress.observed_generation` and `progress.conditions`.

        Raises: as `read`.
        """
        subject: Subject[Workload] = Subject(
            group=key.group,
            kind=key.kind,
            versions=(),
            wire=WireCustom,
            project=partial(project_custom, group=key.group, kind=key.kind),
        )
        return await self.read(subject, key.namespace, key.name)

    async def list_events(self, namespace: str, uid: ObjectUid, *, limit: int) -> list[Event]:
        """Return events of one object, oldest first; of more than `limit`, those that the server has first.

        Args:
            namespace: the object's; of one without, events are in `default`.

        Raises: as `read`.
        """
        if not _UID.fullmatch(uid) or namespace in _NO_NAMES - {""}:
            return []
        path = f"/api/v1/namespaces/{quote(namespace or 'default', safe='')}/events"
        params = {"fieldSelector": f"involvedObject.uid={uid}", "limit": str(limit)}
        async with self._turns:
            page = await self._connection.get(
                path, WireEvents, params, limit_bytes=EVENTS_LIMIT_BYTES, timeout_seconds=EVENTS_SECONDS
            )
        return project_events(page, uid)

    async def _find(self, kind: _Kind) -> Resource | None:
        group, name, versions = kind
        self._resources.pop(kind, None)
        found = await find_resource(self._connection, group, name, versions)
        if found is not None:
            self._resources[kind] = found
        return found

    async def _get(self, resource: Resource, namespace: str, name: str, wire: type[Any]) -> Any:
        if resource.is_namespaced and not namespace:
            return None
        path = f"{resource.path(quote(namespace, safe=''))}/{quote(name, safe='')}"
        try:
            return await self._connection.get(path, wire)
        except NotFoundError:
            return None
