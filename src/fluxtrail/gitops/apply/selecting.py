"""Which objects are meant by `sources`, `kustomizations` and `releases`: by their files' names, else by their kinds.

A file `flux-ks-….yaml` belongs to `kustomizations` with all that it holds, whatever else is in it; the names are those
under which `gitops generate` writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from fluxtrail.gitops.objects.manifests import Manifest
from fluxtrail.model.flux import HELM_GROUP, KUSTOMIZE_GROUP, SOURCE_GROUP

EVERYTHING = "all"
CHOICES = ("sources", "kustomizations", "releases", EVERYTHING)
_PREFIXES = {"flux-source-": "sources", "flux-ks-": "kustomizations", "flux-hr-": "releases"}
_GROUPS = {SOURCE_GROUP: "sources", KUSTOMIZE_GROUP: "kustomizations", HELM_GROUP: "releases"}


def choice_of(manifest: Manifest) -> str:
    """Return what an object belongs to, or an empty string for what is none of the three."""
    name = PurePosixPath(manifest.source).name
    for prefix, choice in _PREFIXES.items():
        if name.startswith(prefix):
            return choice
    return _GROUPS.get(manifest.group, "")


def select(manifests: Iterable[Manifest], choices: Iterable[str]) -> list[Manifest]:
    """Return the objects that are meant; without a choice, all of them."""
    wanted = set(choices) - {EVERYTHING}
    return [manifest for manifest in manifests if not wanted or choice_of(manifest) in wanted]
