"""The objects to apply: of files and folders. What is malformed is told and left out; it stops nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fluxtrail.gitops.apply.selecting import EVERYTHING, select
from fluxtrail.gitops.objects.manifests import KUSTOMIZE_GROUP, Manifest, Skipped, find_manifests
from fluxtrail.model.errors import ConfigError

_KUSTOMIZES_OWN = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
_OURS = ("flux-source-", "flux-ks-", "flux-hr-")


class Declared(NamedTuple):
    """`everything` is what the files hold, `chosen` what of it is meant."""

    everything: list[Manifest]
    chosen: list[Manifest]
    malformed: list[Skipped]


def read_declared(paths: Iterable[str | Path], choices: Collection[str]) -> Declared:
    """Read files and folders.

    Args:
        choices: as `selecting` has them. With one, a file that holds no object counts only where it is named as
            Flux's: values of charts may lie beside them.

    Raises:
        ConfigError: a path is not there, or they hold no object at all.
    """
    everything: list[Manifest] = []
    malformed: list[Skipped] = []
    shown = [str(path) for path in paths]
    for path in shown:
        found = find_manifests(path)
        everything += [one for one in found.manifests if not one.api_version.startswith(KUSTOMIZE_GROUP)]
        malformed += [one for one in found.skipped if _counts(one, set(choices) - {EVERYTHING})]
    if not everything and not malformed:
        raise ConfigError("holds no Kubernetes object; name a file or a folder", subject=", ".join(shown))
    return Declared(everything, select(everything, choices), malformed)


def _counts(skipped: Skipped, choices: Collection[str]) -> bool:
    name = PurePosixPath(skipped.source.rpartition(":")[0] or skipped.source).name
    return name not in _KUSTOMIZES_OWN and (not choices or name.startswith(_OURS))
