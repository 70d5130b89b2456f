"""The workloads of one cluster that Flux applied: each with its record, kept as it is judged.

A workload belongs to the target that its labels name, or in whose inventory it was found. One that something else made
(an operator that copies labels) is judged with what made it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from fluxtrail.model.moment import Moment
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.records import UNSAVED, TargetId
from fluxtrail.model.rollout import Rollout, RolloutState
from fluxtrail.model.running_records import WorkloadId, WorkloadRecord
from fluxtrail.model.workloads import Pod, Workload
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.rollouts.closing import Standing
from fluxtrail.trail.rollouts.hints import Hints
from fluxtrail.trail.rollouts.latches import Sight, latch_glimpse, next_record
from fluxtrail.trail.rollouts.rules import digests_of, judge_rollout
from fluxtrail.trail.rollouts.versions import REMEMBERED, Thing, Versions, generation_of, touched_at
from fluxtrail.trail.workloads.anchors import Anchor, anchor_of_key, controller_of
from fluxtrail.trail.workloads.view import WorkloadView

replace = msgspec.structs.replace

NEW_SLACK = timedelta(seconds=2)
"""Kubernetes cuts creation times to the second, by a clock of its own."""

MAX_DEPTH = 8
"""Owners above a workload that are looked at; they may own each other in a circle."""


class Stance(NamedTuple):
    """A workload as it is judged, and what is below it."""

    shown: Thing
    pods: Sequence[Pod]
    below: Sequence[Workload]
    rollout: Rollout
    """Events left out."""


class WorkloadCensus:
    def __init__(self, cluster: ClusterUid, view: WorkloadView, registry: Registry, clock: Clock) -> None:
        self._cluster = cluster
        self._index = view.index
        self._is_custom = view.is_custom
        self._registry = registry
        self._clock = clock
        self._records: dict[ObjectUid, WorkloadRecord] = {}
        self._by_id: dict[WorkloadId, ObjectUid] = {}
        self._generations: dict[ObjectUid, int] = {}
        """Of the object that was judged last."""
        self._judged: dict[ObjectUid, datetime | None] = {}
        """When that object had been seen."""
        self._judged_before: dict[ObjectUid, tuple[bool, datetime | None]] = {}
        """What that was (and whether it was at all) before judgements that are not kept yet."""
        self._glanced: set[ObjectUid] = set()
        """Workloads that had not rolled out when they were first seen, before there was time to judge them."""
        self._has_judged = False
        """Before everything was judged once, what changed since the lists were made is still being told: it is late."""
        self._glimpses: dict[ObjectUid, list[tuple[Sight, Rollout]]] = {}
        """When generations that are not latched yet were first seen to have rolled out, oldest first, and what was told
        of each."""
        self._latches: dict[ObjectUid, dict[int, Moment]] = {}
        """When generations were first seen to have rolled out: records have the newest only."""
        self._homeless: set[ObjectUid] = set()
        """Workloads whose labels name a target that was not seen yet."""
        self._read: dict[ObjectUid, Workload] = {}
        """Custom resources as they were last read in full: of them only the metadata is watched."""
        self.versions = Versions()
        self.hints = Hints()
        self.known_since: datetime | None = None
        """When this cluster's workloads were first all known: what was made later was made by somebody's sync."""

    def recall(self, records: Sequence[WorkloadRecord]) -> None:
        """Begin with what the ledger has; how each was seen since the start is not forgotten."""
        self._records.clear()
        self._by_id.clear()
        for record in records:
            self.keep(record)
        self.hints.recall(records)

    def keep(self, record: WorkloadRecord) -> None:
        self._records[record.uid] = record
        self._by_id[record.id] = record.uid
        self._note_latch(record)

    def _note_latch(self, record: WorkloadRecord) -> None:
        if record.rolled is not None:
            latches = self._latches.setdefault(record.uid, {})
            latches[record.rolled_generation] = record.rolled
            for generation in sorted(latches)[:-REMEMBERED]:
                del latches[generation]

    def confirm(self) -> None:
        """What was judged is in the ledger."""
        self._has_judged = True
        for uid in self._judged_before:
            record = self._records.get(uid)
            if record is not None and uid in self._glimpses:
                self._glimpses[uid] = [
                    item for item in self._glimpses[uid] if item[0].generation > record.rolled_generation
                ]
        self._judged_before.clear()

    def undo(self) -> None:
        """What was judged could not be kept: it will be judged again, as well as if it were the first time."""
        for uid, (was_judged, seen_at) in self._judged_before.items():
            if was_judged:
                self._judged[uid] = seen_at
            else:
                self._judged.pop(uid, None)
        self._judged_before.clear()

    def forget(self, uid: ObjectUid) -> None:
        """Its end is kept, and closed whatever waited for it."""
        record = self._records.pop(uid, None)
        if record is not None:
            self._by_id.pop(record.id, None)
        self._generations.pop(uid, None)
        self._latches.pop(uid, None)
        self._judged.pop(uid, None)
        self._glanced.discard(uid)
        self._glimpses.pop(uid, None)
        self._read.pop(uid, None)
        self.hints.note(uid, None)
        self.versions.forget(uid)

    # -- questions -----------------------------------------------------------------------------------------------

    def record(self, uid: ObjectUid) -> WorkloadRecord | None:
        return self._records.get(uid)

    def standing(self, workload_id: WorkloadId) -> Standing | None:
        """Return how a workload stands; None of one that nobody knows any more."""
        uid = self._by_id.get(workload_id)
        if uid is None:
            return None
        record, watched_from = self._records[uid], self.versions.watched_from(uid)
        return Standing(
            record=record,
            judged_generation=self._generations.get(uid, 0),
            watched_from=record.rolled_generation if watched_from is None else watched_from,
            latches=self._latches.get(uid, {}),
        )

    def record_of(self, workload_id: WorkloadId) -> WorkloadRecord | None:
        uid = self._by_id.get(workload_id)
        return None if uid is None else self._records[uid]

    def key_of(self, workload_id: WorkloadId) -> ObjectKey | None:
        uid = self._by_id.get(workload_id)
        return None if uid is None else self._records[uid].key

    def is_new(self, thing: Thing) -> bool:
        """Whether a workload was made since this cluster is watched, so that it was a sync that made it."""
        since, made = self.known_since, thing.created_at
        return since is not None and made is not None and made >= since - NEW_SLACK

    def vanished(self) -> list[ObjectUid]:
        """Return recorded workloads that are not in the cluster (any more). Ask only where everything was listed."""
        return [uid for uid in self._records if self._index.get(uid) is None and self._index.pod(uid) is None]

    # -- judging -------------------------------------------------------------------------------------------------

    def affected(self, anchor: Anchor) -> Iterator[Thing]:
        """Yield the workloads to be judged when what an anchor names changed: itself, or what is above it."""
        thing = self._index.find(anchor)
        for _ in range(MAX_DEPTH):
            if thing is None:
                return
            owner = controller_of(thing.owners)
            if owner is None:
                yield thing
                return
            thing = self._index.get(owner.uid)

    def homeless(self) -> list[Thing]:
        """Return workloads to be judged as soon as their target is known."""
        found = [self._index.get(uid) or self._index.pod(uid) for uid in self._homeless]
        return [thing for thing in found if thing is not None]

    def glimpse(self, anchor: Anchor) -> None:
        """Take note at once if the workload that an anchor names, or the one above it, has rolled out by its status.

        When there is time to judge it, it may be otherwise again: a pod has failed, an autoscaler wants more.
        """
        for thing in self.affected(anchor):
            look = self._index.look_of(thing.uid)
            if isinstance(thing, Pod) or look is None:
                continue
            if thing.applied_by is not None or thing.uid in self._records:
                self.versions.note(thing, look.observed_at, was_held=look.was_held)
            if thing.progress is None:
                continue
            record, seen = self._records.get(thing.uid), self._glimpses.get(thing.uid, [])
            known = max(record.rolled_generation if record else 0, seen[-1][0].generation if seen else 0)
            if known >= generation_of(thing) or (record is None and thing.applied_by is None):
                continue
            rollout = judge_rollout(thing, [], self._index.owned_by(thing.uid))
            is_own = anchor_of_key(thing.key) == anchor
            if not look.was_held:
                if is_own and self._has_judged and rollout.state is not RolloutState.ROLLED_OUT:
                    self._glanced.add(thing.uid)
                continue
            if rollout.state is RolloutState.ROLLED_OUT:
                was_looked_at = self._was_looked_at(thing.uid)
                known_before = thing.created_at if record is None else None
                sight = Sight(
                    at=look.observed_at if is_own else self._clock.now(),
                    was_held=was_looked_at,
                    not_before=(look.not_before if is_own else None) if was_looked_at else known_before,
                    generation=generation_of(thing),
                )
                self._glimpses[thing.uid] = [*seen, (sight, rollout)][-REMEMBERED:]

    def _was_looked_at(self, uid: ObjectUid) -> bool:
        """Whether a workload was looked at since the start as it was when it was first seen: it may have run then."""
        return uid in self._judged or uid in self._glanced

    def judge(self, thing: Thing) -> WorkloadRecord | None:
        """Return the record of a workload as it stands now, if that is another than the one kept."""
        before = self._records.get(thing.uid)
        if before is None:
            target = self._target_of(thing)
            if target is None:
                return None
            before = self.first_record(thing, target)
        look = self._index.look_of(thing.uid)
        seen_at, was_held = (look.observed_at, look.was_held) if look is not None else (self._clock.now(), False)
        self.versions.note(thing, seen_at, was_held=was_held)
        rollout, digests = self.look(thing)
        self._generations[thing.uid] = generation_of(thing)
        sight = self._sight(thing, digests, is_new=before.id == UNSAVED)
        latched = before
        for glimpse, told in self._glimpses.get(thing.uid, ()):
            is_now = glimpse.generation == sight.generation and rollout.state is RolloutState.ROLLED_OUT
            latched = latch_glimpse(latched, rollout if is_now else told, glimpse)
            self._note_latch(latched)
        after = next_record(latched, rollout, sight)
        return after if after != before or after.id == UNSAVED else None

    def end(self, uid: ObjectUid, at: datetime) -> WorkloadRecord | None:
        """Return the record of a workload that is gone: what it came to last counts, though nobody had time to look."""
        latched = self._records.get(uid)
        if latched is None:
            return None
        for glimpse, told in self._glimpses.get(uid, ()):
            latched = latch_glimpse(latched, told, glimpse)
        return replace(latched, deleted_at=at, observed_at=at)

    def look(self, thing: Thing) -> tuple[Rollout, dict[str, str]]:
        """Return how a workload stands, with what its events told where nothing else does; and the digests it runs."""
        stance = self.stance(thing)
        rollout = self.hints.apply(thing.uid, generation_of(stance.shown), stance.rollout, stance.pods)
        return rollout, digests_of(stance.shown, stance.pods, stance.below)

    def stance(self, thing: Thing) -> Stance:
        """Return how a workload stands by its own state and what is below it."""
        if isinstance(thing, Pod):
            return Stance(thing, [thing], [], judge_rollout(thing, [thing], []))
        read = self._read.get(thing.uid)
        shown = replace(read, generation=max(read.generation, thing.generation)) if read is not None else thing
        pods, below = self._index.beneath(thing.uid)
        owns_pods = self._is_custom(thing.key.group, thing.key.kind)
        return Stance(shown, pods, below, judge_rollout(shown, pods, below, owns_pods=owns_pods))

    def stance_of(self, uid: ObjectUid) -> Stance | None:
        thing = self._index.get(uid) or self._index.pod(uid)
        return None if thing is None else self.stance(thing)

    def note_read(self, item: Workload) -> None:
        """Take a custom resource as it was read in full."""
        self._read[item.uid] = item

    def first_record(self, thing: Thing, target_id: TargetId) -> WorkloadRecord:
        """Return the record of a workload that was never judged: one made lately is of a sync still to be read."""
        now = self._clock.now()
        return WorkloadRecord(
            id=WorkloadId(UNSAVED),
            cluster=self._cluster,
            key=key_of(thing),
            uid=thing.uid,
            target_id=target_id,
            generation=0 if self.is_new(thing) else generation_of(thing),
            touched_at=None if self.is_new(thing) else touched_at(thing),
            images={} if self.is_new(thing) else images_of(thing),
            state=RolloutState.PROGRESSING,
            since=now,
            observed_at=now,
        )

    def _target_of(self, thing: Thing) -> TargetId | None:
        self._homeless.discard(thing.uid)
        if thing.applied_by is None:
            return None
        target = self._registry.find_target(self._cluster, thing.applied_by)
        if target is None:
            self._homeless.add(thing.uid)
            return None
        return target.id

    def _sight(self, thing: Thing, digests: dict[str, str], *, is_new: bool) -> Sight:
        """Return how the present state was seen: with the workload's own event where that is news, else just now."""
        look = self._index.look_of(thing.uid)
        seen_at = look.observed_at if look is not None else None
        was_judged = thing.uid in self._judged
        not_before = thing.created_at if is_new else None  # else it had not rolled out when it was judged last
        if look is not None and self._was_looked_at(thing.uid):
            not_before = look.not_before
        self._judged_before.setdefault(thing.uid, (was_judged, self._judged.get(thing.uid)))
        is_news = seen_at is not None and seen_at != self._judged.get(thing.uid)
        self._judged[thing.uid] = seen_at
        return Sight(
            at=seen_at if is_news and seen_at is not None else self._clock.now(),
            was_held=was_judged and (look is None or look.was_held or not is_news),
            not_before=not_before if is_news else None,
            generation=generation_of(thing),
            digests=digests,
        )


def key_of(thing: Thing) -> ObjectKey:
    return ObjectKey("", "Pod", thing.namespace, thing.name) if isinstance(thing, Pod) else thing.key


def images_of(thing: Thing) -> dict[str, str]:
    """Return the wanted image of each container."""
    return {container.name: container.image for container in thing.containers or ()}
