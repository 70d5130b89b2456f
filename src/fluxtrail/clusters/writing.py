"""What changes a cluster: applying an object, patching one, deleting one, and saying what was done as an Event.

Nothing here decides whether to write. Kinds are written at the version at which the server serves them; an object to
apply brings its own, and it has to be served.
Source: kubernetes.io "Server-Side Apply", "API concepts" (patches, dry-run, field validation).
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.discovery import Resource, find_resource
from fluxtrail.model.errors import ConfigError, ConflictError, NotFoundError, UpstreamError
from fluxtrail.model.observation import ObjectKey

Object = dict[str, Any]

WRITE_SECONDS = 30.0
OBJECT_LIMIT_BYTES = 8 * 1024 * 1024
EVENT_MESSAGE_LIMIT = 1024
"""Characters: what the server takes (core validation `NoteLengthLimit`)."""

_APPLY = "application/apply-patch+yaml"  # JSON is YAML; the name that servers before 1.32 know
_MERGE = "application/merge-patch+json"
_UNFIT = "failed to create typed patch object"  # apimachinery managedfields internal/structuredmerge.go
_NO_NAMES = frozenset({"", ".", ".."})


class NotServedError(NotFoundError):
    """The server has no such kind at that version: its CRD is not installed, or serves others."""


class UnfitObjectError(ConflictError):
    """The object has a field that its schema does not know, or of another type. A server says 500 to that, as if it
    were its own fault; the same object will be refused again.
    """


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """An Event to make: what was done to an object, or is wrong with it.

    `uid` is the object's: `kubectl describe` and `flux events` find an Event by it.
    """

    key: ObjectKey
    api_version: str
    uid: str
    reason: str
    message: str
    at: datetime
    is_warning: bool = False
    action: str = ""
    annotations: dict[str, str] = {}


class Writer:
    """Writes to one cluster as `field_manager`. Any number of writes may run at once.

    How a kind is served is asked once and kept; a kind that was not served is asked for again.

    Args:
        field_manager: the name our fields carry in `metadata.managedFields`, at most 128 characters.
    """

    def __init__(self, connection: Connection, *, field_manager: str = "fluxtrail") -> None:
        self._connection = connection
        self._field_manager = field_manager
        self._resources: dict[tuple[str, str, str], Resource] = {}

    @property
    def field_manager(self) -> str:
        return self._field_manager

    async def resource(self, group: str, kind: str, version: str = "") -> Resource:
        """Return how a kind is served, at `version` or at the server's preferred one.

        Raises:
            NotServedError: it is not.
            UpstreamError: the server could not say.
        """
        held = self._resources.get((group, kind, version))
        if held is None:
            held = await find_resource(self._connection, group, kind, (version,) if version else ())
            if held is None:
                raise _not_served(group, kind, version)
            self._resources[group, kind, version] = held
        return held

    async def read(self, key: ObjectKey, version: str = "") -> Object | None:
        """Return an object whole, as it is now, or None where there is none.

        Raises:
            NotServedError, UpstreamError: and its subclasses.
        """
        path = object_path(await self.resource(key.group, key.kind, version), key.namespace, key.name)
        try:
            return await self._connection.get(
                path, Object, limit_bytes=OBJECT_LIMIT_BYTES, timeout_seconds=WRITE_SECONDS
            )
        except NotFoundError:
            return None

    async def apply(self, obj: Mapping[str, Any], *, force: bool = False, dry_run: bool = False) -> Object:
        """Apply an object by server-side apply: create it, or take the fields that it names. Return it as stored.

        Fields that the schema does not know are refused, not dropped.

        Args:
            obj: with apiVersion, kind and name, of a namespaced kind with its namespace; `status` is no part of it.
            force: take fields from other managers too.
            dry_run: ask what would be stored; admission runs, nothing is written.

        Raises:
            ConfigError: the object does not say what it is.
            NotServedError: its kind is not served at its version.
            FieldConflictError: others own fields that would change; none did.
            UnfitObjectError: it is not as its schema says. ConflictError: 422, the object is not valid.
            UpstreamError: and its subclasses. It may have been stored all the same where no answer came.
        """
        group, version, kind = _identity(obj)
        metadata = obj["metadata"]
        resource = await self.resource(group, kind, version)
        path = object_path(resource, str(metadata.get("namespace") or ""), str(metadata["name"]))
        params = {"fieldManager": self._field_manager, "force": "true" if force else "false"}
        params |= {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        try:
            return await self._connection.patch(
                path, obj, Object, params, content_type=_APPLY, timeout_seconds=WRITE_SECONDS
            )
        except UpstreamError as error:
            if error.status == 500 and _UNFIT in error.message:
                why = error.message.partition("): ")[2] or error.message
                raise UnfitObjectError(
                    f"is not as the schema of its kind says: {why}", status=500, subject=error.subject
                ) from error
            raise

    async def merge_patch(
        self,
        key: ObjectKey,
        patch: Mapping[str, Any],
        *,
        resource_version: str = "",
        uid: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Merge `patch` (RFC 7396) into an object; return it as stored.

        Args:
            resource_version: what was decided on; the object must still be at it. Empty: whatever it is now.
            uid: the object must still be this very one.

        Raises:
            NotServedError: its kind is not served.
            NotFoundError: there is no such object.
            ConflictError: a precondition does not hold (409), or the result is not valid (422).
            UpstreamError: and its subclasses. It may have been stored all the same where no answer came.
        """
        path = object_path(await self.resource(key.group, key.kind), key.namespace, key.name)
        preconditions = {name: value for name, value in (("resourceVersion", resource_version), ("uid", uid)) if value}
        body = dict(patch)
        if preconditions:
            body["metadata"] = {**(body.get("metadata") or {}), **preconditions}
        params = {"fieldManager": self._field_manager} | ({"dryRun": "All"} if dry_run else {})
        return await self._connection.patch(
            path, body, Object, params, content_type=_MERGE, timeout_seconds=WRITE_SECONDS
        )

    async def delete(self, key: ObjectKey, *, uid: str, resource_version: str = "", dry_run: bool = False) -> None:
        """Delete the object that was looked at, and no later one of its name. What it owns goes in the background.

        Raises: as `merge_patch`.
        """
        path = object_path(await self.resource(key.group, key.kind), key.namespace, key.name)
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        options: Object = {"preconditions": preconditions, "propagationPolicy": "Background"}
        if dry_run:
            options["dryRun"] = ["All"]
        params = {"dryRun": "All"} if dry_run else None
        await self._connection.delete(path, options, params, timeout_seconds=WRITE_SECONDS)

    async def create_event(self, occurrence: Occurrence, *, component: str = "fluxtrail") -> None:
        """Say what happened as a core Event in the object's namespace.

        Raises:
            UpstreamError: and its subclasses.
        """
        event = _event(occurrence, component)
        namespace = quote(event["metadata"]["namespace"], safe="")
        path = f"/api/v1/namespaces/{namespace}/events"
        await self._connection.create(path, event, Object, timeout_seconds=WRITE_SECONDS)


