"""Environments: the names that people have for groups of clusters, such as `production`."""

from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """One environment and what belongs to it. Patterns are those of a shell: `*`, `?`, `[ab]`."""

    name: str
    clusters: tuple[str, ...] = ("*",)
    """Names of clusters."""
    targets: tuple[str, ...] = ("*",)
    """`<Kind>/<namespace>/<name>`."""

    def admits(self, cluster: str, target: str) -> bool:
        return _matches(cluster, self.clusters) and _matches(target, self.targets)


class Grouping(msgspec.Struct, frozen=True):
    """All environments, the first that admits a target has it. Where none does, the cluster is one by itself."""

    environments: tuple[Environment, ...] = ()

    def environment_of(self, cluster: str, target: str) -> str:
        found = (item.name for item in self.environments if item.admits(cluster, target))
        return next(found, cluster)


@lru_cache(maxsize=16384)
def _matches(text: str, patterns: tuple[str, ...]) -> bool:
    """Asked of every target by every board."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)
