"""What kustomize-controller makes of a path: the built manifests, and every folder it reached on the way."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from fluxtrail.model.errors import FluxtrailError

HEALTH_ANNOTATION = "simulator.fluxtrail.io/health"
"""What is wrong with the pods of an object: `good`, or a trouble (`workloads/troubles.py`); `failing` is one too."""

_KUSTOMIZATION_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Manifest = dict[str, Any]


class BuildError(FluxtrailError):
    """The path cannot be built. `reason` is what the Ready condition says: ArtifactFailed or BuildFailed."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message, subject=None)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Built:
    digest: str
    """SHA-256 of the built manifests."""
    inventory: tuple[tuple[str, str], ...]
    """As in `status.inventory`: `<namespace>_<name>_<group>_<kind>`, and the version."""
    manifests: tuple[Manifest, ...] = ()
    """Shared with the next build: not to be changed."""


def build(files: Mapping[str, str], path: str, *, namespace: str | None = None) -> Built:
    """Build a path of a tree.

    Args:
        files: the whole tree.
        path: `spec.path`.
        namespace: `spec.targetNamespace`: all objects go there.

    Raises:
        BuildError: the path is not there, or something in it is not YAML.
    """
    root = clean_path(path)
    if not any(_is_below(name, root) for name in files):
        raise BuildError(f"kustomization path not found: stat /tmp/kustomization/{root}: no such file or directory",
                         reason="ArtifactFailed")  # fmt: skip
    manifests = [manifest for name in sorted(set(_resources(files, root))) for manifest in _load(name, files[name])]
    body = json.dumps([namespace or "", manifests], sort_keys=True, default=str)
    return Built(
        digest=f"sha256:{hashlib.sha256(body.encode()).hexdigest()}",
        inventory=tuple(sorted(_inventory_entry(manifest, namespace) for manifest in manifests)),
        manifests=tuple(manifests),
    )


def reached_folders(files: Mapping[str, str], path: str) -> frozenset[str]:
    """Return the path and every folder its kustomization files lead to: where a change can matter to it."""
    found: set[str] = set()
    waiting = [clean_path(path)]
    while waiting:
        folder = waiting.pop()
        if folder in found:
            continue
        found.add(folder)
        waiting.extend(entry for entry in _entries(files, folder) or () if entry not in files)
    return frozenset(found)


def is_reached(name: str, folders: frozenset[str]) -> bool:
    return any(_is_below(name, folder) for folder in folders)


def clean_path(path: str) -> str:
    """Return `./a/b/` as `a/b`, and the root as the empty string."""
    cleaned = posixpath.normpath(path or ".").lstrip("/")
    return "" if cleaned == "." else cleaned


def _resources(files: Mapping[str, str], folder: str) -> Iterator[str]:
    entries = _entries(files, folder)
    if entries is None:
        yield from (name for name in files if _is_below(name, folder) and name.endswith((".yaml", ".yml")))
        return
    for entry in entries:
        if entry in files:
            yield entry
        elif any(_is_below(name, entry) for name in files):
            yield from _resources(files, entry)
        else:
            raise BuildError(
                f"kustomize build failed: accumulating resources: accumulation err='no such file {entry!r}'",
                reason="BuildFailed",
            )


def _entries(files: Mapping[str, str], folder: str) -> list[str] | None:
    """Return what a folder's kustomization file lists, from the root of the tree; None where it has none."""
    for candidate in _KUSTOMIZATION_FILES:
        name = posixpath.join(folder, candidate)
        if name in files:
            content = next(iter(_load(name, files[name])), {})
            listed = [*(content.get("resources") or ()), *(content.get("components") or ())]
            return [clean_path(posixpath.join(folder, str(entry))) for entry in listed]
    return None


def _load(name: str, text: str) -> tuple[Manifest, ...]:
    try:
        return _parse(text)
    except yaml.YAMLError as exc:
        why = str(getattr(exc, "problem", "")) or "not YAML"
        raise BuildError(
            f"failed to decode Kubernetes YAML from /tmp/kustomization/{name}: yaml: {why}", reason="BuildFailed"
        ) from exc


@lru_cache(maxsize=2000)
def _parse(text: str) -> tuple[Manifest, ...]:
    documents = yaml.load_all(text, Loader=_Loader)
    return tuple(document for document in documents if isinstance(document, dict))


def _is_below(name: str, folder: str) -> bool:
    return not folder or name == folder or name.startswith(f"{folder}/")


def _inventory_entry(manifest: Manifest, namespace: str | None) -> tuple[str, str]:
    metadata = manifest.get("metadata") or {}
    group, slash, version = str(manifest.get("apiVersion", "v1")).partition("/")
    place = namespace or metadata.get("namespace", "default")
    return f"{place}_{metadata.get('name')}_{group if slash else ''}_{manifest.get('kind')}", version or group
