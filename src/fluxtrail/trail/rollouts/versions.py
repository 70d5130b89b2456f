"""Which version of a workload's spec a sync made, where later syncs have changed it again before it could be read.

Flux applies the next revision when it likes; that a sync was applied is read from one stream, its workloads come in
others. What tells the versions apart is when Flux's field manager made them, by the cluster's own clock, and, within
one second of that, when they were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, Protocol, TypeVar

from fluxtrail.model.moment import Precision
from fluxtrail.model.observation import ObjectUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SyncRecord
from fluxtrail.model.workloads import Pod, Workload

REMEMBERED = 8
"""Versions of a workload: more are not made between two looks at it."""
CLOCK_SLACK = timedelta(seconds=2)
"""Between the API server's clock and that of Flux's controllers, and our own."""
RESOLUTION = timedelta(seconds=1)

Thing = Workload | Pod


def generation_of(thing: Thing) -> int:
    """Return which version of its spec an object is; what has none is all of one piece."""
    return 1 if isinstance(thing, Pod) else thing.generation or 1


def touched_at(thing: Thing) -> datetime | None:
    return None if isinstance(thing, Pod) else thing.touched_at


class Made(Protocol):
    """A version of an object's spec, and when Flux made it as far as that is known."""

    @property
    def generation(self) -> int: ...

    @property
    def touched_at(self) -> datetime | None: ...

    @property
    def seen_at(self) -> datetime: ...

    @property
    def is_watched(self) -> bool:
        """False of what was read: it may have been so for long."""


M = TypeVar("M", bound=Made)


class Version(NamedTuple):
    """A workload as it was first seen with that generation."""

    thing: Thing
    seen_at: datetime
    is_watched: bool = True
    """False of what was read: it may have been so for long."""

    @property
    def generation(self) -> int:
        return generation_of(self.thing)

    @property
    def touched_at(self) -> datetime | None:
        return touched_at(self.thing)


class Finding(NamedTuple, Generic[M]):
    version: M
    is_certain: bool
    """False where it may be the next sync's: made in the same second, or after one that nobody saw."""


class Versions:
    """The newest versions of each workload, as the watch brought them."""

    def __init__(self) -> None:
        self._seen: dict[ObjectUid, list[Version]] = {}
        self._watched_from: dict[ObjectUid, int] = {}

    def note(self, thing: Thing, seen_at: datetime, *, was_held: bool) -> None:
        """Args:
        was_held: there was no gap since it was seen before.
        """
        seen = self._seen.setdefault(thing.uid, [])
        if thing.uid not in self._watched_from or not was_held:
            self._watched_from[thing.uid] = generation_of(thing)
        if seen and seen[-1].generation >= generation_of(thing):
            return
        seen.append(Version(thing, seen_at))
        del seen[:-REMEMBERED]

    def watched_from(self, uid: ObjectUid) -> int | None:
        """Return the generation from which on a workload was watched without a gap; None of what was not seen yet."""
        return self._watched_from.get(uid)

    def of(self, uid: ObjectUid) -> Sequence[Version]:
        """Return them, oldest first."""
        return self._seen.get(uid, ())

    def known_with(self, read: Thing, now: datetime) -> list[Version]:
        """Return them with what was read just now, where the watch has not brought that yet."""
        seen = list(self.of(read.uid))
        if all(item.generation != generation_of(read) for item in seen):
            seen.append(Version(read, now, is_watched=False))
        return seen

    def forget(self, uid: ObjectUid) -> None:
        self._seen.pop(uid, None)
        self._watched_from.pop(uid, None)


def find_version(
    known: Sequence[M],
    after: int,
    sync: SyncRecord,
    following: SyncRecord | None,
    *,
    following_began: datetime | None = None,
) -> Finding[M] | None:
    """Return the version that a sync left an object at; None if it did not change it.

    Args:
        known: what the watch brought, and what was read after the sync was applied.
        after: the generation that the sync before left.
        following: the target's next sync that may have changed something, as far as it is known.
        following_began: before this, that had applied nothing; None where nobody says how long it took.
    """
    newer = sorted(
        (
            item
            for item in known
            if item.generation > after and not _is_older(item, sync) and not _is_remedy(item, sync)
        ),
        key=lambda item: (item.generation, item.seen_at),
    )
    if not newer:
        return None
    made = [item for item in newer if _may_be_of(item, sync, following, following_began)]
    if made:
        return Finding(made[-1], is_certain=not _is_beyond(made[-1], sync))
    if _is_of_that_second(newer[0], sync):
        return Finding(newer[0], is_certain=False)
    if newer[0].generation == after + 1 and newer[0].touched_at is not None:
        return None  # the first one since is known, and is the next sync's
    return Finding(newer[-1], is_certain=False)


def _may_be_of(version: Made, sync: SyncRecord, following: SyncRecord | None, began: datetime | None) -> bool:
    if sync.applied is None:
        return False
    touched, applied = version.touched_at, sync.applied.latest
    is_first = following is None or _began_after(version, following) or _ended_long_after(version, following, began)
    if touched is None:
        return is_first
    if touched > applied:
        return following is None and touched <= applied + CLOCK_SLACK
    # Both are cut to the second by Kubernetes: within it, what came after the next one began may be of either.
    return touched + (RESOLUTION if version.is_watched and not is_first else timedelta()) <= applied


def _began_after(version: Made, following: SyncRecord) -> bool:
    """Whether a sync was watched to begin after a version had been seen."""
    return following.started.precision is Precision.OBSERVED and version.seen_at <= following.started.at


def _ended_long_after(version: Made, following: SyncRecord, began: datetime | None) -> bool:
    """Whether a sync that nobody watched can only have applied what it did after a version had been made.

    That was made before its second ended. Where it is not known when the sync began, it was not long before its end.
    """
    touched, applied = version.touched_at, following.applied
    if touched is None or applied is None or following.started.precision is not Precision.ESTIMATED:
        return False
    if began is not None:
        return began >= touched + RESOLUTION
    return applied.earliest >= touched + RESOLUTION + CLOCK_SLACK


def _is_older(version: Made, sync: SyncRecord) -> bool:
    """Whether Flux had made a version before a sync began: that is seen late at times, but not after it was applied."""
    began = sync.started.earliest if sync.applied is None else min(sync.started.earliest, sync.applied.earliest)
    return version.touched_at is not None and version.touched_at < began - CLOCK_SLACK


def _is_remedy(version: Made, sync: SyncRecord) -> bool:
    """Whether a version is what Flux put back when a release had failed: both times are cut to the same seconds."""
    touched = version.touched_at
    if sync.outcome is not Outcome.FAILED or sync.failed is None or not sync.action or touched is None:
        return False
    return touched >= sync.failed.at


def _is_beyond(version: Made, sync: SyncRecord) -> bool:
    """Whether a version was made just after a sync was applied: by another clock, or by a sync not heard of yet."""
    touched = version.touched_at
    return touched is not None and sync.applied is not None and touched > sync.applied.latest


def _is_of_that_second(version: Made, sync: SyncRecord) -> bool:
    touched = version.touched_at
    return touched is not None and sync.applied is not None and touched <= sync.applied.latest
