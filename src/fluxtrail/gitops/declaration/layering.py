"""An environment over the base, an entry over its defaults: field by field, with null to take away.

In `spec` and `values` null is kept: there it means something to what reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxtrail.gitops.declaration.converting import mapping
from fluxtrail.gitops.declaration.entries import SECTIONS
from fluxtrail.gitops.declaration.merging import merged, overlaid

_KEEPING_NULL = ("spec", "values")


def layered_entry(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry's fields over others."""
    found = dict(below)
    for field, value in above.items():
        under = found.get(field)
        if value is None:
            found.pop(field, None)
        elif field in _KEEPING_NULL and isinstance(value, Mapping):
            found[field] = overlaid(under if isinstance(under, Mapping) else {}, value)
        else:
            found[field] = merged(under, value)
    return found


def layered_entries(below: Mapping[str, Any], above: Any, *, subject: str) -> dict[str, Any]:
    """Return a section's entries over others; one that is null is taken away.

    Raises:
        ConfigError: a part is no mapping.
    """
    found = dict(below)
    for name, entry in mapping(above, subject=subject).items():
        if entry is None:
            found.pop(name, None)
        else:
            found[name] = layered_entry(found.get(name, {}), mapping(entry, subject=f"{subject}.{name}"))
    return found


def layered_defaults(below: Mapping[str, Any], above: Any, *, subject: str) -> dict[str, Any]:
    """Return defaults over others.

    Raises:
        ConfigError: a part is no mapping.
    """
    said = mapping(above, subject=subject)
    found = layered_entry(below, {field: value for field, value in said.items() if field not in SECTIONS})
    for section in SECTIONS:
        if section in said:
            own = mapping(said[section], subject=f"{subject}.{section}")
            found[section] = layered_entry(mapping(below.get(section), subject=f"{subject}.{section}"), own)
    return found
