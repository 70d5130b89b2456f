"""Hands a Kustomization's commits over to the HelmReleases that they changed, and says what became of them there.

    a sync changed a release (`HandoverRecord`) and is attributed  → its commits have deliveries on the release
    a sync of the release begins or goes on                       → those that it carries follow it

A durable job over the ledger: what is handed is noted, and what a release's syncs make of it is asked of all that is
still open, so that a restart, a late attribution and a late release come to the same end.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import timedelta

import msgspec

from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    Cause,
    CommitId,
    DeliveryRecord,
    SyncId,
    SyncRecord,
    TargetId,
    TargetRecord,
)
from fluxtrail.model.running_records import HandoverRecord
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.outcomes import keep_changes, roll_back
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.releases.ports import HandingLedger, HandingUnit
from fluxtrail.trail.releases.taking import Awaited, may_change_release, take
from fluxtrail.trail.rows import keep_rows, verdict_transition

replace = msgspec.structs.replace

BATCH = 100
REVISITED = timedelta(days=1)
"""How long commits may come to a sync that was handed over already: as long as it may be attributed."""
NEWEST = 16
"""Handovers to a release that are looked at for such commits."""
LOOK_SECONDS = 5.0
"""A handover waits for the attribution of its sync, which says nothing when it is done."""
HELD_AT_ONCE = 50
NEWEST_SYNCS = 64
"""Syncs of a release among which the first one is looked for that has a commit's chart."""


