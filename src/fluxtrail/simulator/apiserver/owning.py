"""What a write makes of an object and of the owners it tells of: the step between a request and what is stored."""

from __future__ import annotations

from typing import Any

from fluxtrail.simulator.apiserver.ownership import (
    Author,
    applied,
    is_same,
    read_owners,
    updated_owners,
    with_owners,
)
from fluxtrail.simulator.apiserver.resources import ResourceDefinition
from fluxtrail.simulator.apiserver.statuses import conflict
from fluxtrail.simulator.apiserver.typed import Node
from fluxtrail.simulator.apiserver.writes import changed_object, cleared

Object = dict[str, Any]

_IDENTITY = ("name", "namespace", "uid", "resourceVersion")
_NO_MORE: list[Object] = [{}]
"""As `managedFields` of an update: the object tells of no owners from now on."""


def created(node: Node, body: Object, author: Author) -> Object:
    """Return a new object as its author owns it."""
    return with_owners(body, updated_owners(node, {}, body, {}, author))


def updated(node: Node, old: Object, body: Object, author: Author) -> Object:
    """Return what an update makes of an object that tells of owners; one that tells of none never begins to."""
    given = body["metadata"].get("managedFields")
    if given == _NO_MORE:
        return with_owners(body, {})
    owners = read_owners(old)
    if given and given != old["metadata"].get("managedFields"):
        owners = read_owners(body) or owners
    if not owners:
        return with_owners(body, {})
    after = updated_owners(node, old, body, owners, author)
    return with_owners(body, owners if is_same(owners, after) else after)


def first_applied(definition: ResourceDefinition, node: Node, name: str, config: Object, author: Author) -> Object:
    """Return what an apply creates.

    Raises:
        StatusError: 409, a uid is named, and there is no object; 422, 500: it is not as its schema says.
    """
    if uid := (config.get("metadata") or {}).get("uid"):
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(definition, name, why)
    given, owners = applied(node, {}, _applicable(definition, config, ""), {}, author, force=False)
    return with_owners(cleared(definition, name, node, given), owners)


def next_applied(
    definition: ResourceDefinition, node: Node, old: Object, config: Object, author: Author, *, force: bool
) -> Object | None:
    """Return what an apply makes of an object, or None where it changes nothing.

    Raises:
        StatusError: 409 with the fields that others own, or for another version; 422, 500: not as its schema says.
    """
    owners = read_owners(old)
    config = _applicable(definition, config, author.subresource)
    given, after = applied(node, old, config, owners, author, force=force)
    given = cleared(definition, old["metadata"]["name"], node, given)
    body = changed_object(definition, old, given, subresource=author.subresource)
    if _unowned(body) == _unowned(old) and is_same(owners, after):
        return None
    return with_owners(body, after)


def _applicable(definition: ResourceDefinition, config: Object, subresource: str) -> Object:
    """Leave out of a configuration what is not written there: a status beside the object, all else in it."""
    if subresource:
        metadata = {key: value for key, value in (config.get("metadata") or {}).items() if key in _IDENTITY}
        config = {key: value for key, value in config.items() if key in ("apiVersion", "kind", subresource)}
        return config | {"metadata": metadata}
    return {key: value for key, value in config.items() if key != "status" or not definition.status_subresource}


def _unowned(body: Object) -> Object:
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return body | {"metadata": metadata}
