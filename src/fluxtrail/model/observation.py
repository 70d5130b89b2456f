"""What a watcher says, in the order in which it saw it: the one language between `clusters` and `trail`.

An observation carries the whole projected object, never a difference: whoever reads it compares with
what the ledger holds. The order within one (cluster, kind) stream is the API server's order.
"""

from datetime import datetime
from typing import Generic, NewType, TypeVar

import msgspec

ClusterUid = NewType("ClusterUid", str)
"""The uid of a cluster's `kube-system` namespace: what a cluster is, whatever people call it."""

TOLD_PREFIX = "hooks/"
"""Of the uids of clusters that are known by signed events only: no `kube-system` has such a uid."""

ObjectUid = NewType("ObjectUid", str)


class ObjectKey(msgspec.Struct, frozen=True, order=True):
    """Where an object lives in its cluster. `group` without version: served versions come and go."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))


T = TypeVar("T")


class Seen(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """An object as the API server has it now.

    `was_held` is the fact that decides how well a change can be dated: True when the watch held this very
    object (same uid) in its previous state with no gap between the two, so that what changed, changed just
    now; False for the first sight, and for whatever a list after a gap brought.
    """

    key: ObjectKey
    object: T
    observed_at: datetime
    """Aware UTC, our clock, when the bytes arrived."""
    was_held: bool
    is_told: bool = False
    """Nobody read it: it is put together from what a known sender has told of it (`trail/notices`)."""


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """An object that is no longer there: a DELETED event, or a list that came back without it."""

    key: ObjectKey
    uid: ObjectUid
    observed_at: datetime


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The stream is complete: every object that exists has been `Seen`, every one that went is `Gone`.

    Comes once after each list (or the end of a WatchList's initial events).
    """

    group: str
    kind: str
    observed_at: datetime


class Current(msgspec.Struct, frozen=True, kw_only=True):
    """The stream is known to be complete up to `observed_at`: a bookmark came.

    Whatever changes later, changes after this instant: the lower bound of a bracket after a restart.
    """

    group: str
    kind: str
    observed_at: datetime


class Unavailable(msgspec.Struct, frozen=True, kw_only=True):
    """The kind cannot be watched now, with the reason for people: not installed, forbidden, unreachable."""

    group: str
    kind: str
    observed_at: datetime
    reason: str
    """One of `not_installed`, `forbidden`, `unreachable`, `unauthorized`."""
    message: str


Observation = Seen[T] | Gone | Listed | Current | Unavailable


def told_cluster(name: str) -> ClusterUid:
    """Return the uid of a cluster that is known by signed events only."""
    return ClusterUid(f"{TOLD_PREFIX}{name}")


def is_told_cluster(uid: str) -> bool:
    return uid.startswith(TOLD_PREFIX)
