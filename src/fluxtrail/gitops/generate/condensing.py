"""Entries as a person would write them: what most of them have in common is said once, among the defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fluxtrail.gitops.declaration.declaration import Key
from fluxtrail.gitops.declaration.entries import SECTIONS, SOURCE_SECTIONS, Entry
from fluxtrail.gitops.declaration.names import source_path

Entries = Mapping[str, Mapping[Key, Mapping[str, Any]]]

_OWN_DEFAULTS = {"namespace": "flux-system", "interval": "1m0s", "prune": False, "path": "./"}


def condensed(entries: Entries) -> dict[str, Any]:
    """Return defaults and sections of a declaration with these entries."""
    shared = _shared(entries)
    own = _of_kustomizations(entries["kustomizations"])
    below = {
        section: {**_OWN_DEFAULTS, **shared, **(own if section == "kustomizations" else {})} for section in entries
    }
    written = {section: _section(section, entries[section], below[section]) for section in entries if entries[section]}
    defaults = {field: value for field, value in shared.items() if _OWN_DEFAULTS.get(field) != value}
    if own:
        defaults["kustomizations"] = own
    found: dict[str, Any] = {"defaults": defaults} if defaults else {}
    if sources := {section: written[section] for section in SOURCE_SECTIONS if section in written}:
        found["sources"] = sources
    return {**found, **{section: written[section] for section in ("kustomizations", "releases") if section in written}}


def _shared(entries: Entries) -> dict[str, Any]:
    every = [entry for section in entries.values() for entry in section.values()]
    placed = [entry for name, section in entries.items() if name != "releases" for entry in section.values()]
    pruning = [entry.get("prune", False) for entry in entries["kustomizations"].values()]
    found = {
        "namespace": _most(entry["namespace"] for entry in placed),
        "interval": _most(entry.get("interval") for entry in every),
        "branch": _most(entry.get("branch") for entry in entries["git"].values()),
        "prune": _most(pruning) or None,
    }
    return {field: value for field, value in found.items() if value is not None}


def _of_kustomizations(entries: Mapping[Key, Mapping[str, Any]]) -> dict[str, Any]:
    """Return their common source and path, if more than one has them: one that has another says so."""
    found: dict[str, Any] = {}
    sources = Counter(entry["source"] for entry in entries.values())
    if sources and max(sources.values()) > 1:
        found["source"] = _most(entry["source"] for entry in entries.values())
    templates = Counter(
        entry["path"].removesuffix(key.name) + "{name}"
        for key, entry in entries.items()
        if "{" not in entry.get("path", "{") and entry["path"].endswith(f"/{key.name}")
    )
    if templates and max(templates.values()) > 1:
        found["path"] = _most(templates.elements())
    return found


def _most(values: Iterable[Any]) -> Any:
    """Return the value that occurs most often, the first in order of those that do; None where there is none."""
    counted = Counter(value for value in values if value is not None)
    return min(counted, key=lambda value: (-counted[value], str(value))) if counted else None


def _section(
    section: str, entries: Mapping[Key, Mapping[str, Any]], below: Mapping[str, Any]
) -> dict[str, Any] | list[str]:
    names = Counter(key.name for key in entries)
    found: dict[str, Any] = {}
    for key, entry in sorted(entries.items(), key=lambda item: (item[0].name, item[0].namespace)):
        is_unique = names[key.name] == 1
        is_usual = section != "releases" and key.namespace == below["namespace"]
        name = key.name if is_unique else str(key)
        without = {"namespace"} if is_usual or not is_unique else set()
        found[name] = {
            field: value
            for field, value in _in_order(section, entry)
            if field not in without and not _is_default(field, value, key, entry, {**_own(section), **below})
        }
    if section == "kustomizations" and not any(found.values()):
        return list(found)
    return found


def _in_order(section: str, entry: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return an entry's fields with its own first, then those that all entries have, as a person reads it."""
    known = [*SECTIONS[section].__struct_fields__]
    first = ("namespace",)
    shared = [name for name in Entry.__struct_fields__ if name not in first]
    order = [*first, *(name for name in known if name not in (*first, *shared)), *shared]
    return [(name, entry[name]) for name in order if name in entry]


def _own(section: str) -> dict[str, Any]:
    """Return what fields are where nothing is said."""
    fields = msgspec.structs.fields(SECTIONS[section])
    return {field.name: field.default for field in fields if isinstance(field.default, str | bool)}


def _is_default(field: str, value: Any, key: Key, entry: Mapping[str, Any], below: Mapping[str, Any]) -> bool:
    if field == "namespace" or field not in below:
        return False
    if field == "branch" and "commit" in entry:
        return False
    if field == "path":
        return bool(source_path(str(below[field]).replace("{name}", key.name)) == value)
    return bool(below[field] == value)
