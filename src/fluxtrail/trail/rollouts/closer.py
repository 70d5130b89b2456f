"""Closes roll-outs that their workloads are done with, and tells the syncs whose last ones they were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import msgspec

from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SyncId, SyncRecord, TargetId, Transition
from fluxtrail.model.rollout import RolloutState, RunningState
from fluxtrail.model.running_records import RolloutRecord, WorkloadId
from fluxtrail.model.verdict import Verdict
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.rollouts.census import WorkloadCensus
from fluxtrail.trail.rollouts.closing import (
    Fate,
    Standing,
    close_row,
    fate_on_release,
    is_reached,
    moment_of,
    running_of,
)
from fluxtrail.trail.rollouts.ports import RunningNote, RunningUnit
from fluxtrail.trail.rows import running_transition

replace = msgspec.structs.replace

SUPERSEDED_SECONDS = 5.0
"""How long a roll-out that only a later generation reached waits for the sync that made that: it may be a way back."""

REMEDY_SECONDS = 60.0
"""The same of a sync that failed: what rolled out may be what Flux put back, and says so once it has."""

RECENT_SYNCS = 32
"""Syncs of a target among which the one after another is looked for."""

RowKey = tuple[SyncId, WorkloadId]


class Closer:
    """One cluster's open roll-outs. Call it within a unit only; after one that failed, `recall`."""

    def __init__(self, census: WorkloadCensus, registry: Registry, clock: Clock) -> None:
        self._census = census
        self._registry = registry
        self._clock = clock
        self._open: dict[RowKey, RolloutRecord] = {}
        self._targets: dict[SyncId, TargetId] = {}
        """Whose the syncs are that still wait."""
        self._superseded: dict[RowKey, float] = {}
        """Rows that only a later generation reached, since when (monotonic)."""
        self._is_recalled = False
        """Rows were read from the ledger: what they wait for may have come before, and does not come again."""

    def recall(self, rows: Sequence[RolloutRecord]) -> None:
        self._open = {(row.sync_id, row.workload_id): row for row in rows}
        self._superseded = {key: since for key, since in self._superseded.items() if key in self._open}
        self._is_recalled = True

    @property
    def awaited(self) -> set[WorkloadId]:
        """The workloads of open roll-outs."""
        return {workload_id for _, workload_id in self._open}

    @property
    def silent(self) -> set[WorkloadId]:
        """The workloads that an open roll-out has nothing to wait for of, though their records did not change for it:
        what is not to run is not to run at the next generation either.
        """
        found = set()
        for row in self._open.values():
            standing = self._census.standing(row.workload_id)
            if (
                standing is not None
                and standing.record.state is RolloutState.ABSENT
                and close_row(row, standing) != row
            ):
                found.add(row.workload_id)
        return found

    @property
    def has_superseded(self) -> bool:
        """Whether time alone may close something."""
        return bool(self._superseded) or self._is_recalled

    async def drop_deleted(self, unit: RunningUnit) -> None:
        """Nobody waits for the syncs of targets that are deleted: what they left behind is nobody's."""
        waiting = {sync_id for sync_id, _ in self._open}
        unknown = sorted(waiting - self._targets.keys())
        read = await unit.syncs(unknown) if unknown else {}
        known = self._targets | {sync_id: sync.target_id for sync_id, sync in read.items()}
        self._targets = {sync_id: target_id for sync_id, target_id in known.items() if sync_id in waiting}
        gone = {sync_id for sync_id, target_id in self._targets.items() if self._is_deleted(target_id)}
        dropped = [replace(row, is_dropped=True) for row in self._open.values() if row.sync_id in gone]
        if dropped:
            await self._end(unit, dropped)

    def _is_deleted(self, target_id: TargetId) -> bool:
        target = self._registry.target(target_id)
        return target is None or target.deleted_at is not None

    async def open(self, unit: RunningUnit, rows: Sequence[RolloutRecord]) -> None:
        """Take new rows, and close at once those that are reached already."""
        self._open |= {(row.sync_id, row.workload_id): row for row in rows}
        await self._close(unit, rows)

    async def close_of(self, unit: RunningUnit, workloads: Collection[WorkloadId]) -> None:
        """Close what can be of these workloads, and of those that waited for a later sync to be understood."""
        if self._is_recalled:
            await self._close(unit, list(self._open.values()))
            self._is_recalled = False
            return
        await self._close(
            unit, [row for key, row in self._open.items() if row.workload_id in workloads or key in self._superseded]
        )

    async def _close(self, unit: RunningUnit, rows: Sequence[RolloutRecord]) -> None:
        """Close rows that their workloads are done with, and the syncs whose last ones they were."""
        closed = [after for row in rows if (after := await self._close_row(unit, row)) != row]
        if closed:
            await self._end(unit, closed)

    async def _end(self, unit: RunningUnit, closed: Sequence[RolloutRecord]) -> None:
        await unit.put_rollouts(closed)
        for row in closed:
            self._open.pop((row.sync_id, row.workload_id), None)
            self._superseded.pop((row.sync_id, row.workload_id), None)
        await self._close_syncs(unit, sorted({row.sync_id for row in closed}))

    async def _close_row(self, unit: RunningUnit, row: RolloutRecord) -> RolloutRecord:
        standing = self._census.standing(row.workload_id)
        first = standing.first_reached(row.generation) if standing is not None else None
        if standing is None or first is None or first[0] == row.generation or not is_reached(row, standing):
            return close_row(row, standing)
        fate, is_release = await self._fate(unit, row, standing)
        if fate is Fate.OTHER:
            return replace(row, is_dropped=True)
        if fate is Fate.OPEN:
            return row
        return replace(row, running=moment_of(row, standing, is_own=is_release))

    async def _fate(self, unit: RunningUnit, row: RolloutRecord, standing: Standing) -> tuple[Fate, bool]:
        """Say whether a roll-out that a later generation reached counts as the sync's, and whether it is a release's.

        Not before it is known which sync made that generation, and whether that went back behind this one.
        """
        key = (row.sync_id, row.workload_id)
        since = self._superseded.setdefault(key, self._clock.monotonic())
        sync = (await unit.syncs([row.sync_id])).get(row.sync_id)
        target = self._registry.target(sync.target_id) if sync is not None else None
        if sync is None or target is None or target.sync_id is None:
            return Fate.OWN, False
        newest = (await unit.syncs([target.sync_id])).get(target.sync_id) or sync
        is_release = target.key.kind == "HelmRelease"
        if is_release and (fate := fate_on_release(sync, newest, standing)) is not Fate.OWN:
            return fate, is_release
        return (Fate.OWN if self._is_free(sync, newest, since) else Fate.OPEN), is_release

    def _is_free(self, sync: SyncRecord, newest: SyncRecord, since: float) -> bool:
        if newest.id == sync.id:
            patience = REMEDY_SECONDS if sync.outcome is Outcome.FAILED else SUPERSEDED_SECONDS
            return self._clock.monotonic() - since >= patience
        if newest.outcome in (Outcome.RUNNING, Outcome.CHECKING):
            return False  # its workloads may roll out before it says that it applied them
        return newest.attributed_version >= newest.version or newest.applied is None

    async def _close_syncs(self, unit: RunningUnit, ids: Sequence[SyncId]) -> None:
        syncs = await unit.syncs(ids)
        rows: defaultdict[SyncId, list[RolloutRecord]] = defaultdict(list)
        for row in await unit.rollouts_of(ids):
            rows[row.sync_id].append(row)
        rolled_back = await self._rolled_back(unit, ids)
        notes: list[RunningNote] = []
        for sync_id, sync in syncs.items():
            state, moment = running_of(sync, rows[sync_id])
            is_taken_back = sync.is_remediated or (
                sync_id in rolled_back and not await self._ran_itself(unit, sync, rows[sync_id])
            )
            if state is RunningState.REACHED and is_taken_back:
                state, moment = RunningState.ABSENT, None  # what runs by now is not what it applied
            notes.append((sync_id, state, moment))
        await self._note(unit, notes, syncs)

    async def _ran_itself(self, unit: RunningUnit, sync: SyncRecord, rows: Sequence[RolloutRecord]) -> bool:
        """Whether all that a sync made had rolled out, before what came after it was made."""
        later = [each for each in await unit.recent_syncs(sync.target_id, limit=RECENT_SYNCS) if each.id > sync.id]
        ends = later[0].started.not_before if later else None
        return all(
            (row.running is not None and ends is not None and row.running.latest <= ends) or self._is_own(sync, row)
            for row in rows
            if not row.is_dropped
        )

    def _is_own(self, sync: SyncRecord, row: RolloutRecord) -> bool:
        """Whether what rolled out first is what a sync made, or that as somebody else has scaled it since."""
        standing = self._census.standing(row.workload_id)
        reached = standing.first_reached(row.generation) if standing is not None else None
        if standing is None or reached is None or sync.applied is None:
            return False
        touched = [
            version.touched_at
            for version in self._census.versions.of(standing.record.uid)
            if version.generation == reached[0] and version.touched_at is not None
        ]
        return reached[0] == row.generation or any(at <= sync.applied.latest for at in touched)

    async def _rolled_back(self, unit: RunningUnit, ids: Sequence[SyncId]) -> set[SyncId]:
        verdicts: defaultdict[SyncId, set[Verdict]] = defaultdict(set)
        for row in await unit.applied_deliveries(ids):
            if row.applied_sync is not None:
                verdicts[row.applied_sync].add(row.verdict)
        return {sync_id for sync_id, found in verdicts.items() if found == {Verdict.ROLLED_BACK}}

    async def _note(self, unit: RunningUnit, notes: Sequence[RunningNote], syncs: dict[SyncId, SyncRecord]) -> None:
        running = await unit.note_running(notes)
        moments = {sync_id: moment for sync_id, _, moment in notes}
        told: list[Transition] = []
        for row in running:
            brought = row.applied_sync if row.applied_sync in moments else row.healthy_sync
            moment = moments.get(brought) if brought is not None else None
            if brought is not None and moment is not None:
                told.append(running_transition(row, syncs[brought], moment.at))
        await unit.add_transitions(told)
