"""Objects by their schema: which fields one has, two merged, two compared, fields taken away. Nothing given is changed.

Source: structured-merge-diff typed/{tofieldset,merge,compare,remove,validate}.go, whose behaviour this is.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from fluxtrail.simulator.apiserver.fieldsets import (
    FieldSet,
    Path,
    describe_path,
    field_step,
    item_step,
    member_step,
)
from fluxtrail.simulator.apiserver.typed import ANY, Node

Object = dict[str, Any]


class Changes(NamedTuple):
    """The fields in which two objects differ."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet


def problems(node: Node, value: Any, path: Path = ()) -> list[str]:
    """Return in what a value is not as its schema says, one line each, in order of the paths."""
    where = describe_path(path)
    if value is None:
        return []
    if node.kind == "scalar":
        return [f"{where}: {why}"] if (why := _scalar_problem(node, value)) else []
    if node.kind in ("list", "map list", "set"):
        if not isinstance(value, list):
            return [f"{where}: expected list, got &{{{_shown(value)}}}"]
        found = [] if node.is_atomic else _duplicates(node, value, where)
        for position, item in enumerate(value):
            found += problems(node.element or ANY, item, (*path, f"i:{position}"))
        return found
    if node.kind == "object" and not isinstance(value, dict):
        return [f"{where}: expected map, got &{{{_shown(value)}}}"]
    found = []
    for name in sorted(value) if isinstance(value, dict) else ():
        below = node.field(name)
        step = (*path, field_step(name))
        found += (
            problems(below, value[name], step) if below else [f"{describe_path(step)}: field not declared in schema"]
        )
    return found


def _scalar_problem(node: Node, value: Any) -> str:
    match node.scalar:
        case "string" if not isinstance(value, str):
            return f"expected string, got &value.valueUnstructured{{Value:{_shown(value)}}}"
        case "numeric" if isinstance(value, bool) or not isinstance(value, int | float):
            return f"expected numeric (int or float), got {'string' if isinstance(value, str) else _shown(value)}"
        case "boolean" if not isinstance(value, bool):
            return f"expected boolean, got {'string' if isinstance(value, str) else _shown(value)}"
    return ""


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _duplicates(node: Node, items: list[Any], where: str) -> list[str]:
    seen: set[str] = set()
    for item in items:
        step = _step(node, item)
        if step in seen:
            return [f"{where}: duplicate entries for key {describe_path((step,))}"]
        seen.add(step)
    return []


def _step(node: Node, item: Any) -> str:
    if node.kind == "set":
        return member_step(item)
    keys = item if isinstance(item, dict) else {}
    return item_step({key: keys.get(key, node.key_defaults.get(key)) for key in node.keys})


def _is_merged_list(node: Node, value: Any) -> bool:
    return isinstance(value, list) and node.kind in ("map list", "set")


def _is_merged_object(node: Node, value: Any) -> bool:
    return isinstance(value, dict) and node.kind in ("object", "any") and not node.is_atomic


def _below(node: Node, name: str) -> Node:
    return node.field(name) or ANY


def _element(node: Node) -> Node:
    return node.element or ANY


