"""When a sync's roll-outs are all done: a pure decision over its rows and the workloads they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from fluxtrail.model.moment import Evidence, Moment, Precision, bracket
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SyncRecord
from fluxtrail.model.rollout import RolloutState, RunningState
from fluxtrail.model.running_records import RolloutRecord, WorkloadRecord

replace = msgspec.structs.replace


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A workload's record, and the generation of the object that it was judged from."""

    record: WorkloadRecord
    judged_generation: int
    watched_from: int = 0
    """The generation from which on it was watched without a gap."""
    latches: Mapping[int, Moment] = {}
    """When generations were first seen to have rolled out, of late: the record has the newest only."""

    def first_reached(self, generation: int) -> tuple[int, Moment] | None:
        """Return which generation was the first to roll out, of this one and later ones, and when it had."""
        found = min((each for each in self.latches if each >= generation), default=None)
        if found is not None:
            return found, self.latches[found]
        rolled = self.record.rolled
        is_reached = rolled is not None and self.record.rolled_generation >= generation
        return (self.record.rolled_generation, rolled) if is_reached and rolled is not None else None


def is_reached(row: RolloutRecord, standing: Standing | None) -> bool:
    return (
        standing is not None
        and standing.record.rolled is not None
        and standing.record.rolled_generation >= row.generation
    )


def close_row(row: RolloutRecord, standing: Standing | None) -> RolloutRecord:
    """Return a row as its workload leaves it. One that is done stays as it is."""
    if row.running is not None or row.is_dropped:
        return row
    if standing is None or (standing.record.deleted_at is not None and not is_reached(row, standing)):
        return replace(row, is_dropped=True)
    if is_reached(row, standing):
        return replace(row, running=moment_of(row, standing))
    if standing.record.state is RolloutState.ABSENT and standing.judged_generation >= row.generation:
        return replace(row, is_dropped=True)
    return row


def moment_of(row: RolloutRecord, standing: Standing | None, *, is_own: bool = False) -> Moment | None:
    """Return when a roll-out was reached: before a later generation was, where nobody saw whether its own had been.

    Args:
        is_own: the newest generation that rolled out is the one that counts, unless the row's own did.
    """
    reached = standing.first_reached(row.generation) if standing is not None else None
    if standing is None or reached is None:
        return None
    generation, rolled = reached
    if is_own and generation != row.generation and standing.record.rolled is not None:
        generation, rolled = standing.record.rolled_generation, standing.record.rolled
    if generation == row.generation or row.generation >= standing.watched_from:
        return rolled
    return bracket(None, rolled.latest, evidence=rolled.evidence)


class Fate(Enum):
    """What becomes of a HelmRelease's roll-out of which only a later generation was reached."""

    OWN = "own"
    OTHER = "other"
    """That generation is not its own and never will be: nothing of it runs."""
    OPEN = "open"


def fate_on_release(sync: SyncRecord, newest: SyncRecord, standing: Standing) -> Fate:
    """Say whether a later generation that has rolled out counts as a HelmRelease's sync's.

    Flux may have made it to take a failure back, and tries again under the same sync: only a success says that what
    is there is what was wanted, or more. A success that found it there already has brought nothing.

    Args:
        newest: the newest sync of the release.
    """
    if newest.outcome is not Outcome.SUCCEEDED:
        return Fate.OPEN
    if newest.id != sync.id and newest.is_unchanged:
        return Fate.OTHER
    return Fate.OWN if standing.record.rolled_generation >= standing.judged_generation else Fate.OPEN


def running_of(sync: SyncRecord, rows: Sequence[RolloutRecord]) -> tuple[RunningState, Moment | None]:
    """Return the last stage of a sync: reached when its last workload had rolled out, but not before it was applied."""
    if any(row.running is None and not row.is_dropped for row in rows):
        return RunningState.WAITING, None
    moments = [row.running for row in rows if row.running is not None]
    if not moments:
        return RunningState.ABSENT, None
    last = latest(moments)
    if last.precision is Precision.ESTIMATED and last.not_before is None and sync.applied is not None:
        last = replace(last, not_before=min(sync.applied.earliest, last.at))
    elif sync.applied is not None and _is_missed(sync):
        # Which versions were its own was told from times that are not its own: others' may be among them.
        last = bracket(min(sync.applied.earliest, last.at), last.latest, evidence=last.evidence)
    if sync.applied is None or _is_within(last, sync.applied):
        return RunningState.REACHED, last
    return RunningState.REACHED, latest([last, sync.applied])


def _is_missed(sync: SyncRecord) -> bool:
    """Whether nobody saw a sync begin, nor when it applied what it did."""
    moments = (sync.started, sync.applied)
    return all(moment is not None and moment.precision is Precision.ESTIMATED for moment in moments)


def _is_within(last: Moment, applied: Moment) -> bool:
    """Whether a roll-out was seen while Helm was at work: its `applied` is the end of that, and says less."""
    return applied.evidence is Evidence.HELM_RELEASE and applied.earliest <= last.at


def latest(moments: Sequence[Moment]) -> Moment:
    """Return the latest of several moments; of those of one instant the least precise."""
    return max(moments, key=lambda moment: (moment.at, moment.precision is Precision.ESTIMATED))