def object_path(resource: Resource, namespace: str, name: str) -> str:
    """Return the path of an object. Names are anybody's: none leads to another path.

    Raises:
        ConfigError: it has no name, or no namespace where its kind needs one.
    """
    subject = f"{resource.kind}/{namespace}/{name}" if namespace else f"{resource.kind}/{name}"
    if name in _NO_NAMES:
        raise ConfigError(f"metadata.name {name!r} names no object", subject=subject)
    if resource.is_namespaced and namespace in _NO_NAMES:
        raise ConfigError("metadata.namespace is missing; name one, or give -n", subject=subject)
    return f"{resource.path(quote(namespace, safe='') or None)}/{quote(name, safe='')}"


def split_api_version(api_version: str) -> tuple[str, str]:
    """Return (group, version) of an `apiVersion`; the core group is empty."""
    group, _, version = api_version.rpartition("/")
    return group, version


def _identity(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    api_version, kind, metadata = obj.get("apiVersion"), obj.get("kind"), obj.get("metadata")
    if not isinstance(api_version, str) or not isinstance(kind, str) or not api_version or not kind:
        raise ConfigError("apiVersion and kind must both be given", subject=str(kind or api_version or "object")[:200])
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        raise ConfigError("metadata.name must be given", subject=kind[:200])
    return (*split_api_version(api_version), kind)


def _not_served(group: str, kind: str, version: str) -> NotServedError:
    name = f"{kind}.{group}" if group else kind
    where = f"{group}/{version}" if group and version else group or version or "v1"
    return NotServedError(
        f"the server does not serve {name} ({where}); install its CRD, or write another apiVersion", subject=name
    )


def _event(occurrence: Occurrence, component: str) -> Object:
    """Source: client-go tools/record `makeEvent`; an Event about what has no namespace is in `default`."""
    key, at = occurrence.key, occurrence.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata: Object = {"name": f"{key.name[:200]}.{secrets.token_hex(8)}", "namespace": key.namespace or "default"}
    if occurrence.annotations:
        metadata["annotations"] = dict(occurrence.annotations)
    event: Object = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": metadata,
        "involvedObject": {
            "apiVersion": occurrence.api_version,
            "kind": key.kind,
            "name": key.name,
            "namespace": key.namespace,
            "uid": occurrence.uid,
        },
        "reason": occurrence.reason,
        "message": occurrence.message[:EVENT_MESSAGE_LIMIT],
        "type": "Warning" if occurrence.is_warning else "Normal",
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": component,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
    if occurrence.action:
        event["action"] = occurrence.action
    if not key.namespace:
        del event["involvedObject"]["namespace"]
    return event
