"""What kustomize-controller does to a cluster once it has built: workloads are put there, and pruned."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.building import HEALTH_ANNOTATION
from fluxtrail.simulator.workloads.objects import PODS, RESOURCE_OF_KIND, Object

Place = tuple[str, str, str]
"""(resource, namespace, name)."""


class Applier:
    """Applies what makes pods; other objects of the manifests are left out of the simulated cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._applied: dict[str, frozenset[Place]] = {}

    def apply(self, kustomization: str, manifests: Sequence[Object]) -> None:
        """Put the manifests of one Kustomization in place, and delete what is no longer among them."""
        places = {place: manifest for manifest in manifests if (place := _place(manifest)) is not None}
        for place, manifest in places.items():
            self._put(place, manifest, kustomization)
        for gone in self._applied.get(kustomization, frozenset()) - places.keys():
            resource, namespace, name = gone
            if self._store.find(resource, name, namespace) is not None:
                self._store.delete(resource, name, namespace)
        self._applied[kustomization] = frozenset(places)

    def _put(self, place: Place, manifest: Object, kustomization: str) -> None:
        resource, namespace, name = place
        wanted = completed(manifest)
        wanted["metadata"].setdefault("labels", {})["kustomize.toolkit.fluxcd.io/name"] = kustomization
        self._store.insert_namespace(namespace)
        present = self._store.find(resource, name, namespace)
        if present is None:
            self._store.create(resource, wanted)
            return
        for field in ("labels", "annotations"):
            present["metadata"][field] = (present["metadata"].get(field) or {}) | wanted["metadata"].get(field, {})
        present["spec"] = wanted["spec"]
        self._store.update(resource, present)


def completed(manifest: Object) -> Object:
    """Return a copy with the selector and labels that short manifests leave out.

    The note that a release never becomes healthy goes to its pods.
    """
    wanted = copy.deepcopy(manifest)
    metadata = wanted["metadata"]
    metadata.setdefault("namespace", "default")
    template = wanted["spec"].get("template")
    if template is not None and wanted["kind"] != "Job":
        labels = template.setdefault("metadata", {}).setdefault("labels", {"app": metadata["name"]})
        wanted["spec"].setdefault("selector", {"matchLabels": dict(labels)})
        if (metadata.get("annotations") or {}).get(HEALTH_ANNOTATION) == "failing":
            template["metadata"].setdefault("annotations", {})[HEALTH_ANNOTATION] = "failing"
    return wanted


def _place(manifest: Object) -> Place | None:
    resource = RESOURCE_OF_KIND.get(str(manifest.get("kind")))
    if resource is None or resource == PODS:
        return None
    metadata = manifest["metadata"]
    return resource, metadata.get("namespace", "default"), metadata["name"]
