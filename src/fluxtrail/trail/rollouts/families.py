"""What is below a custom resource, in the groups that are judged together.

a Deployment, StatefulSet, …     with its ReplicaSets and all their pods
ReplicaSets of one other owner   with their pods: a roll-out that Kubernetes does not know
pods of one other owner          whatever is between them and the custom resource is looked through
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from fluxtrail.model.observation import ObjectUid
from fluxtrail.model.workloads import Pod, Workload
from fluxtrail.trail.rollouts.revisions import is_replica_set
from fluxtrail.trail.workloads.anchors import FAMILIAR, controller_of

_Owned = dict[ObjectUid | None, list[Workload]]


class Member(NamedTuple):
    """A workload of a kind with rules of its own."""

    item: Workload
    pods: list[Pod]
    below: list[Workload]


class Family(NamedTuple):
    members: list[Member]
    sets: list[list[Workload]]
    """ReplicaSets, by owner."""
    pods: list[list[Pod]]
    """By owner; none of those of `members` and `sets`."""


def sort_family(pods: Sequence[Pod], below: Sequence[Workload]) -> Family:
    """Return what is judged, each object in one group; owners that own each other in a circle are in none."""
    held = {item.uid for item in below}
    owned: _Owned = defaultdict(list)
    for item in below:
        owner = _owner_of(item)
        owned[owner if owner in held else _OUTSIDE].append(item)
    by_owner: defaultdict[ObjectUid | None, list[Pod]] = defaultdict(list)
    for pod in pods:
        by_owner[_owner_of(pod)].append(pod)
    members: list[Member] = []
    sets: defaultdict[ObjectUid | None, list[Workload]] = defaultdict(list)
    ahead = list(owned.get(_OUTSIDE, ()))
    seen = {item.uid for item in ahead}
    while ahead:
        item = ahead.pop()
        if is_replica_set(item):
            sets[_owner_of(item)].append(item)
            by_owner.pop(item.uid, None)
        elif (item.key.group, item.key.kind) in FAMILIAR:
            members.append(_member(item, owned, by_owner))
        else:
            fresh = [each for each in owned.get(item.uid, ()) if each.uid not in seen]
            seen.update(each.uid for each in fresh)
            ahead += fresh
    return Family(members, list(sets.values()), list(by_owner.values()))


_OUTSIDE = None
"""Stands for any owner that is not below."""


def _member(item: Workload, owned: _Owned, by_owner: dict[ObjectUid | None, list[Pod]]) -> Member:
    """Return a workload with all that is below it, which is taken out of `by_owner`."""
    found, below, pods = {item.uid}, list[Workload](), list[Pod]()
    ahead = [item.uid]
    while ahead:
        uid = ahead.pop()
        pods += by_owner.pop(uid, [])
        for child in owned.get(uid, ()):
            if child.uid not in found:
                found.add(child.uid)
                below.append(child)
                ahead.append(child.uid)
    return Member(item, pods, below)


def _owner_of(thing: Workload | Pod) -> ObjectUid | None:
    owner = controller_of(thing.owners)
    return owner.uid if owner is not None else _OUTSIDE
