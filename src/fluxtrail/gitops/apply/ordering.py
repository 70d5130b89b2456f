"""In which order objects are applied: what others need first, and Flux's own by `dependsOn`.

Flux itself would wait for whatever comes later; the order keeps it from failing first and retrying minutes after.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fluxtrail.gitops.objects.manifests import Manifest
from fluxtrail.model.flux import HELM_GROUP, KUSTOMIZE_GROUP, SOURCE_GROUP

CRD = "CustomResourceDefinition"
_FIRST = {"Namespace": 0, CRD: 1, "ServiceAccount": 2, "ResourceQuota": 2}
_RBAC_GROUP = "rbac.authorization.k8s.io"
_OTHERS, _SOURCES, _CHARTS, _TARGETS, _LAST = 5, 6, 7, 8, 9


def in_order(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the objects in the order of application; what is equal stays as it stands in the files.

    Those that depend on each other in a circle come as they stand: Flux says of them what is wrong.
    """
    ranked = sorted(manifests, key=_rank)
    targets = [manifest for manifest in ranked if _rank(manifest) == _TARGETS]
    ordered = iter(_by_dependency(targets))
    return [next(ordered) if _rank(manifest) == _TARGETS else manifest for manifest in ranked]


def circle_of(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """Return one circle of `dependsOn`, or nothing: `("Kustomization/ns/a", "Kustomization/ns/b", …/a)`."""
    left = {identity(manifest): dependencies(manifest) for manifest in manifests}
    while free := [key for key, below in left.items() if not any(each in left for each in below)]:
        for key in free:
            del left[key]
    if not left:
        return ()
    way = [next(iter(left))]
    while (key := next(each for each in left[way[-1]] if each in left)) not in way:
        way.append(key)
    return tuple("/".join(each) for each in (*way[way.index(key) :], key))


_Key = tuple[str, str, str]


def identity(manifest: Manifest) -> _Key:
    return manifest.kind, manifest.namespace or "", manifest.name


def dependencies(manifest: Manifest) -> list[_Key]:
    """Return what an object's `spec.dependsOn` names: objects of its own kind."""
    spec = manifest.data.get("spec")
    named: Any = spec.get("dependsOn") if isinstance(spec, dict) else None
    return [
        (manifest.kind, str(each.get("namespace") or manifest.namespace or ""), each["name"])
        for each in (named if isinstance(named, list) else ())
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    ]


def _rank(manifest: Manifest) -> int:
    group = manifest.group
    if group in (KUSTOMIZE_GROUP, HELM_GROUP):
        return _TARGETS
    if group == SOURCE_GROUP:
        return _CHARTS if manifest.kind == "HelmChart" else _SOURCES
    if group.endswith(".fluxcd.io"):
        return _LAST
    if group == _RBAC_GROUP:
        return 3 if manifest.kind.endswith("Role") else 4
    return _FIRST.get(manifest.kind, _OTHERS)


def _by_dependency(targets: list[Manifest]) -> list[Manifest]:
    waiting = {identity(manifest): manifest for manifest in targets}
    if len(waiting) != len(targets):
        return targets  # one is there twice: both are applied, as the files say
    ordered: list[Manifest] = []
    done: set[_Key] = set()
    while waiting:
        ready = [key for key, one in waiting.items() if all(d in done or d not in waiting for d in dependencies(one))]
        for key in ready or list(waiting):
            ordered.append(waiting.pop(key))
            done.add(key)
    return ordered
