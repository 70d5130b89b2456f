"""One document over another, as JSON merge patches do it (RFC 7386): mappings are merged, null takes away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(below: Any, above: Any) -> Any:
    """Return `above` over `below`; neither is changed."""
    if not isinstance(above, Mapping):
        return above
    found = dict(below) if isinstance(below, Mapping) else {}
    for key, value in above.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return Helm values over others. Unlike in a patch, null is a value: Helm takes the chart's default away by it."""
    found = dict(below)
    for key, value in above.items():
        under = found.get(key)
        found[key] = overlaid(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return found
