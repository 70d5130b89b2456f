"""One cluster's workloads as they are seen: an index of its streams, shared by everybody who draws conclusions from it.

Streams come in no order between each other; what is known here is told to listeners as the names of what changed, and
each of them looks when it has time. Nothing here waits, asks a server, or decides what a change means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

import structlog

from fluxtrail.model.image import is_digest
from fluxtrail.model.observation import (
    ClusterUid,
    Current,
    Gone,
    Listed,
    ObjectKey,
    ObjectUid,
    Observation,
    Seen,
    Unavailable,
)
from fluxtrail.model.workloads import CORE_GROUP, Owner, Pod, Workload
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.workloads.anchors import FAMILIAR, POD, Anchor, kind_text, split_kind
from fluxtrail.trail.workloads.completeness import Completeness
from fluxtrail.trail.workloads.index import ClusterIndex, Sight

log = structlog.get_logger(__name__)

OWNER_SECONDS = 5.0
"""How long a pod waits for an owner that its stream has not brought yet."""
CUSTOM_SECONDS = 60.0
"""How long the first judgement waits for kinds that are not Kubernetes' own: one may be broken for good."""
MAX_CUSTOM_KINDS = 32
REMEMBERED_IMAGES = 1_000


class WorkloadListener(Protocol):
    """Draws conclusions from a view. Called between two batches, never concurrently, and must return at once: it takes
    note of what is to be looked at, and wakes whoever looks.
    """

    def changed(self, anchors: set[Anchor]) -> None:
        """These workloads, or pods of theirs, changed, came or went. The set is shared: copy what is kept."""

    def gone(self, key: ObjectKey, uid: ObjectUid, seen_at: datetime) -> None:
        """An object went; called after the index forgot it, and before `changed` names it."""

    def noted(self, group: str, kind: str) -> None:
        """What is known of a kind's completeness changed: it was listed, is current, or cannot be watched."""


