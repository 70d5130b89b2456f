"""Decides what syncs make of the commits they carry and drop, a crowd of targets at once, in one unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fluxtrail.model.moment import KUBERNETES_RESOLUTION, Precision
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    Attribution,
    Cause,
    CommitId,
    DeliveryRecord,
    RepositoryRecord,
    SyncRecord,
    TargetId,
    TargetRecord,
)
from fluxtrail.model.stage import INVERSION_TOLERANCE
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.exports import ExportBook
from fluxtrail.trail.lookback import Lookback
from fluxtrail.trail.outcomes import (
    Carried,
    Change,
    drop_reverts,
    keep_changes,
    mark_undone,
    outcome_changes,
    roll_back,
)
from fluxtrail.trail.ports import Clock, Unit
from fluxtrail.trail.readings import Fetches, Reading
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.releases.taking import is_coming, withheld

replace = msgspec.structs.replace

RANGE_LIMIT = 1_000
"""Commits of one sync that are rolled back, or flagged with scope unknown."""


class Carrying(NamedTuple):
    """A sync that gives verdicts."""

    target: TargetRecord
    sync: SyncRecord
    reading: Reading
    found: list[CommitId]
    """Deliveries that were made for it just now."""


class Decider:
    def __init__(
        self, *, registry: Registry, exports: ExportBook, lookback: Lookback, clock: Clock, hands_over: bool = True
    ) -> None:
        """Args:
        hands_over: whether commits are handed over to HelmReleases; else their charts alone decide.
        """
        self._hands_over = hands_over
        self._registry = registry
        self._exports = exports
        self._lookback = lookback
        self._clock = clock

    async def decide(self, unit: Unit, repository: RepositoryRecord, readings: Sequence[Reading]) -> None:
        """Give every commit that these syncs carry or drop its verdict, and note that they are dealt with.

        One sync of each target, so that all of them can be read and written together.
        """
        now, fetches = self._clock.now(), Fetches(unit)
        current = await unit.syncs([reading.sync.id for reading in readings])
        carrying: list[Carrying] = []
        closed: list[SyncRecord] = []
        for reading in readings:
            target = self._registry.target(reading.sync.target_id)
            if target is not None and (target.repository_id, target.branch) != (repository.id, reading.branch):
                continue  # re-pointed while we read: it is read again
            sync = await self._with_fetch(fetches, current[reading.sync.id], target)
            closed.append(
                replace(sync, attribution=Attribution.DONE, attribution_problem=None, attributed_version=sync.version)
            )
            if target is not None and sync.cause is not Cause.CONFIGURATION:
                found = await self._lookback.keep(unit, reading.found) if _is_final(sync) else []
                await self._roll_back(unit, target, sync, reading)
                carrying.append(Carrying(target, sync, reading, found))
        rows = await self._standing(unit, repository, carrying)
        changes: list[Change] = []
        for item in carrying:
            carried = await self._carried(unit, item, rows.get(item.target.id, []))
            changes += await self._outcomes(unit, item, carried)
        await keep_changes(unit, changes, now=now)
        await self._note_reverts(unit, repository, carrying)
        await unit.put_syncs(closed)

    async def _note_reverts(self, unit: Unit, repository: RepositoryRecord, carrying: Sequence[Carrying]) -> None:
        """What a sync contains may revert what is deployed, even where it does not affect the target itself."""
        advanced: defaultdict[str, list[tuple[TargetId, int, int]]] = defaultdict(list)
        for target, sync, reading, _ in carrying:
            if target.branch and sync.outcome is Outcome.SUCCEEDED and reading.here is not None:
                advanced[target.branch].append((target.id, reading.before or 0, reading.here))
        for branch, spans in advanced.items():
            after, through = min(before for _, before, _ in spans), max(here for _, _, here in spans)
            reverters = await unit.reverters(repository.id, branch, after=after, through=through)
            for target_id, before, here in spans if reverters else ():
                contained = [commit for position, commit in reverters if before < position <= here]
                await mark_undone(unit, target_id, contained, now=self._clock.now())

    async def _standing(
        self, unit: Unit, repository: RepositoryRecord, carrying: Sequence[Carrying]
    ) -> dict[TargetId, list[DeliveryRecord]]:
        """Return what is open on each target and contained in what it syncs."""
        here: defaultdict[str, dict[TargetId, int]] = defaultdict(dict)
        before = {target.id: reading.before for target, _, reading, _ in carrying if reading.before is not None}
        for target, _, reading, _ in carrying:
            if reading.here is not None and target.branch is not None:
                here[target.branch][target.id] = reading.here
        found: defaultdict[TargetId, list[DeliveryRecord]] = defaultdict(list)
        for branch, through in here.items():
            rows = await unit.standing_deliveries(
                repository.id, branch, list(through), verdicts=[*OPEN, Verdict.ROLLED_BACK]
            )
            for position, row in rows:
                # What was rolled back though its carrier stood there already, was rolled back by an older image: only
                # another image brings it back.
                is_left = row.verdict is Verdict.ROLLED_BACK and position <= before.get(row.target_id, -1)
                if position <= through[row.target_id] and not is_left:
                    found[row.target_id].append(row)
        return found

    async def _outcomes(self, unit: Unit, item: Carrying, carried: Carried) -> list[Change]:
        """Return what becomes of the carried deliveries.

        What changes a release itself, or may, is not applied with its chart alone: who hands it over says when it is
        (`releases/handing.py`). It may fail with the chart.
        """
        target, sync, now = item.target, item.sync, self._clock.now()
        left = await self._left(unit, item, carried.rows) if self._hands_over else set()
        if not left:
            return outcome_changes(target, sync, carried, now=now)
        part = [row for row in carried.rows if row.commit_id in left and not row.is_handed]
        changes = outcome_changes(target, withheld(sync), Carried(rows=part, range_ids=[]), now=now)
        rest = [row for row in carried.rows if row.commit_id not in left]
        return changes + (outcome_changes(target, sync, replace(carried, rows=rest), now=now) if rest else [])

    async def _left(self, unit: Unit, item: Carrying, rows: Sequence[DeliveryRecord]) -> set[CommitId]:
        """Return the commits that what applies a release has, too."""
        target = item.target
        is_release = target.key.kind == "HelmRelease" and target.parent is not None
        if not is_release or item.reading.here is None or target.branch is None:
            return set()
        parent = self._registry.find_target(target.cluster, target.parent) if target.parent is not None else None
        if parent is None:
            return set()
        standing = [row for row in rows if row.verdict in OPEN]
        above = await unit.deliveries(parent.id, [row.commit_id for row in standing])
        return {
            row.commit_id
            for row in standing
            if (there := above.get(row.commit_id)) is not None and (row.is_handed or is_coming(there))
        }

    async def _carried(self, unit: Unit, item: Carrying, standing: list[DeliveryRecord]) -> Carried:
        target, sync, reading, found = item
        if reading.here is None or target.repository_id is None or target.branch is None:
            return Carried(rows=list((await unit.deliveries(target.id, found)).values()), range_ids=[])
        return Carried(rows=standing, range_ids=[] if standing else await self._range(unit, target, sync, reading))

    async def _range(self, unit: Unit, target: TargetRecord, sync: SyncRecord, reading: Reading) -> list[CommitId]:
        """Return the whole range where the manifests changed and nobody in it is in scope: scope unknown."""
        if sync.outcome is not Outcome.SUCCEEDED or sync.cause is not Cause.REVISION or not sync.has_new_manifests:
            return []
        if target.repository_id is None or target.branch is None or reading.here is None or reading.before is None:
            return []
        commits = await unit.chain_slice(
            target.repository_id, target.branch, after=reading.before, through=reading.here, limit=RANGE_LIMIT
        )
        there = await unit.deliveries(target.id, [commit.id for commit in commits])
        return [] if there else [commit.id for commit in commits]

    async def _roll_back(self, unit: Unit, target: TargetRecord, sync: SyncRecord, reading: Reading) -> None:
        """What was deployed and is no longer contained in what is applied, is rolled back."""
        if sync.outcome is not Outcome.SUCCEEDED or target.repository_id is None:
            return
        here, before = reading.here, reading.before
        ids: list[CommitId] = []
        if reading.dropped:
            ids = [record.id for record in (await unit.commits_by_sha(target.repository_id, reading.dropped)).values()]
        elif target.branch is not None and here is not None and before is not None and here < before:
            commits = await unit.chain_slice(
                target.repository_id, target.branch, after=here, through=before, limit=RANGE_LIMIT
            )
            ids = [commit.id for commit in commits]
        if not ids:
            return
        rows = list((await unit.deliveries(target.id, ids)).values())
        rows += [row for row in await self._exports.carried(unit, ids) if row.target_id == target.id]
        await roll_back(unit, rows, sync, now=self._clock.now())
        exported = [link.source_id for link in await unit.exports_of(ids)]
        await drop_reverts(unit, target.id, [*ids, *exported])

    async def _with_fetch(self, fetches: Fetches, sync: SyncRecord, target: TargetRecord | None) -> SyncRecord:
        """Date the fetch of the sync's revision. One that is later than the apply was another fetch of it: absent.

        An apply that is only bracketed may have been that of an earlier revision which nobody saw, if the bracket
        begins before the fetch: then it is not said when what was applied had been fetched.
        """
        source = self._registry.source_of(target) if target else None
        fetched = sync.fetched
        if fetched is None and source is not None:
            fetched = await fetches.find(source.id, sync.revision)
        if fetched is not None and sync.applied is not None:
            is_bracket = sync.applied.precision is Precision.ESTIMATED
            latest = sync.applied.earliest if is_bracket else sync.applied.at
            if fetched.at > latest + (KUBERNETES_RESOLUTION if is_bracket else INVERSION_TOLERANCE):
                fetched = None
        return sync if fetched == sync.fetched else replace(sync, fetched=fetched)


def _is_final(sync: SyncRecord) -> bool:
    """A baseline counts once it is reached; what stands beside a branch is carried from the first sign."""
    return sync.cause is not Cause.BASELINE or sync.outcome is Outcome.SUCCEEDED