def nulls(node: Node, value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return (path, type) of the fields that are null and declared to be something."""
    if node.kind != "object" or not isinstance(value, dict):
        return []
    found = []
    for name in sorted(value):
        below, where = _below(node, name), f"{path}.{name}" if path else name
        if value[name] is not None:
            found += nulls(below, value[name], where)
        elif below.kind in ("object", "scalar") and (below.scalar or below.kind == "object"):
            found.append((where, below.scalar or below.kind))
    return found


def fields_of(node: Node, value: Any, path: Path = ()) -> set[Path]:
    """Return the fields that somebody owns who applies `value`."""
    found: set[Path] = set()
    if _is_merged_object(node, value):
        for name, below in value.items():
            step = (*path, field_step(name))
            found |= fields_of(_below(node, name), below, step)
            if below is None or below == {} or not node.is_declared(name):
                found.add(step)
    elif _is_merged_list(node, value):
        for item in value:
            step = (*path, _step(node, item))
            found |= fields_of(_element(node), item, step)
            found.add(step)
    elif path and not (value is None and node.kind in ("object", "map list", "set")):
        found.add(path)
    return found


def merged(node: Node, live: Any, applied: Any) -> Any:
    """Return `live` with all of `applied` in it."""
    if _is_merged_object(node, live) and _is_merged_object(node, applied):
        result = dict(live)
        for name, value in applied.items():
            result[name] = merged(_below(node, name), live[name], value) if name in live else value
        return result
    if _is_merged_list(node, live) and _is_merged_list(node, applied):
        return _merged_list(node, live, applied)
    return applied


def _merged_list(node: Node, live: list[Any], applied: list[Any]) -> list[Any]:
    """The applied items in their order; what only the live list has stays behind what it followed there."""
    theirs = {_step(node, item): item for item in applied}
    ours = {_step(node, item): item for item in live}
    shared = [step for step in theirs if step in ours]
    result: list[Any] = []
    left = list(theirs)

    def take_applied() -> str:
        step = left.pop(0)
        result.append(merged(_element(node), ours[step], theirs[step]) if step in ours else theirs[step])
        if step in shared:
            shared.remove(step)
        return step

    for item in live:
        step = _step(node, item)
        if step not in theirs:
            result.append(item)
        elif shared and shared[0] == step:
            while left and take_applied() != step:
                pass
    while left:
        take_applied()
    return result


def changes(node: Node, old: Any, new: Any) -> Changes:
    """Return in which fields `new` differs from `old`."""
    added: set[Path] = set()
    modified: set[Path] = set()
    removed: set[Path] = set()
    _compare(node, old, new, (), added, modified, removed)
    return Changes(frozenset(added), frozenset(modified), frozenset(removed))


_ABSENT = object()


def _compare(
    node: Node, old: Any, new: Any, path: Path, added: set[Path], modified: set[Path], removed: set[Path]
) -> None:
    pairs = _pairs(node, old, new)
    if old is _ABSENT:
        added.add(path)
    elif new is _ABSENT:
        removed.add(path)
    elif pairs is None and old != new:
        modified.add(path)
    for step, below, left, right in pairs or ():
        _compare(below, left, right, (*path, step), added, modified, removed)


def _pairs(node: Node, old: Any, new: Any) -> list[tuple[str, Node, Any, Any]] | None:
    """Return what to compare below, or None where the two are compared as a whole."""
    given = [value for value in (old, new) if value is not _ABSENT and value is not None]
    if not any(given):
        return None  # both are empty: that is all there is to compare
    if all(_is_merged_object(node, value) for value in given):
        left, right = _or_empty(old, {}), _or_empty(new, {})
        names = dict.fromkeys([*left, *right])
        return [(field_step(n), _below(node, n), left.get(n, _ABSENT), right.get(n, _ABSENT)) for n in names]
    if all(_is_merged_list(node, value) for value in given):
        left = {_step(node, item): item for item in _or_empty(old, [])}
        right = {_step(node, item): item for item in _or_empty(new, [])}
        steps = dict.fromkeys([*left, *right])
        return [(s, _element(node), left.get(s, _ABSENT), right.get(s, _ABSENT)) for s in steps]
    return None


def _or_empty(value: Any, empty: Any) -> Any:
    return empty if value is _ABSENT or value is None else value


def without(node: Node, value: Any, fields: FieldSet, path: Path = ()) -> Any:
    """Return `value` without `fields`, and without all below them; what is emptied by that becomes null."""
    if _is_merged_object(node, value):
        kept = {
            name: without(_below(node, name), below, fields, (*path, field_step(name)))
            for name, below in value.items()
            if (*path, field_step(name)) not in fields
        }
        return kept if kept or not value else None
    if _is_merged_list(node, value):
        items = [
            without(_element(node), item, fields, (*path, step))
            for item in value
            if (*path, step := _step(node, item)) not in fields
        ]
        return items if items or not value else None
    return value
