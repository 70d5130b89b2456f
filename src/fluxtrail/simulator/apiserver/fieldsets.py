"""Sets of fields, as `metadata.managedFields` lists them: who owns what of an object.

A path is a tuple of steps in the form of the wire: `f:name` a field, `k:{"name":"x"}` an item of a list with keys,
`v:"x"` a member of a set. A set of fields is a frozenset of paths; what owns a field does not own what lies below it.
Source: KEP-555; structured-merge-diff fieldpath/serialize-pe.go and pathelementmap.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

Path = tuple[str, ...]
FieldSet = frozenset[Path]
Object = dict[str, Any]

NOTHING: FieldSet = frozenset()

_ORDER = {"f": 0, "k": 1, "v": 2, "i": 3}


def field_step(name: str) -> str:
    return f"f:{name}"


def item_step(keys: Object) -> str:
    """Return the step to the item of a list whose keys have these values."""
    return "k:" + json.dumps(keys, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def member_step(value: Any) -> str:
    """Return the step to a member of a set."""
    return "v:" + json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def encode_fields(fields: FieldSet) -> Object:
    """Return `fieldsV1`. A path that others go on from has an entry `.` of its own."""
    tree: Object = {}
    for path in fields:
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}
    return _pruned(tree)


def _pruned(tree: Object) -> Object:
    if set(tree) == {"."}:
        return {}
    return {step: _pruned(tree[step]) if step != "." else {} for step in sorted(tree)}


def decode_fields(fields: Any) -> FieldSet:
    """Return the set that `fieldsV1` says; of what is none, nothing."""
    found: set[Path] = set()
    _collect(fields if isinstance(fields, dict) else {}, (), found)
    return frozenset(found)


def _collect(tree: Object, path: Path, found: set[Path]) -> None:
    for step, below in tree.items():
        if step == ".":
            found.add(path)
        elif isinstance(below, dict) and below:
            _collect(below, (*path, step), found)
        else:
            found.add((*path, step))


def with_parents(fields: Iterable[Path]) -> FieldSet:
    """Return a set together with all that its fields lie in, but for items of lists, which are owned or are not.

    Source: structured-merge-diff fieldpath/set.go `EnsureNamedFieldsAreMembers`.
    """
    found = set(fields)
    for path in list(found):
        for end in range(1, len(path)):
            if path[end - 1].startswith("f:"):
                found.add(path[:end])
    return frozenset(found)


def in_order(fields: FieldSet) -> list[Path]:
    """Return the paths as messages list them: at each level what is owned itself, before what is owned below."""
    parents = {path[:end] for path in fields for end in range(1, len(path))}
    return sorted(fields, key=lambda path: [(_is_passed(path, end, parents), _rank(step)) for end, step in _ends(path)])


def _ends(path: Path) -> list[tuple[int, str]]:
    return list(enumerate(path, start=1))


def _is_passed(path: Path, end: int, parents: set[Path]) -> bool:
    return end < len(path) and path[:end] in parents


def _rank(step: str) -> tuple[int, str]:
    return _ORDER.get(step[:1], 4), step


def describe_path(path: Path) -> str:
    """Return a path for people: `.spec.ports[port=53,protocol="UDP"].note`."""
    return "".join(_described(step) for step in path)


def _described(step: str) -> str:
    kind, _, rest = step.partition(":")
    if kind == "k":
        keys = json.loads(rest).items()
        return "[" + ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in keys) + "]"
    if kind == "v":
        return f"[={rest}]"
    return f".{rest}" if kind == "f" else f"[{rest}]"
