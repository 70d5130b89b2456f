"""What is known of a sync before it is decided: what git says of it, and in which order syncs may be decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from fluxtrail.model.moment import Moment
from fluxtrail.model.records import SourceId, SyncRecord, TargetId
from fluxtrail.trail.lookback import Found
from fluxtrail.trail.ports import Unit


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What git says of a sync, before the unit that decides."""

    sync: SyncRecord
    branch: str | None
    """The target's branch as it was read."""
    here: int | None
    """Where its commit stands on that branch; None if it does not."""
    before: int | None
    """The same of the commit that was applied before."""
    dropped: tuple[str, ...] = ()
    """Shas that the previous revision contained and this one does not, oldest first, capped."""
    found: Found | None = None
    """Commits ahead of a new baseline, or commits it carried that stand on no followed branch."""


class Fetches:
    """Looks each revision of a source up once in a unit: a crowd of syncs has few."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._known: dict[tuple[SourceId, str], Moment | None] = {}

    async def find(self, source_id: SourceId, revision: str) -> Moment | None:
        key = (source_id, revision)
        if key not in self._known:
            self._known[key] = await self._unit.find_fetch(source_id, revision)
        return self._known[key]


def in_turns(readings: Sequence[Reading]) -> list[list[Reading]]:
    """Split into turns, in order, with one sync of each target at most: a later one builds on the verdicts before."""
    turns: list[list[Reading]] = []
    seen: defaultdict[TargetId, int] = defaultdict(int)
    for reading in readings:
        turn = seen[reading.sync.target_id]
        seen[reading.sync.target_id] += 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(reading)
    return turns
