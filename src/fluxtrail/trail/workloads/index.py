"""What there is in one cluster, in memory: pods and their owners, and whose each pod is.

Filled from the streams in their order; between the streams there is no order, so whatever points at something that
has not come yet waits for it. Every change names the workloads (anchors) that it concerns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.workloads import APPS_GROUP, BATCH_GROUP, Owner, Pod, Workload
from fluxtrail.trail.workloads.anchors import (
    CRON_JOB,
    JOB,
    POD,
    REPLICA_SET,
    Anchor,
    Unresolved,
    anchor_of_key,
    controller_of,
    find_anchor,
    guess_anchor,
    kind_text,
    split_kind,
)

MAX_CHAIN = 16
"""Objects above a pod whose annotations are read; owners may own each other in a circle."""

Notes = tuple[tuple[str, str], ...]


class Sight(NamedTuple):
    """How a workload came to be known as it is: the observation that changed it last."""

    observed_at: datetime
    was_held: bool
    """It was watched without a gap up to this change: see `observation.Seen`."""
    not_before: datetime | None
    """It changed after this; None where nothing was known before."""


class ClusterIndex:
    def __init__(self) -> None:
        self._pods: dict[ObjectUid, Pod] = {}
        self._objects: dict[ObjectUid, Workload] = {}
        self._sights: dict[ObjectUid, Sight] = {}
        self._last_sight: Sight | None = None
        """Most are the same as the one before: that of a list."""
        self._applied: dict[ObjectKey, set[ObjectUid]] = {}
        """By whom Flux's labels say that they are applied."""
        self._by_key: dict[ObjectKey, ObjectUid] = {}
        self._owned: defaultdict[ObjectUid, set[ObjectUid]] = defaultdict(set)
        self._anchors: dict[ObjectUid, Anchor] = {}
        self._members: dict[Anchor, set[ObjectUid]] = {}
        self._guesses: set[tuple[str, str]] = set()
        """(group, kind) of owners that cannot be seen: pods below them go by names."""
        self.dirty: set[Anchor] = set()
        """Whatever changed since somebody took it."""
        self.unresolved: dict[ObjectUid, Owner] = {}
        """Pods that wait for an owner to be seen."""

    # -- pods --------------------------------------------------------------------------------------------------

    def put_pod(self, pod: Pod) -> None:
        before = self._pods.get(pod.uid)
        if before == pod:
            return
        if before is None or before.owners != pod.owners:
            self._link(pod.uid, before.owners if before else (), pod.owners)
            self._by_key[_pod_key(pod.namespace, pod.name)] = pod.uid
        self._pods[pod.uid] = pod
        self._place(pod)

    def drop_pod(self, uid: ObjectUid) -> None:
        pod = self._pods.pop(uid, None)
        if pod is None:
            return
        self._link(uid, pod.owners, ())
        key = _pod_key(pod.namespace, pod.name)
        if self._by_key.get(key) == uid:
            del self._by_key[key]
        self._leave(uid)
        self.unresolved.pop(uid, None)

    def _place(self, pod: Pod) -> None:
        found = find_anchor(pod, self._objects.get)
        if isinstance(found, Unresolved):
            owner = found.owner
            if (owner.group, owner.kind) not in self._guesses and pod.uid not in self._anchors:
                self.unresolved[pod.uid] = owner
                return
            found = self._anchors.get(pod.uid) or guess_anchor(pod, owner, self._has_cron_job(pod.namespace))
        self.unresolved.pop(pod.uid, None)
        if self._anchors.get(pod.uid) != found:
            self._leave(pod.uid)
            self._anchors[pod.uid] = found
            self._members.setdefault(found, set()).add(pod.uid)
        self.dirty.add(found)

    def _leave(self, uid: ObjectUid) -> None:
        anchor = self._anchors.pop(uid, None)
        if anchor is None:
            return
        self.dirty.add(anchor)
        members = self._members[anchor]
        members.discard(uid)
        if not members:
            del self._members[anchor]

    # -- owners ------------------------------------------------------------------------------------------------

    def put_object(self, item: Workload, sight: Sight) -> None:
        """Args:
        sight: kept where it is news; `not_before` as far as the stream knows: the sight before may know more.
        """
        before = self._objects.get(item.uid)
        if before == item:
            return
        self._see(item.uid, sight)
        self._link(item.uid, before.owners if before else (), item.owners)
        self._apply(item.uid, before.applied_by if before else None, item.applied_by)
        self._objects[item.uid] = item
        self._by_key[item.key] = item.uid
        self._note(item)
        if before is None and kind_text(item.key.group, item.key.kind) == CRON_JOB:
            self._guess_again(item.key)

    def drop_object(self, uid: ObjectUid) -> None:
        item = self._objects.pop(uid, None)
        if item is None:
            return
        del self._sights[uid]
        self._link(uid, item.owners, ())
        self._apply(uid, item.applied_by, None)
        if self._by_key.get(item.key) == uid:
            del self._by_key[item.key]
        self._note(item)

    def _see(self, uid: ObjectUid, sight: Sight) -> None:
        last = self._sights.get(uid)
        if last is not None and (sight.not_before is None or sight.not_before < last.observed_at):
            sight = sight._replace(not_before=last.observed_at)
        if sight == self._last_sight:
            sight = self._last_sight
        self._sights[uid] = self._last_sight = sight

    def _apply(self, uid: ObjectUid, before: ObjectKey | None, after: ObjectKey | None) -> None:
        if before == after:
            return
        if before is not None:
            self._applied[before].discard(uid)
            if not self._applied[before]:
                del self._applied[before]
        if after is not None:
            self._applied.setdefault(after, set()).add(uid)

    def _note(self, item: Workload) -> None:
        """Everything below an object that changed may be another's, of another revision, or have other notes."""
        self.dirty.add(anchor_of_key(item.key))
        above = controller_of(item.owners)
        if above is not None and (item.key.group, item.key.kind) == (APPS_GROUP, REPLICA_SET):
            anchor = Anchor(item.key.namespace, kind_text(above.group, above.kind), above.name)
            if anchor in self._members:
                self.dirty.add(anchor)  # without a pod of its own, as of a canary that is given up, nobody else says so
        for uid in self._below(item.uid):
            pod = self._pods.get(uid)
            if pod is not None:
                self._place(pod)

    def _below(self, uid: ObjectUid) -> set[ObjectUid]:
        found: set[ObjectUid] = set()
        ahead = [uid]
        while ahead:
            for child in self._owned.get(ahead.pop(), ()):
                if child not in found:
                    found.add(child)
                    ahead.append(child)
        return found

    def _link(self, uid: ObjectUid, before: Sequence[Owner], after: Sequence[Owner]) -> None:
        for owner in before:
            children = self._owned[owner.uid]
            children.discard(uid)
            if not children:
                del self._owned[owner.uid]
        for owner in after:
            self._owned[owner.uid].add(uid)

    # -- owners that are not seen --------------------------------------------------------------------------------

    def guess_below(self, group: str, kind: str) -> None:
        """Objects of this kind cannot be seen: pods below them need not wait."""
        self._guesses.add((group, kind))
        self._settle([uid for uid, owner in self.unresolved.items() if (owner.group, owner.kind) == (group, kind)])

    def see_again(self, group: str, kind: str) -> None:
        self._guesses.discard((group, kind))

    def give_up(self, uids: Sequence[ObjectUid]) -> None:
        """The owners of these pods did not come: go by their names, until they do.

        A pod on its way out names nothing: its owner went before it, and was perhaps named otherwise.
        """
        for uid in uids:
            pod, owner = self._pods.get(uid), self.unresolved.pop(uid, None)
            if pod is not None and owner is not None and not pod.is_deleting:
                anchor = guess_anchor(pod, owner, self._has_cron_job(pod.namespace))
                self._anchors[uid] = anchor
                self._members.setdefault(anchor, set()).add(uid)
                self.dirty.add(anchor)

    def _guess_again(self, cron_job: ObjectKey) -> None:
        """Pods of Jobs that cannot be seen may be of this CronJob, which has come after them."""
        if (BATCH_GROUP, JOB) not in self._guesses:
            return
        stem = f"{cron_job.name}-"
        for anchor in [anchor for anchor in self._members if anchor.kind == JOB and anchor.name.startswith(stem)]:
            if anchor.namespace != cron_job.namespace:
                continue
            for pod in [self._pods[uid] for uid in self._members[anchor]]:
                if self._is_guessed(pod):
                    self._leave(pod.uid)
                    self._place(pod)

    def _settle(self, uids: Sequence[ObjectUid]) -> None:
        for uid in uids:
            self._place(self._pods[uid])

    def _has_cron_job(self, namespace: str) -> Callable[[str], bool]:
        return lambda name: ObjectKey(BATCH_GROUP, CRON_JOB, namespace, name) in self._by_key

    # -- questions -----------------------------------------------------------------------------------------------

    def pods_of(self, anchor: Anchor) -> Iterator[tuple[Pod, int]]:
        """Yield a workload's pods, each with its revision."""
        for uid in self._members.get(anchor, ()):
            pod = self._pods[uid]
            yield pod, self._revision_of(anchor, pod)

    def pod(self, uid: ObjectUid) -> Pod | None:
        return self._pods.get(uid)

    def get(self, uid: ObjectUid) -> Workload | None:
        return self._objects.get(uid)

    def anchors(self) -> set[Anchor]:
        """Return everything that anything could be said of: all workloads, and whatever has pods."""
        return {anchor_of_key(item.key) for item in self._objects.values()} | self._members.keys()

    def anchors_of(self, uid: ObjectUid) -> set[Anchor]:
        """Return the anchors that a workload, or a pod, is spoken of by; none where it is not there."""
        item, anchor = self._objects.get(uid), self._anchors.get(uid)
        found = {anchor_of_key(item.key)} if item is not None else set()
        return found | {anchor} if anchor is not None else found

    def look_of(self, uid: ObjectUid) -> Sight | None:
        """Return how a workload was seen; None of what is not there, and of pods."""
        return self._sights.get(uid)

    def workloads_of(self, applied_by: ObjectKey) -> list[Workload]:
        """Return what bears the labels of a Kustomization or a HelmRelease. Operators may copy labels to what they
        make: look at `owners`.
        """
        return [self._objects[uid] for uid in self._applied.get(applied_by, ())]

    def owned_by(self, uid: ObjectUid) -> list[Workload]:
        """Return the workloads that name an object as an owner of theirs: a Deployment's ReplicaSets."""
        return [item for child in self._owned.get(uid, ()) if (item := self._objects.get(child)) is not None]

    def beneath(self, uid: ObjectUid) -> tuple[list[Pod], list[Workload]]:
        """Return everything below a workload, however deep: its pods, and the workloads between.

        Pods whose owner cannot be seen are the workload's that their names say.
        """
        below = self._below(uid)
        workloads = [item for child in below if (item := self._objects.get(child)) is not None]
        pods = [pod for child in below if (pod := self._pods.get(child)) is not None]
        item = self._objects.get(uid)
        members = self._members.get(anchor_of_key(item.key), set()) - below if item is not None else set()
        guessed = (self._pods[member] for member in members)
        return [*pods, *(pod for pod in guessed if self._is_guessed(pod))], workloads

    def _is_guessed(self, pod: Pod) -> bool:
        return isinstance(find_anchor(pod, self._objects.get), Unresolved)

    def find(self, anchor: Anchor) -> Workload | Pod | None:
        """Return the object that an anchor names, if it is there; a pod's owner may be the cluster's own."""
        group, kind = split_kind(anchor.kind)
        keys = (ObjectKey(group, kind, namespace, anchor.name) for namespace in (anchor.namespace, ""))
        uid = next((self._by_key[key] for key in keys if key in self._by_key), None)
        return None if uid is None else self._objects.get(uid) or self._pods.get(uid)

    def wants_revision(self, anchor: Anchor, revision: int) -> bool:
        """Whether a workload is still to have pods of a revision that it had them of.

        A ReplicaSet says how many it wants. A StatefulSet with a partition, or a DaemonSet whose pods are only made
        anew when they are deleted, may have a single one of its newest revision.
        """
        item = self.find(anchor)
        if item is None or isinstance(item, Pod):
            return False
        if item.key.group == APPS_GROUP and item.key.kind in ("StatefulSet", "DaemonSet"):
            return item.replicas != 0
        below = (self._objects.get(uid) for uid in self._owned.get(item.uid, ()))
        return any(child is not None and child.revision == revision and bool(child.replicas) for child in below)

    def notes_of(self, pod: Pod) -> list[Notes]:
        """Return the notes of a pod and of everything above it, the nearest first."""
        found, seen = [pod.notes], {pod.uid}
        ahead = [owner.uid for owner in pod.owners]
        while ahead and len(found) <= MAX_CHAIN:
            uid = ahead.pop(0)
            item = self._objects.get(uid)
            if item is None or uid in seen:
                continue
            seen.add(uid)
            found.append(item.notes)
            ahead += [owner.uid for owner in item.owners]
        return found

    def _revision_of(self, anchor: Anchor, pod: Pod) -> int:
        owner = controller_of(pod.owners)
        if owner is None:
            return 0
        if owner.kind == "DaemonSet" and owner.group == APPS_GROUP:
            return pod.generation
        item = self._objects.get(owner.uid)
        if item is None:
            return 0
        if item.update_revision:
            return 1 if pod.revision == item.update_revision else 0
        return item.revision


def _pod_key(namespace: str, name: str) -> ObjectKey:
    return ObjectKey("", POD, namespace, name)