class WorkloadView:
    """One cluster's, from connecting to it until the connection is given up.

    Attributes:
        index: what there is. Read it; only `observe` writes.
        streams: which kinds are complete, and so whether an absence means anything.
        undigested: containers seen whose image id holds no sha256 digest.
    """

    def __init__(
        self,
        cluster: ClusterUid,
        *,
        clock: Clock,
        on_kind: Callable[[str, str], None],
        covers: Callable[[str], bool] = lambda namespace: True,
    ) -> None:
        """Args:
        covers: whether a namespace is watched.
        on_kind: called once with (group, kind) of each kind of owners that is not watched yet: its metadata should be.
        """
        self.cluster = cluster
        self.index = ClusterIndex()
        self.streams = Completeness()
        self.undigested = 0
        self._clock = clock
        self._on_kind = on_kind
        self._covers = covers
        self._listeners: list[WorkloadListener] = []
        self._custom_kinds: set[tuple[str, str]] = set()
        self._undigested: set[str] = set()
        self._waiting_since: dict[ObjectUid, float] = {}
        self._waits_for_custom_since: float | None = None
        self._is_ready = False

    def listen(self, listener: WorkloadListener) -> None:
        """Tell it of every change from now on; what is there already is in the index."""
        self._listeners.append(listener)

    # -- seeing ------------------------------------------------------------------------------------------------

    async def observe(self, observations: Sequence[Observation[Any]]) -> None:
        """Take a batch of one stream, in its order."""
        for observation in observations:
            match observation:
                case Seen(object=Pod() as pod):
                    self._see_owners(pod.owners)
                    self._see_images(pod)
                    self.index.put_pod(pod)
                case Seen(object=Workload() as item):
                    self._see_owners(item.owners)
                    self.index.put_object(item, self._sight(observation))
                    if observation.was_held:
                        self._tell()  # each state of its own: the next may be otherwise again
                case Gone():
                    self._lose(observation)
                case Listed() | Current() | Unavailable():
                    self._note(observation)
        self._tell()

    def _sight(self, seen: Seen[Any]) -> Sight:
        not_before = self.streams.complete_at(seen.key.group, seen.key.kind)
        return Sight(observed_at=seen.observed_at, was_held=seen.was_held, not_before=not_before)

    def _tell(self) -> None:
        if not self.index.dirty:
            return
        changed, self.index.dirty = self.index.dirty, set()
        for listener in self._listeners:
            listener.changed(changed)

    def _lose(self, gone: Gone) -> None:
        if (gone.key.group, gone.key.kind) == (CORE_GROUP, POD):
            self.index.drop_pod(gone.uid)
        else:
            self.index.drop_object(gone.uid)
        for listener in self._listeners:
            listener.gone(gone.key, gone.uid, gone.observed_at)

    def _note(self, observation: Listed | Current | Unavailable) -> None:
        kind = (observation.group, observation.kind)
        self.streams.note(observation)
        if self.streams.is_unreadable(*kind):
            self.index.guess_below(*kind)
        elif isinstance(observation, Listed):
            self.index.see_again(*kind)
        for listener in self._listeners:
            listener.noted(*kind)

    def _see_owners(self, owners: Iterable[Owner]) -> None:
        for owner in owners:
            self.see_kind(owner.group, owner.kind)

    def see_kind(self, group: str, kind: str) -> None:
        """Have a kind watched, if it is not: an owner is of it, or what was recorded before is."""
        if (group, kind) in FAMILIAR or (group, kind) in self._custom_kinds or (group, kind) == (CORE_GROUP, "Node"):
            return
        if len(self._custom_kinds) >= MAX_CUSTOM_KINDS:
            return
        self._custom_kinds.add((group, kind))
        log.info("owners of another kind", cluster=self.cluster, kind=kind_text(group, kind))
        self._on_kind(group, kind)

    def _see_images(self, pod: Pod) -> None:
        for container in pod.containers:
            image_id = container.image_id
            if not image_id or is_digest(image_id) or image_id in self._undigested:
                continue
            self.undigested += 1
            if len(self._undigested) < REMEMBERED_IMAGES:
                self._undigested.add(image_id)
                log.warning("image without a sha256 digest is not recorded", pod=pod.name, image_id=image_id[:100])

    def watches(self, key: ObjectKey) -> bool:
        """Whether an object would be seen here if it was there."""
        return self._covers(key.namespace) and not self.streams.is_unreadable(key.group, key.kind)

    # -- how much is known ---------------------------------------------------------------------------------------

    def is_custom(self, group: str, kind: str) -> bool:
        """Whether a kind is none of Kubernetes' own, and is watched: its objects are known by their metadata."""
        return (group, kind) in self._custom_kinds

    def is_unseen(self, anchor: Anchor) -> bool:
        """Whether a workload is of a kind that may not be read, or that is one too many to be watched."""
        kind = split_kind(anchor.kind)
        is_watched = kind in FAMILIAR or kind in self._custom_kinds
        return not is_watched or self.streams.is_unreadable(*kind)

    @property
    def awaited(self) -> list[str]:
        """Kinds that must be listed before anything is judged, and are not yet."""
        kinds = sorted(FAMILIAR | self._custom_kinds)
        return [kind_text(group, kind) for group, kind in kinds if not self.streams.is_settled(group, kind)]

    def is_ready(self) -> bool:
        """Whether every kind was listed once, or need not be waited for: before, what is missing says nothing."""
        if self._is_ready:
            return True
        if not all(self.streams.is_settled(*kind) for kind in FAMILIAR):
            return False
        if self.awaited:
            now = self._clock.monotonic()
            self._waits_for_custom_since = self._waits_for_custom_since or now
            if now - self._waits_for_custom_since < CUSTOM_SECONDS:
                return False
            log.warning("recording without owners of some kinds", cluster=self.cluster, kinds=self.awaited)
        self._is_ready = True
        return True

    @property
    def is_waiting(self) -> bool:
        """Whether time alone may change something: ask again within OWNER_SECONDS, though nothing happens."""
        return not self._is_ready or bool(self.index.unresolved)

    def give_up_waiting(self) -> None:
        """Let pods whose owner did not come within OWNER_SECONDS go by its name. Listeners call it before they look."""
        now, waiting = self._clock.monotonic(), self.index.unresolved
        self._waiting_since = {uid: self._waiting_since.get(uid, now) for uid in waiting}
        self.index.give_up([uid for uid, since in self._waiting_since.items() if now - since >= OWNER_SECONDS])
        self._tell()
