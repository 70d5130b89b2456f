"""A declaration as it is meant: each environment with all its objects, defaults filled in."""

from pathlib import Path
from typing import Any

import msgspec

from fluxtrail.gitops.declaration.entries import SOURCE_SECTIONS, Entry


class Key(msgspec.Struct, frozen=True, order=True):
    """Which object: unique in its section."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Defaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What entries have that do not say otherwise; `flux create`'s own defaults where nothing is said here.

    Args:
        namespace: of sources and Kustomizations. Releases name theirs: that of their manifests.
        branch: of git sources without another reference.
        git: any field of a git source; so with the other sections, which go before the fields above.
    """

    namespace: str = "flux-system"
    interval: str = "1m"
    branch: str | None = None
    prune: bool = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    git: dict[str, Any] = {}
    helm: dict[str, Any] = {}
    oci: dict[str, Any] = {}
    bucket: dict[str, Any] = {}
    kustomizations: dict[str, Any] = {}
    releases: dict[str, Any] = {}


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Args:
    name: empty where the declaration has no environments.
    output: where its files go, as a path from the declaration's folder.
    sections: `git`, `helm`, `oci`, `bucket`, `kustomizations`, `releases`: their objects, sorted.
    """

    name: str
    output: str
    sections: dict[str, dict[Key, Entry]]

    def subject(self, section: str, key: Key) -> str:
        """Return an entry's place, for errors."""
        named = f"environment {self.name}: " if self.name else ""
        return f"{named}{'sources.' if section in SOURCE_SECTIONS else ''}{section}.{key.name}"


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """Args:
    path: the file.
    output: where files go, as a path from its folder: the folder in which all environments' are.
    boilerplate: what stands above each file's head, as comments; empty: nothing.
    """

    path: Path
    output: str
    boilerplate: str
    environments: tuple[Environment, ...]
