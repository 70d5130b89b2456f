"""Follows what runs in one cluster: latches roll-outs as they are seen, and tells syncs that all of theirs are done.

    a workload changed   → judge it, keep its record → its open roll-outs may be reached
    a sync was applied   → read again what it may have changed → its roll-outs, and what it handed over to HelmReleases

Both come in any order; what is kept of each is enough to close a sync whenever the other comes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec
import structlog

from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.records import SyncId, SyncRecord, TargetId
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.running_records import HandoverRecord, WorkloadRecord
from fluxtrail.model.workloads import Workload
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.rollouts.asking import EventAsker, EventReader
from fluxtrail.trail.rollouts.census import WorkloadCensus, key_of
from fluxtrail.trail.rollouts.closer import Closer
from fluxtrail.trail.rollouts.ports import Rereader, RunningLedger
from fluxtrail.trail.rollouts.rereading import Reread, Rereading, Unreadable, rollouts_of
from fluxtrail.trail.rollouts.versions import Thing
from fluxtrail.trail.workloads.anchors import FAMILIAR, Anchor
from fluxtrail.trail.workloads.view import WorkloadListener, WorkloadView

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

BUSY_SHARE = 0.25
LONGEST_REST_SECONDS = 0.25
UNREAD_BATCH = 200
RECENT_SYNCS = 32
"""Syncs of a target among which the one before a missed one is looked for; without it, less is known."""
TARGETS_AT_ONCE = 16
PARK_SECONDS = 1.0
"""After which what could not be read is read again."""
CUSTOM_SECONDS = 2.0
"""How often a custom resource that is waited for is read: of its status nothing is watched."""
IDLE_SECONDS = 30.0
BREATH = 100
"""Workloads judged between two turns of the event loop."""


class RolloutKeeper(WorkloadListener):
    """One cluster's, from connecting to it until the connection is given up."""

    def __init__(
        self,
        cluster: ClusterUid,
        *,
        view: WorkloadView,
        ledger: RunningLedger,
        registry: Registry,
        rereader: Rereader,
        events: EventReader,
        clock: Clock,
        on_handover: Callable[[], None],
    ) -> None:
        """Args:
        on_handover: called when commits are on their way to a HelmRelease.
        """
        self._cluster = cluster
        self._view = view
        self._ledger = ledger
        self._registry = registry
        self._rereader = rereader
        self._clock = clock
        self._on_handover = on_handover
        self._census = WorkloadCensus(cluster, view, registry, clock)
        self._rereading = Rereading(
            cluster,
            view=view,
            census=self._census,
            registry=registry,
            rereader=rereader,
            clock=clock,
            generation_of_release=lambda release: self._handed.get(release, 0),
            find_sync=self._find_sync,
            find_before=self._find_before,
        )
        self._handed: dict[TargetId, int] = {}
        """Up to which generation commits were handed over to each HelmRelease."""
        self._closer = Closer(self._census, registry, clock)
        self.asker = EventAsker(
            cluster,
            census=self._census,
            awaited=lambda: self._closer.awaited,
            reader=events,
            clock=clock,
            on_change=self._judge_again,
        )
        """Has a job of its own: what is asked for must not keep what is seen waiting."""
        self._dirty: set[Anchor] = set()
        self._gone: dict[ObjectUid, datetime] = {}
        self._parked: dict[TargetId, float] = {}
        self._has_unread = True
        self._has_listed = True
        """A stream said how complete it is: what is not there may be known to be gone."""
        self._read_customs_at = 0.0
        self._wake = asyncio.Event()
        self.unjudged = 0
        """Objects that could not be judged, since the start: each is a fault of ours, and logged."""

    # -- hearing -------------------------------------------------------------------------------------------------

    def changed(self, anchors: set[Anchor]) -> None:
        self._dirty |= anchors
        self._wake.set()
        if len(anchors) <= BREATH and self._census.known_since is not None:
            self._glimpse(anchors)

    def _glimpse(self, anchors: set[Anchor]) -> None:
        for anchor in anchors:
            try:
                self._census.glimpse(anchor)
            except Exception:
                self.unjudged += 1
                log.exception("workload not judged", cluster=self._cluster, workload=str(anchor))

    def gone(self, key: ObjectKey, uid: ObjectUid, seen_at: datetime) -> None:
        self._gone[uid] = seen_at
        self._wake.set()

    def noted(self, group: str, kind: str) -> None:
        self._has_listed = True
        self._wake.set()

    def _judge_again(self, uids: Iterable[ObjectUid]) -> None:
        for uid in uids:
            self._dirty |= self._view.index.anchors_of(uid)
        self._wake.set()

    def note_syncs(self) -> None:
        """A sync began, went on or was attributed: there may be something to read again."""
        self._has_unread = True
        self._wake.set()

    # -- working -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow for ever. Raises StoreError; nothing is forgotten then, run it again."""
        await self.recall()
        while True:
            started = self._clock.monotonic()
            await self.settle()
            took = self._clock.monotonic() - started
            await self._clock.sleep(min(took * (1 / BUSY_SHARE - 1), LONGEST_REST_SECONDS))
            await self._wait()

    async def _wait(self) -> None:
        is_ready = self._view.is_ready()
        timed = [PARK_SECONDS] if self._parked or not is_ready or self._closer.has_superseded else []
        timed += [CUSTOM_SECONDS] if self._awaited_customs() else []
        try:
            async with asyncio.timeout(min(timed, default=IDLE_SECONDS)):
                await self._wake.wait()
        except TimeoutError:
            self._has_unread = True
        self._wake.clear()

    async def recall(self) -> None:
        """Read what was known before."""
        async with self._ledger.unit() as unit:
            self._census.recall(await unit.workloads(self._cluster))
            self._closer.recall(await unit.open_rollouts(self._cluster))
            self._handed = await unit.handed_generations(self._cluster)
            since = await unit.get_note(since_note(self._cluster))
        self._census.known_since = datetime.fromisoformat(since) if since else None
        self._dirty |= self._view.index.anchors()
        self._has_unread = True

    async def settle(self) -> None:
        """Judge what changed and read what was applied; nothing before every kind was listed."""
        if not self._view.is_ready():
            return
        self._view.give_up_waiting()
        if self._census.known_since is None:
            await self._begin()
        await self._read_customs()
        await self._settle_workloads()
        if self._has_unread:
            self._has_unread = False
            await self._settle_syncs()

    async def _begin(self) -> None:
        now = self._clock.now()
        async with self._ledger.unit() as unit:
            await unit.put_note(since_note(self._cluster), now.isoformat())
        self._census.known_since = now

    # -- workloads -----------------------------------------------------------------------------------------------

    async def _settle_workloads(self) -> None:
        dirty, self._dirty = self._dirty, set()
        gone, self._gone = self._gone, {}
        try:
            changed = await self._judge(dirty)
            changed += self._ended(gone)
            await self._keep(changed)
            self._census.confirm()
        except BaseException:
            self._census.undo()
            self._dirty |= dirty
            self._gone = gone | self._gone
            raise

    async def _judge(self, dirty: set[Anchor]) -> list[WorkloadRecord]:
        things = {thing.uid: thing for thing in self._census.homeless()}
        for anchor in dirty:
            things |= {thing.uid: thing for thing in self._census.affected(anchor)}
        found = []
        for count, thing in enumerate(things.values(), 1):
            record = self._judge_safely(thing)
            if record is not None:
                found.append(record)
            if count % BREATH == 0:
                await asyncio.sleep(0)
        return found

    def _judge_safely(self, thing: Thing) -> WorkloadRecord | None:
        """One object that we cannot make sense of must not stop the others."""
        try:
            return self._census.judge(thing)
        except Exception:
            self.unjudged += 1
            log.exception("workload not judged", cluster=self._cluster, object=str(key_of(thing)))
            return None

    def _ended(self, gone: dict[ObjectUid, datetime]) -> list[WorkloadRecord]:
        now = self._clock.now()
        ended = dict.fromkeys(self._vanished(), now) | gone
        return [
            record
            for uid, at in ended.items()
            if self._view.index.get(uid) is None and (record := self._census.end(uid, at)) is not None
        ]

    def _vanished(self) -> list[ObjectUid]:
        """Return what went while nobody watched: of kinds that are known to be complete."""
        if not self._has_listed:
            return []
        self._has_listed = False
        return [
            uid
            for uid in self._census.vanished()
            if (record := self._census.record(uid)) is not None
            and self._view.streams.covers(record.key.group, record.key.kind, None)
        ]

    async def _keep(self, changed: Sequence[WorkloadRecord]) -> None:
        """Keep records, and close what they close, in one unit."""
        silent = self._closer.silent
        if not changed and not silent and not self._closer.has_superseded:
            return
        async with self._ledger.unit() as unit:
            saved = await unit.put_workloads(changed) if changed else []
            for record in saved:
                self._census.keep(record)
            await self._closer.close_of(unit, silent | {record.id for record in saved})
        for record in saved:
            if record.deleted_at is not None:
                self._census.forget(record.uid)

    # -- syncs ---------------------------------------------------------------------------------------------------

    async def _settle_syncs(self) -> None:
        now = self._clock.monotonic()
        self._parked = {target: until for target, until in self._parked.items() if until > now}
        async with self._ledger.unit() as unit:
            await self._closer.drop_deleted(unit)
            unread = await unit.unread_syncs(self._cluster, limit=UNREAD_BATCH + len(self._parked))
        by_target: defaultdict[TargetId, list[SyncRecord]] = defaultdict(list)
        for sync in unread:
            if sync.target_id not in self._parked:
                by_target[sync.target_id].append(sync)
        items = list(by_target.items())
        for start in range(0, len(items), TARGETS_AT_ONCE):
            some = items[start : start + TARGETS_AT_ONCE]
            for reread in await asyncio.gather(*(self._read(target_id, syncs) for target_id, syncs in some)):
                if reread is not None:
                    await self._take(reread)
        if len(unread) >= UNREAD_BATCH:
            self.note_syncs()

    async def _read(self, target_id: TargetId, syncs: Sequence[SyncRecord]) -> Reread | None:
        """Read again what syncs of one target changed; None where that is to be tried later."""
        try:
            return await self._rereading.read(target_id, syncs)
        except Unreadable as reason:
            self._parked[target_id] = self._clock.monotonic() + reason.seconds
            return None

    async def _take(self, reread: Reread) -> None:
        """Keep what syncs changed, and close at once what has rolled out already."""
        syncs = {sync.id: sync for sync in reread.syncs}
        async with self._ledger.unit() as unit:
            if reread.state is not None:
                await unit.note_running([(sync_id, reread.state, None) for sync_id in syncs])
            read = [self._merge(record) for record in reread.read]
            saved = {record.uid: record for record in await unit.put_workloads(read)}
            rows = rollouts_of(reread, saved)
            await unit.put_rollouts(rows)
            await unit.put_handovers(reread.handovers)
            for record in saved.values():
                self._census.keep(record)
            waiting = {row.sync_id for row in rows}
            if reread.state is None:
                unmoved = dict.fromkeys(reread.doubtful, RunningState.UNKNOWN)
                states = (
                    dict.fromkeys(syncs, RunningState.ABSENT) | unmoved | dict.fromkeys(waiting, RunningState.WAITING)
                )
                await unit.note_running([(sync, state, None) for sync, state in states.items()])
            await self._closer.open(unit, rows)
        for record in saved.values():
            self._dirty |= self._view.index.anchors_of(record.uid)  # of what was read in full, more is known now
        self._note_handed(reread.handovers)
        if reread.handovers:
            self._on_handover()

    async def _find_sync(self, sync_id: SyncId) -> SyncRecord | None:
        async with self._ledger.unit() as unit:
            return (await unit.syncs([sync_id])).get(sync_id)

    async def _find_before(self, sync: SyncRecord) -> SyncRecord | None:
        async with self._ledger.unit() as unit:
            recent = await unit.recent_syncs(sync.target_id, limit=RECENT_SYNCS)
        return next((item for item in reversed(recent) if item.id < sync.id), None)

    def _merge(self, read: WorkloadRecord) -> WorkloadRecord:
        """What was judged while it was read stays; only what a later sync's changes are told from is taken."""
        kept = self._census.record(read.uid)
        if kept is None:
            return read
        return replace(
            kept, target_id=read.target_id, generation=read.generation, touched_at=read.touched_at, images=read.images
        )

    def _note_handed(self, handovers: Sequence[HandoverRecord]) -> None:
        for item in handovers:
            self._handed[item.release_id] = max(self._handed.get(item.release_id, 0), item.generation)

    async def _read_customs(self) -> None:
        """Read custom resources that are waited for in full: whether their operator has looked is in their status."""
        now, awaited = self._clock.monotonic(), self._awaited_customs()
        if not awaited or now - self._read_customs_at < CUSTOM_SECONDS:
            return
        self._read_customs_at = now
        for key in awaited:
            try:
                item = await self._rereader.read(key)
            except Exception as exc:  # noqa: BLE001 - one that cannot be read is waited for as it is
                log.warning("custom resource not read", object=str(key), error=str(exc))
                continue
            if isinstance(item, Workload):
                self._census.note_read(item)
                self._dirty |= self._view.index.anchors_of(item.uid)

    def _awaited_customs(self) -> list[ObjectKey]:
        keys = (self._census.key_of(workload_id) for workload_id in self._closer.awaited)
        return [key for key in dict.fromkeys(keys) if key is not None and (key.group, key.kind) not in FAMILIAR]


def since_note(cluster: ClusterUid) -> str:
    """Return the name of the note that says since when a cluster's workloads are known; empty for not (any more)."""
    return f"workloads_known_since/{cluster}"
