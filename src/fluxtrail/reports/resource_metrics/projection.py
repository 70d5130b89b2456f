"""The shape an object is read in: of its JSON only what labels are made of becomes Python objects.

Each part of an object is decoded with a type made of the paths into it. Where an object has another type in some place
than its paths suppose, that part is decoded whole: labels are then found, or missing, as in any other object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from types import GenericAlias
from typing import Any, NamedTuple, TypedDict

import msgspec

from fluxtrail.clusters.deep import decode_deep
from fluxtrail.clusters.wire import ObjectMeta
from fluxtrail.reports.resource_metrics.paths import Path, is_index, lookup_of

Tree = dict[str, Any]
"""Step → what is read below it; nothing below a step that is read whole."""
_IDENTITY = {"name": "name", "namespace": "namespace", "uid": "uid", "resourceVersion": "resource_version"}
_NOTHING = b""
_any = msgspec.json.Decoder(Any)
_typed_dict: Any = TypedDict


class Identity(NamedTuple):
    name: str
    namespace: str
    uid: str


class Projection:
    """Reads objects of one kind.

    Attributes:
        wire: the Struct to decode an object into.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        tree = tree_of(paths)
        metadata = {step: below for step, below in tree.pop("metadata", {}).items() if step not in _IDENTITY}
        for known in ("apiVersion", "kind"):
            tree.pop(known, None)
        self._meta_parts = _Parts(metadata)
        self._parts = _Parts(tree)
        meta = msgspec.defstruct("Meta", self._meta_parts.fields(), bases=(ObjectMeta,))
        version = ("api_version", str | None, msgspec.field(default=None, name="apiVersion"))
        self.wire: type[Any] = msgspec.defstruct("WireResource", [("metadata", meta), version, *self._parts.fields()])

    def open(self, wire: Any) -> tuple[Identity, Callable[[], dict[str, Any]]]:
        """Return whose object it is, and what reads the rest as decoded JSON, without what nothing asks for.

        That raises msgspec.DecodeError where a part cannot be read at all.
        """
        meta = wire.metadata
        return Identity(meta.name or "", meta.namespace or "", meta.uid or ""), partial(self._read, wire)

    def _read(self, wire: Any) -> dict[str, Any]:
        meta = wire.metadata
        identity = {key: getattr(meta, field) for key, field in _IDENTITY.items()}
        return {
            "apiVersion": wire.api_version,
            "metadata": {**identity, **self._meta_parts.read(meta)},
            **self._parts.read(wire),
        }


class _Parts:
    """The fields of one Struct that are kept as bytes until they are decoded."""

    def __init__(self, tree: Tree) -> None:
        self._shapes = {f"part_{number}": (step, Shape(below)) for number, (step, below) in enumerate(tree.items())}

    def fields(self) -> list[tuple[str, Any, Any]]:
        empty = msgspec.Raw(_NOTHING)
        return [
            (field, msgspec.Raw, msgspec.field(default=empty, name=step)) for field, (step, _) in self._shapes.items()
        ]

    def read(self, wire: Any) -> dict[str, Any]:
        found = {}
        for field, (step, shape) in self._shapes.items():
            raw: msgspec.Raw = getattr(wire, field)
            if raw:
                found[step] = shape.decode(raw)
        return found


class Shape:
    """What is read of one value: what is at the paths of a tree, or everything where it is no such thing."""

    def __init__(self, tree: Tree) -> None:
        self._decoder = msgspec.json.Decoder(_type(tree))

    def decode(self, raw: msgspec.Raw) -> Any:
        try:
            return decode_deep(self._decoder, raw)
        except msgspec.ValidationError:
            return decode_deep(_any, raw)


def tree_of(paths: Iterable[Path]) -> Tree:
    """Return all paths as one tree. A path that ends where another goes on is read whole, and so are both."""
    tree: Tree = {}
    whole: list[Path] = []
    for path in sorted(set(paths), key=len):
        if any(path[: len(above)] == above for above in whole):
            continue
        below = tree
        for step in path:
            below = below.setdefault(step, {})
        whole.append(path)
    return tree


def _type(tree: Tree) -> Any:
    """Return the type of what is read below a step."""
    if not tree:
        return Any
    in_lists = [step for step in tree if is_index(step) or lookup_of(step) is not None]
    if len(in_lists) == len(tree):
        element = _element(tree)
        return GenericAlias(list, (_type(element) | None,)) | None if element else Any
    if in_lists or any("=" in step for step in tree):
        return Any
    return _typed_dict("Part", {step: _type(below) for step, below in tree.items()}, total=False) | None


def _element(tree: Tree) -> Tree:
    """Return what is read of an element of a list; nothing where some element is read whole."""
    merged: Tree = {}
    for step, below in tree.items():
        if not below:
            return {}
        _merge(merged, below)
        if (wanted := lookup_of(step)) is not None:
            merged.setdefault(wanted[0], {})
    return merged


def _merge(into: Tree, tree: Tree) -> None:
    for step, below in tree.items():
        if step in into and not (into[step] and below):
            into[step] = {}
        else:
            _merge(into.setdefault(step, {}), below)
