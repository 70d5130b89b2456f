"""Which of several syncs that were read together changed a workload, where more than one of them may have."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fluxtrail.model.moment import Precision
from fluxtrail.model.observation import ObjectUid
from fluxtrail.model.records import SyncId, SyncRecord
from fluxtrail.model.running_records import WorkloadRecord


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a sync made of a workload."""

    sync_id: SyncId
    uid: ObjectUid
    before: WorkloadRecord | None
    """As the sync before left it; None of one that this sync made."""
    after: WorkloadRecord
    """Without images where nobody saw what the sync made."""
    generation: int
    """What the sync made it: where nobody saw that, the first one that it may have been."""


class Claim(NamedTuple):
    """That a sync may have made a version, or one before it that nobody saw."""

    change: Change
    generation: int
    """Of the version."""
    after: int
    """The generation that the sync before left."""
    is_to_itself: bool
    """False where the version was made later: only one before it may be the sync's."""


def is_shared(claim: Claim, claims: Sequence[Claim]) -> bool:
    """Whether another sync may have made it instead: each makes one generation, and there are not enough for all."""
    same = [each for each in claims if (each.generation, each.after) == (claim.generation, claim.after)]
    has_enough = len(same) <= claim.generation - claim.after
    return not has_enough and not (claim.is_to_itself and sum(each.is_to_itself for each in same) == 1)


def find_doubtful(
    syncs: Sequence[SyncRecord], changed: Sequence[Change], shared: Sequence[Change]
) -> frozenset[SyncId]:
    """Return the syncs that may have changed what another may have: of one that was watched it is enough to know some
    of what it changed.
    """
    watched = {sync.id for sync in syncs if sync.started.precision is not Precision.ESTIMATED}
    known = {change.sync_id for change in changed} & watched
    return frozenset(change.sync_id for change in shared) - known
