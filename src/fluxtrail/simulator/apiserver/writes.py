"""What an API server makes of an object it is given: pure functions from (old, given) to the object to store.

Objects here carry neither apiVersion nor kind: the same stored object is served under every version.
"""

from __future__ import annotations

import re
from typing import Any

from fluxtrail.simulator.apiserver.merging import nulls
from fluxtrail.simulator.apiserver.resources import NAMESPACES, ResourceDefinition
from fluxtrail.simulator.apiserver.statuses import bad_request, conflict, invalid
from fluxtrail.simulator.apiserver.typed import Node

Object = dict[str, Any]

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_SERVER_FIELDS = ("generation", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion")
_DEPLOYMENTS = ("apps", "deployments")
_KEPT_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


def new_object(
    definition: ResourceDefinition, given: Object, *, name: str, namespace: str, uid: str, now: str, with_status: bool
) -> Object:
    """Return the object to store for a create.

    Args:
        definition: the resource.
        given: the request's object.
        name: generated where the request left it to the server.
        namespace: empty for a cluster-scoped resource.
        uid: the new identity.
        now: creation time as the API writes it.
        with_status: keep a given status, which the HTTP API never does where status is a subresource.

    Raises:
        StatusError: 422, the name is not one.
    """
    check_name(definition, name)
    metadata = {key: value for key, value in _metadata(given).items() if key not in _SERVER_FIELDS}
    metadata |= {"name": name, "uid": uid, "creationTimestamp": now}
    if namespace:
        metadata["namespace"] = namespace
    if definition.has_generation:
        metadata["generation"] = 1
    body = {"metadata": metadata} | _content(given)
    if definition.status_subresource and not with_status:
        body.pop("status", None)
    if definition.id == NAMESPACES.id:
        metadata["labels"] = {"kubernetes.io/metadata.name": name} | (metadata.get("labels") or {})
        body |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    return with_defaults(definition, body)


def check_name(definition: ResourceDefinition, name: str) -> None:
    if not _SUBDOMAIN.match(name) or len(name) > 253:
        why = (
            f'Invalid value: "{name[:253]}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
            "characters, '-' or '.', and must start and end with an alphanumeric character"
        )
        raise invalid(definition.group, definition.kind, name, [("FieldValueInvalid", "metadata.name", why)])


def with_defaults(definition: ResourceDefinition, body: Object) -> Object:
    """Fill in the defaults of the resource's schema, in place."""
    spec = body.get("spec")
    if definition.spec_defaults and isinstance(spec, dict):
        body["spec"] = spec | {key: value for key, value in definition.spec_defaults.items() if spec.get(key) is None}
    if definition.status_default and body.get("status") is None:
        body["status"] = dict(definition.status_default)
    return body


def cleared(definition: ResourceDefinition, name: str, node: Node, applied: Object) -> Object:
    """Return what an apply made without the nulls that stand for what was taken out of it.

    Raises:
        StatusError: 422, a null where the schema has a value: what a field of an object was emptied by.
    """
    result = {key: value for key, value in applied.items() if value is not None}
    result["metadata"] = {key: value for key, value in (result.get("metadata") or {}).items() if value is not None}
    fields = nulls(node, {key: value for key, value in result.items() if key != "metadata"})
    if fields and definition.custom:
        causes = [
            ("FieldValueTypeInvalid", field, f'Invalid value: "null": {field} in body must be of type {kind}: "null"')
            for field, kind in fields
        ]
        raise invalid(definition.group, definition.kind, name, causes)
    return result


def changed_object(definition: ResourceDefinition, old: Object, given: Object, *, subresource: str = "") -> Object:
    """Return the object to store for an update; equal to `old` when nothing changes.

    On the main resource a status that is a subresource is ignored; on `/status` everything else is.
    The generation grows with what is neither metadata nor such a status.

    Raises:
        StatusError: 409 for another uid or a resourceVersion that is not the present one.
    """
    _check_preconditions(definition, old, _metadata(given))
    if subresource == "status":
        body = {key: value for key, value in old.items() if key != "status"}
        if given.get("status") is not None:
            body["status"] = given["status"]
        if definition.id == _DEPLOYMENTS and (annotations := _metadata(given).get("annotations")) is not None:
            # Their status carries annotations: the revision is written so (strategy.go, deploymentStatusStrategy).
            body["metadata"] = body["metadata"] | {"annotations": annotations}
        return with_defaults(definition, body)
    body = {"metadata": _updated_metadata(definition, old["metadata"], _metadata(given))} | _content(given)
    if definition.status_subresource:
        body.pop("status", None)
        if "status" in old:
            body["status"] = old["status"]
    with_defaults(definition, body)
    if definition.has_generation and _is_new_generation(definition, old, body):
        body["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    return body


def marked_for_deletion(
    definition: ResourceDefinition, old: Object, *, deadline: str, grace_seconds: int = 0
) -> Object:
    """Return the object as it waits for its finalizers, or for what holds it until `deadline`."""
    metadata = old["metadata"] | {"deletionTimestamp": deadline, "deletionGracePeriodSeconds": grace_seconds}
    if definition.has_generation:
        metadata["generation"] = metadata.get("generation", 0) + 1
    return old | {"metadata": metadata}


def is_ready_to_go(body: Object) -> bool:
    """Whether a deleted object's last finalizer is gone, and nobody was given time to end it."""
    metadata = body["metadata"]
    has_time = bool(metadata.get("deletionGracePeriodSeconds"))
    return "deletionTimestamp" in metadata and not has_time and not metadata.get("finalizers")


def _is_new_generation(definition: ResourceDefinition, old: Object, new: Object) -> bool:
    ignored = {"metadata", "status"} if definition.status_subresource else {"metadata"}
    if any(old.get(key) != new.get(key) for key in (old.keys() | new.keys()) - ignored):
        return True
    # Deployments alone count a change of annotations too (kubernetes pkg/registry/apps/deployment/strategy.go).
    return definition.id == _DEPLOYMENTS and (
        (old["metadata"].get("annotations") or {}) != (new["metadata"].get("annotations") or {})
    )


def _updated_metadata(definition: ResourceDefinition, old: Object, given: Object) -> Object:
    metadata = {key: value for key, value in given.items() if key not in _KEPT_FIELDS and key != "selfLink"}
    metadata |= {key: old[key] for key in _KEPT_FIELDS if key in old}
    metadata |= {key: old[key] for key in ("name", "namespace", "resourceVersion") if key in old}
    if "deletionTimestamp" in old:
        _check_finalizers(definition, old, metadata)
    return metadata


def _check_finalizers(definition: ResourceDefinition, old: Object, new: Object) -> None:
    added = sorted(set(new.get("finalizers") or []) - set(old.get("finalizers") or []))
    if added:
        why = f"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {added}"
        cause = ("FieldValueForbidden", "metadata.finalizers", why)
        raise invalid(definition.group, definition.kind, old["name"], [cause])


def _check_preconditions(definition: ResourceDefinition, old: Object, given: Object) -> None:
    present = old["metadata"]
    name = present["name"]
    uid = given.get("uid")
    if uid and uid != present["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {present['uid']}"
        raise conflict(definition, name, why)
    version = given.get("resourceVersion")
    if version and version != present["resourceVersion"]:
        raise conflict(definition, name)


def _metadata(given: Object) -> Object:
    metadata = given.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise bad_request("the object provided is unrecognized: metadata is not an object")
    return metadata


def _content(given: Object) -> Object:
    return {key: value for key, value in given.items() if key not in {"apiVersion", "kind", "metadata"}}
