"""What a Flux applier does to a cluster once it has built: objects are put there by server-side apply, and pruned."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.building import HEALTH_ANNOTATION
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.truth import Changed
from fluxtrail.simulator.workloads.healths import Health, health_of
from fluxtrail.simulator.workloads.objects import PODS, RESOURCE_OF_KIND, Object, is_to_run

Place = tuple[str, str, str]
"""(resource, namespace, name)."""

FLUX_RESOURCES = {
    "HelmRelease": "helmreleases",
    "HelmRepository": "helmrepositories",
    "OCIRepository": "ocirepositories",
}
"""What of Flux's own kinds manifests may hold."""


@dataclass(slots=True)
class Applied:
    """What an apply came to."""

    places: tuple[Place, ...] = ()
    changed: list[Changed] = field(default_factory=list)


class Applier:
    """Applies what makes pods, and Flux's own objects; others are left out of the simulated cluster.

    Args:
        manager: as `managedFields` name it: `kustomize-controller`, `helm-controller`.
        toolkit: of the labels that name who applied an object: `kustomize`, `helm`.
    """

    def __init__(self, store: Store, *, clock: SimulatedClock, manager: str, toolkit: str) -> None:
        self._store = store
        self._clock = clock
        self._manager = manager
        self._prefix = f"{toolkit}.toolkit.fluxcd.io"
        self._applied: dict[str, frozenset[Place]] = {}

    def apply(
        self, name: str, namespace: str, manifests: Sequence[Object], *, target_namespace: str | None = None
    ) -> Applied:
        """Put the manifests of one Kustomization (or release) in place, and delete what is no longer among them."""
        result = Applied()
        places: dict[Place, Object] = {}
        for manifest in manifests:
            place = place_of(manifest, target_namespace)
            if place is not None:
                places[place] = manifest
        labels = {f"{self._prefix}/name": name, f"{self._prefix}/namespace": namespace}
        for place, manifest in places.items():
            changed = self._put(place, manifest, labels)
            if changed is not None:
                result.changed.append(changed)
        for gone in self._applied.get(name, frozenset()) - places.keys():
            self._delete(gone)
        self._applied[name] = frozenset(places)
        result.places = tuple(places)
        return result

    def remove(self, name: str) -> None:
        """Delete all that was applied under a name."""
        for place in self._applied.pop(name, frozenset()):
            self._delete(place)

    def healths(self, applied: Applied) -> Mapping[Place, Health]:
        return {place: health_of(self._store, place) for place in applied.places}

    def _delete(self, place: Place) -> None:
        resource, namespace, name = place
        if self._store.find(resource, name, namespace) is not None:
            self._store.delete(resource, name, namespace)

    def _put(self, place: Place, manifest: Object, labels: dict[str, str]) -> Changed | None:
        """Return what changed of its spec; labels and annotations alone are no change of what runs."""
        resource, namespace, name = place
        wanted = completed(manifest)
        wanted["metadata"] |= {"namespace": namespace}
        wanted["metadata"]["labels"] = (wanted["metadata"].get("labels") or {}) | labels
        self._store.insert_namespace(namespace)
        present = self._store.find(resource, name, namespace)
        if present is None:
            wanted["metadata"]["managedFields"] = [self._signature(wanted)]
            made = self._store.create(resource, wanted)
            return Changed(place, made["metadata"]["uid"], made["metadata"]["generation"], is_to_run(resource, made))
        changed = self._update(resource, present, wanted)
        if changed["metadata"]["generation"] == present["metadata"]["generation"]:
            return None
        metadata = changed["metadata"]
        return Changed(place, metadata["uid"], metadata["generation"], is_to_run(resource, changed))

    def _update(self, resource: str, present: Object, wanted: Object) -> Object:
        changed = copy.deepcopy(present)
        metadata = changed["metadata"]
        for key in ("labels", "annotations"):
            metadata[key] = (metadata.get(key) or {}) | (wanted["metadata"].get(key) or {})
        replicas = present["spec"].get("replicas")
        if resource in RESOURCE_OF_KIND.values() and "replicas" not in wanted["spec"] and replicas is not None:
            wanted["spec"]["replicas"] = replicas  # somebody else's field: an autoscaler's
        changed["spec"] = wanted["spec"]
        if self._is_same(changed, present):
            return present
        others = [item for item in metadata.get("managedFields") or () if item["manager"] != self._manager]
        metadata["managedFields"] = [*others, self._signature(changed)]
        return self._store.update(resource, changed)

    def _is_same(self, changed: Object, present: Object) -> bool:
        keys = ("labels", "annotations")
        before, after = present["metadata"], changed["metadata"]
        return present["spec"] == changed["spec"] and all((before.get(k) or {}) == (after.get(k) or {}) for k in keys)

    def _signature(self, obj: Object) -> Object:
        return {
            "manager": self._manager,
            "operation": "Apply",
            "apiVersion": obj["apiVersion"],
            "time": wire_time(self._clock.now()),
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {}},
        }


Apply = Callable[[Sequence[Object]], Applied]


def completed(manifest: Object) -> Object:
    """Return a copy with the selector and labels that short manifests leave out.

    What is said of the health of a release goes to its pods.
    """
    wanted = copy.deepcopy(manifest)
    metadata = wanted["metadata"]
    metadata.setdefault("namespace", "default")
    template = wanted["spec"].get("template") if wanted["kind"] in RESOURCE_OF_KIND else None
    if template is not None:
        health = (metadata.get("annotations") or {}).get(HEALTH_ANNOTATION, "good")
        if health != "good":
            template.setdefault("metadata", {}).setdefault("annotations", {})[HEALTH_ANNOTATION] = health
        if wanted["kind"] != "Job":
            labels = template.setdefault("metadata", {}).setdefault("labels", {"app": metadata["name"]})
            wanted["spec"].setdefault("selector", {"matchLabels": dict(labels)})
    return wanted


def place_of(manifest: Object, target_namespace: str | None = None) -> Place | None:
    """Return where an object of a manifest goes; None: the simulated cluster does without it."""
    kind = str(manifest.get("kind"))
    resource = RESOURCE_OF_KIND.get(kind) or FLUX_RESOURCES.get(kind)
    if resource is None or resource == PODS:
        return None
    metadata = manifest["metadata"]
    return resource, target_namespace or metadata.get("namespace", "default"), metadata["name"]
