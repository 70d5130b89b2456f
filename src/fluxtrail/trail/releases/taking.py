"""What a release's syncs make of the commits that come to it: by its chart, by what applies the release, or by both.

    its chart has the commit            → delivered by the first sync whose chart contains it
    the release was changed for it      → delivered by the first sync of that generation (`HandoverRecord`)
    both, from one commit               → Flux takes one after the other: delivered by the later of the two

Pure: the same answer however often asked, and whichever of the two was heard of first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import DeliveryRecord, SyncRecord
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.running_records import HandoverRecord
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.outcomes import Change, judged_sync, next_delivery

replace = msgspec.structs.replace

_COMING = OPEN | {Verdict.DEPLOYED}
"""Verdicts of a commit on what applies a release, of which the release may hear yet."""


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that a release is to have, and what of it the release has to run for that."""

    row: DeliveryRecord
    handover: HandoverRecord | None = None
    """How the release itself was changed for it."""
    position: int | None = None
    """Where it stands on the branch that the chart is from; None if the chart does not have it."""

    def is_begun(self, sync: SyncRecord, here: int | None) -> bool:
        """True if a sync has a part of it."""
        return self._has_chart(here) or self._has_values(sync)

    def is_whole(self, sync: SyncRecord, here: int | None) -> bool:
        """True if a sync has all of it."""
        has_chart = self.position is None or self._has_chart(here)
        return has_chart and (self.handover is None or self._has_values(sync)) and self.is_begun(sync, here)

    def _has_chart(self, here: int | None) -> bool:
        return self.position is not None and here is not None and self.position <= here

    def _has_values(self, sync: SyncRecord) -> bool:
        handover = self.handover
        if handover is None:
            return False
        if handover.taken_by is not None:
            return sync.id >= handover.taken_by
        return sync.generation >= handover.generation


def may_change_release(above: DeliveryRecord, sync: SyncRecord | None) -> bool:
    """True while a commit that was not handed over may still change the release, by way of what applies that.

    Args:
        above: its delivery on what applies the release.
        sync: `above.applied_sync`: once it has been read again, it is known which releases it changed.
    """
    if sync is None:
        return above.verdict in OPEN
    return is_coming(above) and sync.running_state is RunningState.UNREAD


def is_coming(above: DeliveryRecord) -> bool:
    """True if a commit on what applies a release is, or will be, what the release was applied with."""
    return above.verdict in _COMING


def withheld(sync: SyncRecord) -> SyncRecord:
    """Return a sync as it counts for a commit of which it has a part: that may fail with it, and is not applied."""
    outcome = Outcome.CHECKING if sync.outcome is Outcome.SUCCEEDED else sync.outcome
    return replace(sync, outcome=outcome, applied=None)


def take(
    awaited: Sequence[Awaited], syncs: Sequence[SyncRecord], places: Mapping[str, int], *, now: datetime
) -> list[list[Change]]:
    """Return what syncs make of commits, step by step; steps that had been taken before are left out.

    Args:
        awaited: of one release, all of them open.
        syncs: the release's, oldest first.
        places: where the commits of their charts stand on the branch.
    """
    walk = _Walk(awaited)
    for sync in syncs:
        walk.go(sync, places.get(sync.sha or ""), now)
    return walk.new_steps()


class _Walk:
    def __init__(self, awaited: Collection[Awaited]) -> None:
        self._awaited = {item.row.commit_id: item for item in awaited}
        self._rows = {item.row.commit_id: item.row for item in awaited}
        self._steps: list[list[Change]] = []
        self._base: dict[int, SyncRecord] = {}
        """By commit, the newest sync that ended well with a part of it."""

    def go(self, sync: SyncRecord, here: int | None, now: datetime) -> None:
        standing = {id_: row for id_, row in self._rows.items() if row.verdict in OPEN}
        whole = [row for id_, row in standing.items() if self._awaited[id_].is_whole(sync, here)]
        judged = judged_sync(sync, whole)
        changes: list[Change] = []
        for row in whole:
            changes += self._change(row, *self._taken(row, judged, sync), now)
        taken = {row.commit_id for row in whole}
        for id_, row in standing.items():
            if id_ not in taken and self._awaited[id_].is_begun(sync, here):
                changes += self._change(row, row, withheld(sync), sync, now)
                if sync.outcome is Outcome.SUCCEEDED and not sync.is_unchanged:
                    self._base[id_] = sync
        self._steps.append(changes)

    def _taken(
        self, row: DeliveryRecord, judged: SyncRecord, sync: SyncRecord
    ) -> tuple[DeliveryRecord, SyncRecord, SyncRecord]:
        """Return the row to judge, by which sync, and which one that is.

        Where the last part changed nothing, the commit came with the part before.
        """
        base = self._base.get(row.commit_id)
        if base is None or not judged.is_unchanged or judged.outcome is not Outcome.SUCCEEDED:
            return row, judged, sync
        return replace(row, applied_sync=None) if row.applied_sync == sync.id else row, base, base

    def _change(
        self, row: DeliveryRecord, judged_row: DeliveryRecord, judged: SyncRecord, sync: SyncRecord, now: datetime
    ) -> list[Change]:
        after = next_delivery(judged_row, judged, now=now)
        self._rows[row.commit_id] = after
        return [Change(row, after, sync)] if after != row else []

    def new_steps(self) -> list[list[Change]]:
        """What was read may be the outcome of some of the steps already: they are not said again."""
        first: dict[int, int] = {}
        for index, changes in enumerate(self._steps):
            for change in changes:
                if change.after == self._awaited[change.before.commit_id].row:
                    first[change.before.commit_id] = index + 1
        return [
            [change for change in changes if index >= first.get(change.before.commit_id, 0)]
            for index, changes in enumerate(self._steps)
        ]
