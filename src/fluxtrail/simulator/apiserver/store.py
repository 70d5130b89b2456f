"""The server's storage: one growing resourceVersion, a table a resource, and the writes that keep them right.

Methods that return dictionaries are for simulated controllers; `*_entry` methods, which return stored bytes,
are for the HTTP side. Everything happens in one event loop, so no method waits and none needs a lock.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from fluxtrail.simulator.apiserver import owning, writes
from fluxtrail.simulator.apiserver.catalog import Catalog
from fluxtrail.simulator.apiserver.crds import crd_object, definition_of, established_status, schema_of
from fluxtrail.simulator.apiserver.ownership import Author
from fluxtrail.simulator.apiserver.patches import merge_patch
from fluxtrail.simulator.apiserver.resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, ResourceDefinition
from fluxtrail.simulator.apiserver.selectors import parse_label_selector
from fluxtrail.simulator.apiserver.statuses import already_exists, bad_request, invalid, not_found
from fluxtrail.simulator.apiserver.subscription import Subscription
from fluxtrail.simulator.apiserver.table import Change, ChangeType, Entry, Table, object_key
from fluxtrail.simulator.apiserver.typed import Node, builtin_node, custom_node

Object = dict[str, Any]
Resource = str | ResourceDefinition

_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_ENCODER = msgspec.json.Encoder()
_SORTED_ENCODER = msgspec.json.Encoder(order="deterministic")


class Writing(NamedTuple):
    """How a write is meant: `manager` is who owns its fields afterwards; of a dry run nothing is stored.

    Without a manager fields are followed only where an object tells of owners already.
    """

    manager: str = ""
    version: str = ""
    is_dry: bool = False


_PLAIN = Writing()
_NOBODY = "simulator"


class Snapshot(NamedTuple):
    """A backup: what `Store.restore` goes back to."""

    resource_version: int
    objects: dict[tuple[str, str], dict[str, Entry]]


class Store:
    """All objects of one simulated cluster.

    Args:
        catalog: the resources served.
        clock: returns aware datetimes; dates creation and deletion, so a scaled clock may be used.
        history_limit: changes remembered for each resource, at least.
        seed: makes uids and generated names repeatable.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        clock: Callable[[], datetime],
        history_limit: int = 10_000,
        seed: int | None = None,
    ) -> None:
        self.catalog = catalog
        self.resource_version = 0
        self._clock = clock
        self._history_limit = history_limit
        self._random = random.Random(seed)  # noqa: S311 - names of simulated objects, not secrets
        self._tables: dict[tuple[str, str], Table] = {}
        self._nodes: dict[tuple[str, str, str], tuple[int, Node]] = {}

    # The in-process API. A `manager` named here owns what it writes, as one that writes over HTTP does.

    def create(self, resource: Resource, obj: Object, *, with_status: bool = False, manager: str = "") -> Object:
        """Create an object and return it as stored.

        Raises:
            StatusError: 409 it exists, 422 its name is not one.
        """
        definition = self.catalog.get(resource)
        entry = self.create_entry(definition, obj, with_status=with_status, writing=Writing(manager))
        return self.decode(definition, entry)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """Return a copy of an object.

        Raises:
            StatusError: 404.
        """
        definition = self.catalog.get(resource)
        return self.decode(definition, self.get_entry(definition, name, namespace))

    def find(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        definition = self.catalog.get(resource)
        entry = self.table(definition).objects.get(object_key(namespace, name))
        return None if entry is None else self.decode(definition, entry)

    def list(self, resource: Resource, namespace: str = "", *, label_selector: str = "") -> list[Object]:
        """Return copies of the objects of one namespace, or of all for an empty one, in key order."""
        definition = self.catalog.get(resource)
        test = parse_label_selector(label_selector)
        page = self.table(definition).page(namespace=namespace, is_selected=test and (lambda e: test(e.labels)))
        return [self.decode(definition, entry) for entry in page.entries]

    def update(self, resource: Resource, obj: Object, *, subresource: str = "", manager: str = "") -> Object:
        """Replace an object (`subresource="status"`: its status). A stale resourceVersion in it is a conflict."""
        definition = self.catalog.get(resource)
        name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
        writing = Writing(manager)
        entry = self.update_entry(definition, name, namespace, lambda _: obj, subresource=subresource, writing=writing)
        return self.decode(definition, entry)

    def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: Object,
        *,
        subresource: str = "",
        manager: str = "",
    ) -> Object:
        """Merge `patch` (RFC 7396) into an object and return the result."""
        definition = self.catalog.get(resource)
        writing = Writing(manager)
        entry = self.update_entry(
            definition, name, namespace, lambda old: merge_patch(old, patch), subresource=subresource, writing=writing
        )
        return self.decode(definition, entry)

    def patch_status(self, resource: Resource, name: str, namespace: str, status: Object) -> Object:
        """Merge `status` into an object's status and return the object."""
        return self.patch(resource, name, namespace, {"status": status}, subresource="status")

    def delete(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Delete an object; one with finalizers stays, marked, until they are gone."""
        self.delete_entry(self.catalog.get(resource), name, namespace)

    def begin_deletion(self, resource: Resource, name: str, namespace: str, *, grace_seconds: int) -> None:
        """Mark an object as going, as the deletion of a running pod does; it stays until `delete`."""
        definition = self.catalog.get(resource)
        previous = self.get_entry(definition, name, namespace)
        old = _body(previous)
        if "deletionTimestamp" not in old["metadata"]:
            deadline = _wire_time(self._clock() + timedelta(seconds=grace_seconds))
            body = writes.marked_for_deletion(definition, old, deadline=deadline, grace_seconds=grace_seconds)
            self._commit(definition, "MODIFIED", body, previous)

    def subscribe(self, resource: Resource, namespace: str = "") -> Subscription:
        """Return the changes of a resource from now on."""
        definition = self.catalog.get(resource)
        return Subscription(self, definition, self.table(definition), namespace)

    # What is served.

    def install(self, definition: ResourceDefinition) -> None:
        """Begin to serve a custom resource, or serve it as `definition` now says: watches on it end."""
        crd = crd_object(definition)
        if definition.qualified in self.table(CUSTOM_RESOURCE_DEFINITIONS).objects:
            self.update_entry(CUSTOM_RESOURCE_DEFINITIONS, definition.qualified, "", lambda old: old | crd)
        else:
            self.create_entry(CUSTOM_RESOURCE_DEFINITIONS, crd)

    def uninstall(self, resource: Resource) -> None:
        """Stop serving a custom resource: its objects are deleted, its watches end."""
        self.delete_entry(CUSTOM_RESOURCE_DEFINITIONS, self.catalog.get(resource).qualified, "")

    def set_versions(self, resource: Resource, *versions: str) -> None:
        """Serve a resource in these versions only, the preferred one first; its storage stays."""
        self.install(self.catalog.with_versions(resource, versions))

    # History.

    def compact(self, resource: Resource | None = None) -> None:
        """Forget all changes so far: whoever resumes from before now gets 410."""
        tables = self._tables.values() if resource is None else [self.table(self.catalog.get(resource))]
        for table in tables:
            table.compact(self.resource_version)

    def snapshot(self) -> Snapshot:
        return Snapshot(self.resource_version, {key: dict(table.objects) for key, table in self._tables.items()})

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a backup: objects and resourceVersions both, as an etcd restore does."""
        self.resource_version = snapshot.resource_version
        for key, table in self._tables.items():
            table.replace(snapshot.objects.get(key, {}), floor=snapshot.resource_version)

    def advance(self) -> None:
        """Let the resourceVersion grow without a change, as a real server's own lease does every ten seconds."""
        self.resource_version += 1

    # The side that speaks HTTP.

    def table(self, definition: ResourceDefinition) -> Table:
        table = self._tables.get(definition.id)
        if table is None:
            table = Table(floor=self.resource_version, history_limit=self._history_limit)
            self._tables[definition.id] = table
        return table

    def decode(self, definition: ResourceDefinition, entry: Entry, version: str = "") -> Object:
        """Return a fresh dictionary of an entry, under the preferred or the given version."""
        head = {"apiVersion": definition.api_version(version or definition.versions[0]), "kind": definition.kind}
        return head | _body(entry)

    def get_entry(self, definition: ResourceDefinition, name: str, namespace: str) -> Entry:
        entry = self.table(definition).objects.get(object_key(namespace, name))
        if entry is None:
            raise not_found(definition, name)
        return entry

    def create_entry(
        self,
        definition: ResourceDefinition,
        obj: Object,
        *,
        with_status: bool = False,
        writing: Writing = _PLAIN,
    ) -> Entry:
        metadata = obj.get("metadata") or {}
        namespace = (metadata.get("namespace") or "default") if definition.namespaced else ""
        name = metadata.get("name") or self._generated_name(definition, metadata.get("generateName"))
        if object_key(namespace, name) in self.table(definition).objects:
            raise already_exists(definition, name)
        body = writes.new_object(
            definition,
            obj,
            name=name,
            namespace=namespace,
            uid=self._new_uid(),
            now=self._now(),
            with_status=with_status,
        )
        if writing.manager:
            author = self._author(definition, writing, "")
            body = owning.created(self._node(definition, author.api_version), body, author)
        return self._commit(definition, "ADDED", body, None, is_dry=writing.is_dry)

    def apply_entry(
        self,
        definition: ResourceDefinition,
        name: str,
        namespace: str,
        config: Object,
        *,
        writing: Writing,
        subresource: str = "",
        force: bool = False,
    ) -> tuple[Entry, bool]:
        """Apply a configuration by server-side apply; return the object, and whether it is new.

        Raises:
            StatusError: 404, 409 with the fields that others own, 422, and 500 for what its schema does not know.
        """
        previous = self.table(definition).objects.get(object_key(namespace, name))
        author = self._author(definition, writing, subresource)
        node = self._node(definition, author.api_version)
        if previous is None:
            if subresource:
                raise not_found(definition, name)
            given = owning.first_applied(definition, node, name, config, author)
            body = writes.new_object(
                definition,
                given,
                name=name,
                namespace=namespace,
                uid=self._new_uid(),
                now=self._now(),
                with_status=False,
            )
            return self._commit(definition, "ADDED", body, None, is_dry=writing.is_dry), True
        old = _body(previous)
        changed = owning.next_applied(definition, node, old, config, author, force=force)
        if changed is None:
            return previous, False
        kind: ChangeType = "DELETED" if writes.is_ready_to_go(changed) else "MODIFIED"
        return self._commit(definition, kind, changed, previous, is_dry=writing.is_dry), False

    def update_entry(
        self,
        definition: ResourceDefinition,
        name: str,
        namespace: str,
        change: Callable[[Object], Object],
        *,
        subresource: str = "",
        writing: Writing = _PLAIN,
    ) -> Entry:
        """Store what `change` makes of the present object; nothing happens when that is the same.

        Args:
            definition: the resource.
            name: of the object.
            namespace: empty for a cluster-scoped resource.
            change: gets a copy with apiVersion and kind, returns the whole new object.
            subresource: `status`, or empty.
            writing: who writes.

        Raises:
            StatusError: 404, 409, and what `change` raises.
        """
        previous = self.get_entry(definition, name, namespace)
        old = _body(previous)
        given = change(self.decode(definition, previous))
        if not isinstance(given, dict):
            raise bad_request("the object provided is unrecognized: not an object")
        body = writes.changed_object(definition, old, given, subresource=subresource)
        if "managedFields" in old["metadata"] or "managedFields" in body["metadata"]:
            author = self._author(definition, writing, subresource)
            body = owning.updated(self._node(definition, author.api_version), old, body, author)
        if body == old:
            return previous
        kind: ChangeType = "DELETED" if writes.is_ready_to_go(body) else "MODIFIED"
        return self._commit(definition, kind, body, previous, is_dry=writing.is_dry)

    def delete_entry(self, definition: ResourceDefinition, name: str, namespace: str) -> tuple[Entry, bool]:
        """Delete an object; return its last state, and whether it is gone (no finalizer holds it)."""
        previous = self.get_entry(definition, name, namespace)
        old = _body(previous)
        if old["metadata"].get("finalizers"):
            if "deletionTimestamp" in old["metadata"]:
                return previous, False
            body = writes.marked_for_deletion(definition, old, deadline=self._now())
            return self._commit(definition, "MODIFIED", body, previous), False
        if definition.id == NAMESPACES.id:
            self._empty_namespace(name)
        return self._remove(definition, previous), True

    def insert_namespace(self, name: str, *, uid: str = "") -> None:
        """Create a namespace with a uid of the caller's choice, unless it exists."""
        if name in self.table(NAMESPACES).objects:
            return
        body = writes.new_object(
            NAMESPACES,
            {},
            name=name,
            namespace="",
            uid=uid or self._new_uid(),
            now=self._now(),
            with_status=False,
        )
        self._commit(NAMESPACES, "ADDED", body, None)

    def _empty_namespace(self, namespace: str) -> None:
        for definition in list(self.catalog):
            if definition.namespaced:
                for entry in self.table(definition).page(namespace=namespace).entries:
                    self._remove(definition, entry)

    def _remove(self, definition: ResourceDefinition, previous: Entry) -> Entry:
        return self._commit(definition, "DELETED", _body(previous), previous)

    def _author(self, definition: ResourceDefinition, writing: Writing, subresource: str) -> Author:
        version = definition.api_version(writing.version or definition.versions[0])
        return Author(writing.manager or _NOBODY, version, self._now(), subresource)

    def _node(self, definition: ResourceDefinition, api_version: str) -> Node:
        """Return the schema of a resource: that of its CustomResourceDefinition, read once for each state of it."""
        if not definition.custom:
            return builtin_node(definition.kind)
        crd = self.table(CUSTOM_RESOURCE_DEFINITIONS).objects.get(definition.qualified)
        state = crd.resource_version if crd is not None else 0
        key = (*definition.id, api_version)
        held = self._nodes.get(key)
        if held is None or held[0] != state:
            version = api_version.rpartition("/")[2]
            held = state, custom_node(schema_of(_body(crd), version) if crd is not None else None)
            self._nodes[key] = held
        return held[1]

    def _new_uid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _commit(
        self,
        definition: ResourceDefinition,
        kind: ChangeType,
        body: Object,
        previous: Entry | None,
        *,
        is_dry: bool = False,
    ) -> Entry:
        declared = definition_of(body) if definition.id == CUSTOM_RESOURCE_DEFINITIONS.id else None
        if declared is not None and kind == "ADDED":
            body["status"] = established_status(body, self._now())
        metadata = body["metadata"]
        if is_dry:
            version = previous.resource_version if previous is not None else 0
            metadata.pop("resourceVersion", None)
        else:
            self.resource_version += 1
            version = self.resource_version
        if version:
            metadata["resourceVersion"] = str(version)
        encoder = _SORTED_ENCODER if definition.custom else _ENCODER
        entry = Entry(
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            uid=metadata["uid"],
            resource_version=version,
            labels=_labels(metadata),
            tail=encoder.encode(body)[1:],
        )
        if is_dry:
            return entry
        self.table(definition).apply(Change(kind, entry, previous))
        if declared is not None:
            self._serve(declared, is_gone=kind == "DELETED")
        return entry

    def _serve(self, declared: ResourceDefinition, *, is_gone: bool) -> None:
        """Follow a CustomResourceDefinition. The real server ends a resource's watches at every change of it."""
        present = self.catalog.find_any(declared.id)
        if is_gone:
            if present is not None:
                table = self.table(present)
                for key in list(table.objects):
                    self._remove(present, table.objects[key])
                self.catalog.remove(present)
                self._tables.pop(present.id).close()
        elif present != declared:
            self.catalog.put(declared)
            self.table(declared).restart()

    def _generated_name(self, definition: ResourceDefinition, prefix: Any) -> str:
        if not isinstance(prefix, str) or not prefix:
            why = "Required value: name or generateName is required"
            raise invalid(definition.group, definition.kind, "", [("FieldValueRequired", "metadata.name", why)])
        return prefix + "".join(self._random.choices(_NAME_LETTERS, k=5))

    def _now(self) -> str:
        return _wire_time(self._clock())


def _wire_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _body(entry: Entry) -> Object:
    body: Object = msgspec.json.decode(b"{" + entry.tail)
    return body


def _labels(metadata: Object) -> dict[str, str]:
    labels = metadata.get("labels") or {}
    return {key: value for key, value in labels.items() if isinstance(value, str)}
