"""References by a name alone, where that says the same."""

from __future__ import annotations

from typing import Any

from fluxtrail.gitops.declaration.declaration import Environment, Key
from fluxtrail.gitops.declaration.references import (
    CHART_SOURCES,
    KUSTOMIZATION_SOURCES,
    dependency,
    source_reference,
)
from fluxtrail.model.errors import ConfigError


def shortened(section: str, fields: dict[str, Any], key: Key, environment: Environment) -> dict[str, Any]:
    """Return fields with their source and dependencies by name, where these are among an environment's objects."""
    found = dict(fields)
    if isinstance(source := found.get("source"), str):
        found["source"] = _short_source(section, source, key, environment)
    if waits := found.pop("depends_on", None):
        entries = environment.sections[section]
        short = [_short_dependency(text, entries, key) for text in waits]
        # One that is not declared is named with its namespace, which would then be written: that is left to `spec`.
        if None not in short:
            found["depends_on"] = short
    return found


def _short_source(section: str, text: str, key: Key, environment: Environment) -> str:
    sections = KUSTOMIZATION_SOURCES if section == "kustomizations" else CHART_SOURCES
    name = text.partition("/")[2]
    for short in (name, name.rpartition(".")[0]):
        try:
            same = _resolved(short, environment, key, sections) == _resolved(text, environment, key, sections)
        except ConfigError:
            continue
        if same:
            return short
    return text


def _resolved(text: str, environment: Environment, key: Key, sections: tuple[str, ...]) -> dict[str, str]:
    found = source_reference(text, environment, namespace=key.namespace, sections=sections, subject="source")
    return found.fields()


def _short_dependency(text: str, entries: dict[Key, Any], key: Key) -> str | None:
    namespace, slash, name = text.rpartition("/")
    try:
        other, is_elsewhere = dependency(name, entries, namespace=key.namespace, subject="")
    except ConfigError:
        return text if slash else None
    if not slash:
        return None if is_elsewhere else text
    return name if is_elsewhere and other.namespace == namespace else text
