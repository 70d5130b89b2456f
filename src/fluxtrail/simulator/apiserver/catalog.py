"""Which resources a server serves at the moment, and in which versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from fluxtrail.model.errors import ConfigError
from fluxtrail.simulator.apiserver.resources import ResourceDefinition


class Catalog:
    """Resource definitions by (group, plural). Kinds come and go at run time, as CRDs do."""

    def __init__(self, definitions: Iterable[ResourceDefinition]) -> None:
        self._definitions = {definition.id: definition for definition in definitions}

    def __iter__(self) -> Iterator[ResourceDefinition]:
        return iter(self._definitions.values())

    def find(self, group: str, version: str, plural: str) -> ResourceDefinition | None:
        definition = self._definitions.get((group, plural))
        return definition if definition is not None and version in definition.versions else None

    def find_any(self, resource_id: tuple[str, str]) -> ResourceDefinition | None:
        return self._definitions.get(resource_id)

    def get(self, resource: str | ResourceDefinition) -> ResourceDefinition:
        """Return the present definition of `resource`: a plural, `plural.group`, or a definition.

        Raises:
            ConfigError: no such resource is served.
        """
        if isinstance(resource, ResourceDefinition):
            found = self._definitions.get(resource.id)
        else:
            names = (d for d in self._definitions.values() if resource in (d.plural, d.qualified))
            found = next(names, None)
        if found is None:
            name = resource.qualified if isinstance(resource, ResourceDefinition) else resource
            raise ConfigError("this simulated server serves no such resource; install it first", subject=name)
        return found

    def put(self, definition: ResourceDefinition) -> None:
        self._definitions[definition.id] = definition

    def remove(self, definition: ResourceDefinition) -> None:
        self._definitions.pop(definition.id, None)

    def with_versions(self, resource: str | ResourceDefinition, versions: tuple[str, ...]) -> ResourceDefinition:
        return msgspec.structs.replace(self.get(resource), versions=versions)

    def groups(self) -> dict[str, list[str]]:
        """Return the named groups with their versions, preferred first."""
        groups: dict[str, list[str]] = {}
        for definition in self._definitions.values():
            if definition.group:
                versions = groups.setdefault(definition.group, [])
                versions.extend(version for version in definition.versions if version not in versions)
        return groups

    def served(self, group: str, version: str) -> list[ResourceDefinition]:
        return [d for d in self._definitions.values() if d.group == group and version in d.versions]
