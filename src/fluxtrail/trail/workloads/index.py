"""What there is in one cluster, in memory: pods and their owners, and whose each pod is.

Filled from the streams in their order; between the streams there is no order, so whatever points at something that
has not come yet waits for it. Every change names the workloads (anchors) that it concerns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

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


class ClusterIndex:
    def __init__(self) -> None:
        self._pods: dict[ObjectUid, Pod] = {}
        self._objects: dict[ObjectUid, Workload] = {}
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

    def put_object(self, item: Workload) -> None:
        before = self._objects.get(item.uid)
        if before == item:
            return
        self._link(item.uid, before.owners if before else (), item.owners)
        self._objects[item.uid] = item
        self._by_key[item.key] = item.uid
        self._note(item)
        if before is None and kind_text(item.key.group, item.key.kind) == CRON_JOB:
            self._guess_again(item.key)

    def drop_object(self, uid: ObjectUid) -> None:
        item = self._objects.pop(uid, None)
        if item is None:
            return
        self._link(uid, item.owners, ())
        if self._by_key.get(item.key) == uid:
            del self._by_key[item.key]
        self._note(item)

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
                if isinstance(find_anchor(pod, self._objects.get), Unresolved):
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
