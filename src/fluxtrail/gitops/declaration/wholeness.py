"""Whether a declaration's parts fit together: what is referred to is there, and nothing waits for itself."""

from __future__ import annotations

from collections.abc import Mapping

from fluxtrail.gitops.declaration.declaration import Environment, Key
from fluxtrail.gitops.declaration.entries import Entry, Kustomization, Release
from fluxtrail.gitops.declaration.references import (
    CHART_SOURCES,
    KUSTOMIZATION_SOURCES,
    dependency,
    source_reference,
)
from fluxtrail.model.errors import ConfigError


def check_references(environment: Environment) -> None:
    """Check all that entries point at.

    Raises:
        ConfigError: a source or a dependency is not declared, or dependencies go round in a circle.
    """
    for section in ("kustomizations", "releases"):
        entries = environment.sections[section]
        waits = {key: _dependencies(environment, section, key) for key in entries}
        for key, entry in entries.items():
            _check_source(environment, section, key, entry)
        _check_circles(environment, section, waits)


def _check_source(environment: Environment, section: str, key: Key, entry: Entry) -> None:
    subject = f"{environment.subject(section, key)}.source"
    if isinstance(entry, Kustomization):
        sections = KUSTOMIZATION_SOURCES
    elif isinstance(entry, Release) and entry.source is not None:
        sections = CHART_SOURCES
    else:
        return
    assert entry.source is not None
    source_reference(entry.source, environment, namespace=key.namespace, sections=sections, subject=subject)


def _dependencies(environment: Environment, section: str, key: Key) -> list[Key]:
    entries = environment.sections[section]
    entry = entries[key]
    assert isinstance(entry, Kustomization | Release)
    subject = f"{environment.subject(section, key)}.depends_on"
    return [dependency(text, entries, namespace=key.namespace, subject=subject)[0] for text in entry.depends_on]


def _check_circles(environment: Environment, section: str, waits: Mapping[Key, list[Key]]) -> None:
    """Walk along dependencies, each object once."""
    done: set[Key] = set()
    for start in waits:
        path: dict[Key, None] = {}
        stack: list[tuple[Key, bool]] = [(start, True)]
        while stack:
            key, is_entered = stack.pop()
            if not is_entered:
                path.popitem()
                done.add(key)
            elif key in path:
                circle = [*path][[*path].index(key) :]
                names = " → ".join(each.name for each in [*circle, key])
                raise ConfigError(
                    f"waits for itself: {names}; take one of these dependencies away",
                    subject=f"{environment.subject(section, key)}.depends_on",
                )
            elif key not in done and key in waits:
                path[key] = None
                stack.append((key, False))
                stack.extend((each, True) for each in waits[key])