class Hander:
    def __init__(self, *, registry: Registry, ledger: HandingLedger, clock: Clock) -> None:
        self._registry = registry
        self._ledger = ledger
        self._clock = clock
        self._wake = asyncio.Event()
        self._moved: set[TargetId] = set()
        """HelmReleases whose syncs or handovers changed."""
        self._fresh: set[TargetId] = set()
        """HelmReleases to which a sync was handed over that has not ended: it may turn out to carry more commits."""
        self._held: dict[TargetId, None] = {}
        """HelmReleases of which nobody will tell when they are to be looked at again, the longest held first: what
        applies them is about to be read, or their own newest sync is."""
        self._looked_at = -LOOK_SECONDS
        self._has_unhanded = True

    def wake(self) -> None:
        """Something was handed over, or attributed."""
        self._has_unhanded = True
        self._wake.set()

    def note_releases(self, releases: Collection[TargetId]) -> None:
        """Syncs of these began or went on."""
        self._moved |= set(releases)
        self._wake.set()

    async def run(self) -> None:
        """Hand over for ever. Raises StoreError; nothing is forgotten then, run it again."""
        self._moved |= {target.id for target in self._registry.targets if target.key.kind == "HelmRelease"}
        while True:
            self._wake.clear()
            await self.work()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self._has_unhanded = True

    async def work(self) -> None:
        """Deal with what is waiting, once."""
        while self._has_unhanded:
            self._has_unhanded = False
            self._has_unhanded = await self._hand_some() >= BATCH
            self._moved |= self._fresh
        self._take_held()
        while self._moved:
            await self._follow_moved()

    def _take_held(self) -> None:
        now = self._clock.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        for release_id in list(self._held)[:HELD_AT_ONCE]:
            del self._held[release_id]
            self._moved.add(release_id)

    async def _follow_moved(self) -> None:
        ahead, self._moved = self._moved, set()
        try:
            for release_id in sorted(ahead):
                await self._follow(release_id)
                ahead.discard(release_id)
        except BaseException:
            self._moved |= ahead
            raise

    # -- handing over ----------------------------------------------------------------------------------------------

    async def _hand_some(self) -> int:
        async with self._ledger.unit() as unit:
            handovers = await unit.unhanded(limit=BATCH)
            applied = defaultdict[SyncId, list[DeliveryRecord]](list)
            for row in await unit.applied_deliveries(sorted({item.sync_id for item in handovers})):
                if row.applied_sync is not None:
                    applied[row.applied_sync].append(row)
            rows = [
                _handed(row, item.release_id)
                for item in handovers
                for row in applied[item.sync_id]
                if row.target_id != item.release_id
            ]
            await keep_rows(unit, rows)
            await unit.mark_handed(handovers)
        self._moved |= {item.release_id for item in handovers}
        return len(handovers)

    async def _hand_rest(self, unit: HandingUnit, target: TargetRecord, parent: TargetRecord) -> None:
        """Hand over what came to syncs since: commits that are found at their end, or that a parent which is a
        release itself was handed only then.
        """
        since = self._clock.now() - REVISITED
        handed = [item.sync_id for item in await unit.handovers_of([target.id]) if item.is_handed][-NEWEST:]
        syncs = [sync for sync in (await unit.syncs(handed)).values() if sync.started.latest > since]
        rows = await unit.applied_deliveries([sync.id for sync in syncs])
        there = await unit.deliveries(target.id, [row.commit_id for row in rows])
        await unit.put_deliveries([_handed(row, target.id) for row in rows if row.commit_id not in there])
        if any(sync.id == parent.sync_id and not _is_over(sync) for sync in syncs):
            self._fresh.add(target.id)
        else:
            self._fresh.discard(target.id)

    # -- following ---------------------------------------------------------------------------------------------------

    async def _follow(self, release_id: TargetId) -> None:
        """Bring what was handed over to a release in line with its syncs."""
        target = self._registry.target(release_id)
        if target is None or target.parent is None or target.deleted_at is not None:
            return
        parent = self._registry.find_target(target.cluster, target.parent)
        if parent is None:
            return
        async with self._ledger.unit() as unit:
            await self._infer(unit, target, parent)
            await self._hand_rest(unit, target, parent)
            rows = await unit.open_deliveries(release_id, verdicts=sorted(OPEN))
            awaited = await self._await(unit, target, parent, rows)
            if awaited and await self._carry(unit, target, awaited):
                self._moved |= {
                    item.id
                    for item in self._registry.targets
                    if (item.cluster, item.parent) == (target.cluster, target.key)
                }
            await self._go_back(unit, target, parent)

    async def _infer(self, unit: HandingUnit, target: TargetRecord, parent: TargetRecord) -> None:
        """Find the sync that gave a release something else at the same generation: other values from a ConfigMap or
        Secret, or another chart from its OCIRepository.
        """
        if target.sync_id is None or parent.sync_id is None:
            return
        newest = (await unit.syncs([target.sync_id]))[target.sync_id]
        if newest.cause is Cause.REVISION or newest.is_unchanged:
            return
        before = [
            sync for sync in await unit.syncs_from(target.id, generation=newest.generation) if sync.id < newest.id
        ]
        if not before or _key(before[-1]) == _key(newest):
            return
        maker = (await unit.syncs([parent.sync_id]))[parent.sync_id]
        handed = {item.sync_id for item in await unit.handovers_of([target.id])}
        if maker.id in handed or maker.is_unchanged or maker.applied is None or maker.cause is Cause.BASELINE:
            return
        if before[-1].started.earliest < maker.applied.latest and maker.applied.earliest <= newest.started.latest:
            made = HandoverRecord(
                sync_id=maker.id, release_id=target.id, generation=newest.generation, taken_by=newest.id
            )
            await unit.put_handovers([made])
            self._has_unhanded = True

    async def _await(
        self, unit: HandingUnit, target: TargetRecord, parent: TargetRecord, rows: Sequence[DeliveryRecord]
    ) -> list[Awaited]:
        """Return what is known to come to a release, and how.

        What only its chart brings is none of it: that is decided with the sync's attribution (`deciding.py`).
        """
        if not rows:
            return []
        above = await unit.deliveries(parent.id, [row.commit_id for row in rows])
        await self._lose(unit, rows, above)
        handovers = {item.sync_id: item for item in await unit.handovers_of([target.id])}
        makers = await unit.syncs([row.applied_sync for row in above.values() if row.applied_sync is not None])
        positions = await self._positions(unit, target, [row for row in rows if not row.is_handed])
        found: list[Awaited] = []
        for row in rows:
            there = above.get(row.commit_id)
            if there is None or there.verdict is Verdict.ROLLED_BACK:
                continue
            maker = makers.get(there.applied_sync) if there.applied_sync is not None else None
            handover, position = handovers.get(maker.id) if maker else None, positions.get(row.commit_id)
            if handover is None and may_change_release(there, maker):
                self._held[target.id] = None
            elif handover is not None or position is not None:
                found.append(Awaited(row=row, handover=handover, position=position))
        return found

    async def _positions(
        self, unit: HandingUnit, target: TargetRecord, rows: Sequence[DeliveryRecord]
    ) -> dict[CommitId, int]:
        """Return where the commits of a chart stand on its branch, or what carries them there."""
        if not rows or target.repository_id is None or target.branch is None:
            return {}
        deciding = {row.commit_id: row.carrier_id or row.commit_id for row in rows}
        shas = {item.id: item.sha for item in (await unit.commits_by_id(list(deciding.values()))).values()}
        places = await unit.chain_positions(target.repository_id, target.branch, list(shas.values()))
        return {commit: places[shas[by]] for commit, by in deciding.items() if shas.get(by) in places}

    async def _lose(
        self, unit: HandingUnit, rows: Sequence[DeliveryRecord], above: dict[CommitId, DeliveryRecord]
    ) -> None:
        """What its Kustomization went back behind before the release took it, never came to it."""
        now = self._clock.now()
        lost = [
            row
            for row in rows
            if row.applied_sync is None
            and (there := above.get(row.commit_id)) is not None
            and there.verdict is Verdict.ROLLED_BACK
        ]
        await unit.put_deliveries([replace(row, verdict=Verdict.LOST, since=now, reason="") for row in lost])
        await unit.add_transitions([verdict_transition(row, Verdict.LOST, now) for row in lost])

    async def _carry(self, unit: HandingUnit, target: TargetRecord, awaited: Sequence[Awaited]) -> bool:
        """Let the syncs of a release carry what comes to it; returns whether that changed anything."""
        known = {sync.id: sync for sync in await unit.recent_syncs(target.id, limit=NEWEST_SYNCS)}
        first = min((item.handover.generation for item in awaited if item.handover is not None), default=None)
        if first is not None:
            known |= {sync.id: sync for sync in await unit.syncs_from(target.id, generation=first)}
        syncs = [known[sync_id] for sync_id in sorted(known)]
        places: dict[str, int] = {}
        if target.repository_id is not None and target.branch is not None:
            shas = list(dict.fromkeys(sync.sha for sync in syncs if sync.sha))
            places = await unit.chain_positions(target.repository_id, target.branch, shas)
        if syncs and syncs[-1].attributed_version < syncs[-1].version:
            self._held[target.id] = None  # the branch may not have been read as far as that
        now = self._clock.now()
        has_changed = False
        for changes in take(awaited, syncs, places, now=now):
            await keep_changes(unit, changes, now=now)
            has_changed = has_changed or bool(changes)
        return has_changed

    async def _go_back(self, unit: HandingUnit, target: TargetRecord, parent: TargetRecord) -> None:
        """What its Kustomization went back behind, is rolled back on the release too once it followed."""
        newest = (await unit.syncs([target.sync_id])).get(target.sync_id) if target.sync_id is not None else None
        if newest is None or newest.outcome is not Outcome.SUCCEEDED:
            return
        gone = await unit.open_deliveries(parent.id, verdicts=[Verdict.ROLLED_BACK])
        if not gone:
            return
        handovers = await unit.handovers_of([target.id])
        if not handovers or handovers[-1].generation > newest.generation:
            return  # it has still to follow
        there = await unit.deliveries(target.id, [row.commit_id for row in gone])
        rows = [row for row in there.values() if row.applied_sync is not None and row.applied_sync < newest.id]
        await roll_back(unit, rows, newest, now=self._clock.now())


_UNDECIDED: dict[str, None] = {"applied_sync": None, "healthy_sync": None, "undone_by": None}


def _handed(row: DeliveryRecord, release_id: TargetId) -> DeliveryRecord:
    return replace(row, target_id=release_id, verdict=Verdict.PENDING, reason="", is_handed=True, **_UNDECIDED)


def _is_over(sync: SyncRecord) -> bool:
    return sync.outcome is Outcome.SUCCEEDED and sync.attributed_version >= sync.version


def _key(sync: SyncRecord) -> tuple[str, str | None]:
    return sync.revision, sync.manifests_digest
