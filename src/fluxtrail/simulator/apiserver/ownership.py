"""Who owns which fields of an object: `metadata.managedFields`, and what an update or an apply does to them.

Source: KEP-555; apimachinery pkg/util/managedfields/internal and structured-merge-diff merge/update.go, whose
behaviour this is. There is one version of each object here, so fields are never converted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fluxtrail.simulator.apiserver.fieldsets import (
    NOTHING,
    FieldSet,
    Path,
    decode_fields,
    describe_path,
    encode_fields,
    in_order,
    with_parents,
)
from fluxtrail.simulator.apiserver.merging import changes, fields_of, merged, problems, without
from fluxtrail.simulator.apiserver.statuses import StatusError
from fluxtrail.simulator.apiserver.typed import Node

Object = dict[str, Any]

BEFORE_FIRST_APPLY = "before-first-apply"
_APPLY, _UPDATE = "Apply", "Update"
_SERVERS_OWN = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in ("name", "namespace", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
    }
    | {
        ("f:metadata", f"f:{name}")
        for name in ("selfLink", "uid", "generation", "managedFields", "resourceVersion", "generateName")
    }
)
"""Fields that nobody else owns (managedfields internal/stripmeta.go)."""


class Owner(NamedTuple):
    """A manager in one of its roles. `api_version` tells updates apart; an applier is one whatever it applies with."""

    manager: str
    operation: str
    subresource: str = ""
    api_version: str = ""

    def __str__(self) -> str:
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == _UPDATE else text


class Held(NamedTuple):
    fields: FieldSet
    api_version: str
    time: str = ""


Owners = Mapping[Owner, Held]


class Author(NamedTuple):
    """Who writes now."""

    manager: str
    api_version: str
    now: str
    subresource: str = ""

    def owner(self, operation: str) -> Owner:
        return Owner(self.manager, operation, self.subresource, self.api_version if operation == _UPDATE else "")


def read_owners(body: Object) -> Owners:
    """Return the owners an object tells of; entries that are none do not count."""
    found: dict[Owner, Held] = {}
    for entry in (body.get("metadata") or {}).get("managedFields") or ():
        if not isinstance(entry, dict) or entry.get("operation") not in (_APPLY, _UPDATE):
            continue
        operation, version = entry["operation"], str(entry.get("apiVersion", ""))
        owner = Owner(
            str(entry.get("manager", "")),
            operation,
            str(entry.get("subresource", "")),
            version if operation == _UPDATE else "",
        )
        found[owner] = Held(decode_fields(entry.get("fieldsV1")), version, str(entry.get("time") or ""))
    return found


def with_owners(body: Object, owners: Owners) -> Object:
    """Return an object that tells of these owners."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    entries = [_entry(owner, held) for owner, held in owners.items()]
    if entries:
        entries.sort(key=lambda e: (e["operation"], e.get("time", ""), e["manager"], e["apiVersion"]))
        metadata["managedFields"] = entries
    return body | {"metadata": metadata}


def _entry(owner: Owner, held: Held) -> Object:
    entry: Object = {"manager": owner.manager, "operation": owner.operation, "apiVersion": held.api_version}
    if held.time:
        entry["time"] = held.time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": encode_fields(held.fields)}
    return entry | ({"subresource": owner.subresource} if owner.subresource else {})


def is_same(owners: Owners, others: Owners) -> bool:
    """Whether the owners are the same, whatever the times."""
    return {o: h._replace(time="") for o, h in owners.items()} == {o: h._replace(time="") for o, h in others.items()}


def updated_owners(node: Node, old: Object, new: Object, owners: Owners, author: Author) -> Owners:
    """Return the owners after a write that is no apply: whoever changed a field owns it alone."""
    delta = changes(node, _plain(old), _plain(new))
    taken = _ownable(delta.added | delta.modified)
    left = _taken_away(owners, taken | delta.removed)
    if taken:
        owner = author.owner(_UPDATE)
        held = left.get(owner, Held(NOTHING, author.api_version)).fields
        left[owner] = Held(held | taken, author.api_version, author.now)
    return left


def applied(
    node: Node, live: Object, config: Object, owners: Owners, author: Author, *, force: bool
) -> tuple[Object, Owners]:
    """Return the object after an apply, and its owners. `live` is {} where there is none.

    Raises:
        StatusError: 500, the configuration is not as its schema says; 409, others own what would change.
    """
    _check_shape(node, config, author)
    if live and not owners:
        before = author._replace(manager=BEFORE_FIRST_APPLY, subresource="")
        owners = updated_owners(node, {}, {k: v for k, v in live.items() if k != "status"}, {}, before)
    owner = author.owner(_APPLY)
    last = owners.get(owner)
    wanted = _ownable(frozenset(fields_of(node, _plain(config))))
    result = merged(node, _plain(live), _plain(config))
    given_up = with_parents(last.fields) if last else NOTHING
    managed = with_parents(wanted.union(*(held.fields for other, held in owners.items() if other != owner)))
    result = without(node, result, given_up - managed) or {}
    delta = changes(node, _plain(live), result)
    changed = delta.added | delta.modified
    others = {other: held for other, held in owners.items() if other != owner}
    conflicts = {other: shared for other, held in others.items() if (shared := held.fields & changed)}
    if conflicts and not force:
        raise _conflict(conflicts)
    after = _taken_away(others, changed | delta.removed)
    is_changed = bool(changed or delta.removed)
    if wanted:
        after[owner] = Held(wanted, author.api_version, author.now if is_changed else (last.time if last else ""))
    return result, after


def _check_shape(node: Node, config: Object, author: Author) -> None:
    found = problems(node, config)
    if found:
        metadata = config.get("metadata") or {}
        group, _, version = author.api_version.rpartition("/")
        what = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {group}/{version}, Kind={config['kind']}"
        why = found[0] if len(found) == 1 else "errors:\n" + "\n".join(f"  {line}" for line in found)
        raise StatusError(500, "", f"failed to create typed patch object ({what}): {why}")


def _plain(body: Object) -> Object:
    """Leave out what is no field of the object but tells of it."""
    metadata = {key: value for key, value in (body.get("metadata") or {}).items() if key != "managedFields"}
    return {key: value for key, value in body.items() if key not in ("apiVersion", "kind")} | {"metadata": metadata}


def _ownable(fields: FieldSet) -> FieldSet:
    return frozenset(path for path in fields - _SERVERS_OWN if path)


def _taken_away(owners: Owners, fields: FieldSet) -> dict[Owner, Held]:
    left = {owner: held._replace(fields=held.fields - fields) for owner, held in owners.items()}
    return {owner: held for owner, held in left.items() if held.fields}


def _conflict(conflicts: Mapping[Owner, FieldSet]) -> StatusError:
    owned = {owner: in_order(fields) for owner, fields in sorted(conflicts.items(), key=lambda pair: str(pair[0]))}
    causes = [_cause(owner, path) for owner, paths in owned.items() for path in paths]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        parts = [_listed(owner, paths, describe_path) for owner, paths in owned.items()]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(parts)
    return StatusError(409, "Conflict", message, details={"causes": causes})


def _listed(owner: Owner, paths: list[Path], describe: Callable[[Path], str]) -> str:
    return f"conflicts with {owner}:\n" + "\n".join(f"- {describe(path)}" for path in paths)


def _cause(owner: Owner, path: Path) -> Object:
    return {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": describe_path(path)}
