"""The shape an object is read in: of its JSON only what labels are made of becomes Python objects.

Each part of an object is decoded with a type made of the paths into it. Where an object has another type in some place
than its paths suppose, that part is decoded whole: labels are then found, or missing, as in any other object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import GenericAlias
from typing import Any, TypedDict

import msgspec

from fluxtrail.clusters.wire import ObjectMeta
from fluxtrail.reports.resource_metrics.paths import Path, is_index, lookup_of

_Tree = dict[str, Any]
"""Step → what is read below it; nothing below a step that is read whole."""
_IDENTITY = {"name": "name", "namespace": "namespace", "uid": "uid", "resourceVersion": "resource_version"}
_NOTHING = b""
_typed_dict: Any = TypedDict


class Projection:
    """Reads objects of one kind.

    Attributes:
        wire: the Struct to decode an object into.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        tree = _tree(paths)
        metadata = {step: below for step, below in tree.pop("metadata", {}).items() if step not in _IDENTITY}
        for known in ("apiVersion", "kind"):
            tree.pop(known, None)
        self._meta_parts = _Parts(metadata)
        self._parts = _Parts(tree)
        meta = msgspec.defstruct("Meta", self._meta_parts.fields(), bases=(ObjectMeta,))
        version = ("api_version", str | None, msgspec.field(default=None, name="apiVersion"))
        self.wire: type[Any] = msgspec.defstruct("WireResource", [("metadata", meta), version, *self._parts.fields()])

    def read(self, wire: Any) -> dict[str, Any]:
        """Return the object as decoded JSON, without what nothing asks for.

        Raises:
            msgspec.DecodeError: a part cannot be read at all.
        """
        meta = wire.metadata
        identity = {key: getattr(meta, field) for key, field in _IDENTITY.items()}
        return {
            "apiVersion": wire.api_version,
            "metadata": {**identity, **self._meta_parts.read(meta)},
            **self._parts.read(wire),
        }


class _Parts:
    """The fields of one Struct that are kept as bytes until they are decoded."""

    def __init__(self, tree: _Tree) -> None:
        self._decoders = {
            f"part_{number}": (step, msgspec.json.Decoder(_type(below)))
            for number, (step, below) in enumerate(tree.items())
        }

    def fields(self) -> list[tuple[str, Any, Any]]:
        empty = msgspec.Raw(_NOTHING)
        return [
            (field, msgspec.Raw, msgspec.field(default=empty, name=step)) for field, (step, _) in self._decoders.items()
        ]

    def read(self, wire: Any) -> dict[str, Any]:
        found = {}
        for field, (step, decoder) in self._decoders.items():
            raw: msgspec.Raw = getattr(wire, field)
            if raw:
                found[step] = _decode(decoder, raw)
        return found


def _decode(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        return msgspec.json.decode(raw)


def _tree(paths: Iterable[Path]) -> _Tree:
    """Return all paths as one tree. A path that ends where another goes on is read whole, and so are both."""
    tree: _Tree = {}
    whole: list[Path] = []
    for path in sorted(set(paths), key=len):
        if any(path[: len(above)] == above for above in whole):
            continue
        below = tree
        for step in path:
            below = below.setdefault(step, {})
        whole.append(path)
    return tree


def _type(tree: _Tree) -> Any:
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


def _element(tree: _Tree) -> _Tree:
    """Return what is read of an element of a list; nothing where some element is read whole."""
    merged: _Tree = {}
    for step, below in tree.items():
        if not below:
            return {}
        _merge(merged, below)
        if (wanted := lookup_of(step)) is not None:
            merged.setdefault(wanted[0], {})
    return merged


def _merge(into: _Tree, tree: _Tree) -> None:
    for step, below in tree.items():
        if step in into and not (into[step] and below):
            into[step] = {}
        else:
            _merge(into.setdefault(step, {}), below)


def paths_of(labels: Sequence[Any]) -> set[Path]:
    """Return all that labels read."""
    return {path for label in labels for path in label.reads()}
