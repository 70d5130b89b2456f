"""What an object of Flux applied, as its `status.inventory` says: as far as it may run or release something.

Source: fluxcd/cli-utils object.ObjMetadata (the form of an id); both controllers write the same.
"""

from __future__ import annotations

from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.wire import WireInventory

MAX_INVENTORY = 2_000
"""Entries that are kept of one inventory. What certainly runs comes before what only may."""

_WORKLOADS = {
    "apps": frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}),
    "batch": frozenset({"Job", "CronJob"}),
    "": frozenset({"Pod", "ReplicationController"}),
    "helm.toolkit.fluxcd.io": frozenset({"HelmRelease"}),
}
_RUNS_NOTHING = (".k8s.io", ".fluxcd.io")
"""Kubernetes' own groups have no dot or end with `.k8s.io`. (`*.x-k8s.io`, of its subprojects, are custom.)"""


def parse_inventory_id(text: str) -> ObjectKey | None:
    """Return the object of an id `<namespace>_<name>_<group>_<kind>`, or None for another form.

    No part but the name may have a `_`, and there it stands doubled for `:` (names of RBAC objects).
    """
    namespace, first, rest = text.partition("_")
    head, last, kind = rest.rpartition("_")
    name, middle, group = head.rpartition("_")
    if not (first and middle and last and name and kind):
        return None
    return ObjectKey(group, kind, namespace, name.replace("__", ":"))


def may_run(key: ObjectKey) -> bool:
    """True for what runs containers or releases what does: workloads, HelmReleases, and any custom resource."""
    return is_workload(key) or _is_custom(key.group)


def is_workload(key: ObjectKey) -> bool:
    return key.kind in _WORKLOADS.get(key.group, ())


def read_inventory(wire: WireInventory | None) -> tuple[ObjectKey, ...]:
    """Return what of an inventory may run or release something, sorted within both sorts; at most `MAX_INVENTORY`."""
    entries = (wire.entries if wire else None) or ()
    parsed = (parse_inventory_id(entry.id) for entry in entries if entry is not None and entry.id)
    found = {key for key in parsed if key is not None and may_run(key)}
    return tuple(sorted(found, key=lambda key: (not is_workload(key), key)))[:MAX_INVENTORY]


def _is_custom(group: str) -> bool:
    return "." in group and not group.endswith(_RUNS_NOTHING)
