"""Objects of which a user's paths ask more than named places: all of them, or the same of every value they have."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

import msgspec

from fluxtrail.clusters.deep import decode_deep
from fluxtrail.reports.resource_metrics.paths import Path
from fluxtrail.reports.resource_metrics.projection import Identity, Projection, Shape, tree_of
from fluxtrail.reports.resource_metrics.sampling import EACH

_IDENTITY: tuple[Path, ...] = tuple(("metadata", name) for name in Identity._fields)
_TEXTS = {"apiVersion": Shape({}), "kind": Shape({})}
"""What is text in every object; nothing is below it."""
_top = msgspec.json.Decoder(dict[str, msgspec.Raw])
_whole = msgspec.json.Decoder(dict[str, Any])

Opened = tuple[Identity, Callable[[], dict[str, Any]]]
"""Whose object it is, and the rest of it, where that is wanted."""


class Reading(Protocol):
    """Reads objects of one kind, as far as anything asks for them."""

    wire: type[Any]
    """What the watcher decodes an object into."""

    def open(self, wire: Any) -> Opened:
        """Raises msgspec.DecodeError: it cannot be read at all."""
        ...


def reading_of(paths: Collection[Path]) -> Reading:
    """Return what reads no more than it must."""
    if () in paths:
        return WholeReading()
    if any(path[0] in (EACH, "kind") or path == ("metadata",) for path in paths):
        return PartialReading(paths)
    return Projection(paths)


class WholeReading:
    wire: type[Any] = msgspec.Raw

    def open(self, wire: msgspec.Raw) -> Opened:
        obj = decode_deep(_whole, wire)
        return _identity_of(obj), lambda: obj


class PartialReading:
    """Reads values by their names, and of every value what is below the step `EACH`."""

    wire: type[Any] = msgspec.Raw

    def __init__(self, paths: Collection[Path]) -> None:
        of_each = {path[1:] for path in paths if path[0] == EACH}
        named = {path for path in (*paths, *_IDENTITY) if path[0] != EACH}
        self._other = Shape(tree_of(of_each)) if of_each else None
        self._parts = {
            step: Shape(tree_of({path[1:] for path in named if path[0] == step} | of_each)) for step, *_ in named
        } | _TEXTS

    def open(self, wire: msgspec.Raw) -> Opened:
        obj = {}
        for key, raw in decode_deep(_top, wire).items():
            shape = self._parts.get(key, self._other)
            if shape is not None:
                obj[key] = shape.decode(raw)
        return _identity_of(obj), lambda: obj


def _identity_of(obj: dict[str, Any]) -> Identity:
    metadata = obj.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    return Identity(*(known.get(name) or "" for name in Identity._fields))
