"""Which commits a sync carried, and what that makes of them: a durable job over the ledger.

A sync that changed is looked at until the ledger says that this version of it has been dealt with; a restart goes on
where it stopped. Reading git comes first, one unit then decides and writes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from fluxtrail.model.errors import AuthError, ConfigError, FluxtrailError, NotFoundError
from fluxtrail.model.moment import Evidence
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import (
    UNSAVED,
    Attribution,
    Cause,
    CommitId,
    CommitRecord,
    DeliveryRecord,
    RepositoryId,
    RepositoryRecord,
    SourceRecord,
    SyncId,
    SyncRecord,
    TargetId,
)
from fluxtrail.model.sources import ARTIFACT_KINDS
from fluxtrail.model.verdict import Verdict
from fluxtrail.trail.artifact_attribution import ArtifactAttribution
from fluxtrail.trail.artifacts import ArtifactRecorder
from fluxtrail.trail.deciding import Decider
from fluxtrail.trail.exports import ExportBook
from fluxtrail.trail.includes import Includes
from fluxtrail.trail.lookback import Found, Lookback
from fluxtrail.trail.naming import Naming
from fluxtrail.trail.outcomes import Carried, apply_outcome
from fluxtrail.trail.pins import Pins
from fluxtrail.trail.ports import Clock, Ledger, Repositories, RepositoryReader, Unit
from fluxtrail.trail.readings import Fetches, Reading, in_turns
from fluxtrail.trail.recorder import Recorder
from fluxtrail.trail.registry import Registry

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

FOLLOWED_KINDS = ("GitRepository", *ARTIFACT_KINDS)
BATCH = 100
ROLLBACK_LIMIT = 1_000
GIVE_UP_AFTER = timedelta(hours=24)
RETRY_SECONDS = (1.0, 60.0)
GATHER_SECONDS = 0.05
FETCH_PATIENCE = timedelta(seconds=20)
"""How long a sync waits for the source's own stream to say when its revision was fetched: it may lag behind, and so may
we. What comes later is lost for ever, since figures are made of a sync once its commits are known."""
FETCH_PATIENCE_SECONDS = 0.25
BRANCH_PATIENCE = timedelta(seconds=30)
"""How long a sync of a source that follows tags waits for the repository to say which branch is its default."""
SOURCE_PATIENCE_SECONDS = 1.0


class Attributor:
    def __init__(
        self,
        *,
        registry: Registry,
        ledger: Ledger,
        repositories: Repositories,
        recorder: Recorder,
        exports: ExportBook,
        lookback: Lookback,
        artifacts: ArtifactRecorder,
        clock: Clock,
        on_done: Callable[[Collection[ClusterUid]], None] = lambda _: None,
        hands_over: bool = True,
    ) -> None:
        """Args:
        on_done: syncs of targets of these clusters were attributed.
        hands_over: whether commits are handed over to HelmReleases.
        """
        self._registry = registry
        self._ledger = ledger
        self._repositories = repositories
        self._recorder = recorder
        self._decider = Decider(
            registry=registry, exports=exports, lookback=lookback, clock=clock, hands_over=hands_over
        )
        self._lookback = lookback
        self._includes = Includes(registry=registry, ledger=ledger, exports=exports, clock=clock)
        self._artifacts = ArtifactAttribution(
            registry=registry,
            ledger=ledger,
            recorder=artifacts,
            decider=self._decider,
            includes=self._includes,
            lookback=lookback,
            clock=clock,
        )
        self._naming = Naming(registry)
        self._pins = Pins(registry=registry, clock=clock)
        self._clock = clock
        self._on_done = on_done
        self._wake = asyncio.Event()
        self._parked: dict[SyncId, float] = {}
        """Syncs that wait for something, until when (monotonic)."""
        self._failures: dict[RepositoryId, int] = {}
        self.pending = 0
        """Syncs that waited at the last look."""
        self.gaps = 0
        """Syncs given up since the start."""

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Attribute for ever. Never ends by itself; a repository that fails does not hold up the others."""
        while True:
            self._wake.clear()
            clusters = await self.work()
            if clusters:
                self._on_done(clusters)
            else:
                await self._rest()
            if self.pending < BATCH:
                # Syncs come in crowds, and cost least together.
                await self._clock.sleep(GATHER_SECONDS)

    async def _rest(self) -> None:
        soonest = min(self._parked.values(), default=self._clock.monotonic() + RETRY_SECONDS[1])
        try:
            async with asyncio.timeout(max(soonest - self._clock.monotonic(), 0.05)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def work(self) -> Collection[ClusterUid]:
        """Deal with what is waiting, once; returns whose it was: none where nothing was dealt with."""
        plain: list[SyncRecord] = []
        by_repository: dict[RepositoryId, list[SyncRecord]] = {}
        clusters: set[ClusterUid] = set()
        for sync in await self._ready():
            target = self._registry.target(sync.target_id)
            clusters |= {target.cluster} if target is not None else set()
            is_own = sync.cause is Cause.CONFIGURATION and not self._includes.may_carry(sync)
            if target is None or target.repository_id is None or sync.sha is None or is_own:
                plain.append(sync)
            else:
                by_repository.setdefault(target.repository_id, []).append(sync)
        done = await self._close_plain(plain)
        for repository_id, syncs in by_repository.items():
            done |= await self._attribute_repository(self._registry.repositories[repository_id], syncs)
        return clusters if done else ()

    async def _ready(self) -> list[SyncRecord]:
        """Return what can be dealt with now; the rest is parked."""
        now = self._clock.monotonic()
        self._parked = {sync_id: until for sync_id, until in self._parked.items() if until > now}
        async with self._ledger.unit() as unit:
            waiting, named = await self._naming.name_syncs(
                unit, await unit.unattributed_syncs(limit=BATCH + len(self._parked))
            )
            self.pending = len(waiting)
            fetches = Fetches(unit)
            ready = []
            held: set[TargetId] = set()
            for sync in waiting:
                # The syncs of a target are dealt with in their order: a rollback undoes what came before it.
                if sync.id in self._parked or sync.target_id in held:
                    held.add(sync.target_id)
                    continue
                patience = await self._patience(fetches, sync)
                if patience is None:
                    ready.append(sync)
                else:
                    self._parked[sync.id] = now + patience
                    held.add(sync.target_id)
        for target in named:
            current = self._registry.target(target.id)
            if current is not None and (current.applied, current.applied_sha) == (target.applied, None):
                self._registry.put_target(replace(current, applied_sha=target.applied_sha))
        return ready

    async def _patience(self, fetches: Fetches, sync: SyncRecord) -> float | None:
        """Return for how long a sync should wait for what its source's stream has yet to say, or None."""
        target = self._registry.target(sync.target_id)
        if target is None or target.source.kind not in FOLLOWED_KINDS:
            return None
        age = self._clock.now() - sync.started.latest
        if sync.sha is None:
            may_be_named = target.source.kind in ARTIFACT_KINDS and sync.cause is not Cause.CONFIGURATION
            return FETCH_PATIENCE_SECONDS if may_be_named and age < FETCH_PATIENCE else None
        if target.repository_id is None:
            return SOURCE_PATIENCE_SECONDS if age < GIVE_UP_AFTER else None
        if target.branch is None and age < BRANCH_PATIENCE:
            return SOURCE_PATIENCE_SECONDS
        if sync.started.evidence is Evidence.EVENT:
            return None  # no stream tells of its source
        source = self._registry.source_of(target)
        if source is None or age > FETCH_PATIENCE or self._is_replaced(source, sync):
            return None
        return FETCH_PATIENCE_SECONDS if await fetches.find(source.id, sync.revision) is None else None

    def _is_replaced(self, source: SourceRecord, sync: SyncRecord) -> bool:
        """Whether a source is known to have fetched something else since: no stream brings what it had before."""
        fetched_at = self._registry.fetched_at.get(source.id)
        return fetched_at is not None and sync.applied is not None and fetched_at > sync.applied.latest

    async def _close_plain(self, syncs: Sequence[SyncRecord]) -> bool:
        """Close syncs that carry no commit, and those whose revision names none."""
        if not syncs:
            return False
        async with self._ledger.unit() as unit:
            for sync in syncs:
                problem = self._why_plain(sync)
                self.gaps += problem is not None
                await self._close(unit, sync, Attribution.GAP if problem else Attribution.DONE, problem)
        return True

    def _why_plain(self, sync: SyncRecord) -> str | None:
        """Return why the commits of a sync stay unknown; None if it carried none."""
        if sync.cause is not Cause.REVISION:
            return None
        if sync.sha is None:
            return f"the revision {sync.revision!r} names no commit"
        target = self._registry.target(sync.target_id)
        return f"the source {target.source} was never seen" if target is not None else None

    async def _attribute_repository(self, repository: RepositoryRecord, syncs: Sequence[SyncRecord]) -> bool:
        async with self._recorder.lock(repository):
            if repository.is_artifact:
                return await self._attribute_artifacts(repository, syncs)
            try:
                reader = self._repositories.open(repository.url)
                readings = await self._read_all(repository, reader, syncs)
                included = await self._includes.read(syncs)
            except FluxtrailError as exc:
                await self._postpone(repository, syncs, exc)
                return False
            self._failures.pop(repository.id, None)
            async with self._ledger.unit() as unit:
                for turn in in_turns(readings):
                    await self._decider.decide(unit, repository, turn)
                await self._includes.keep(unit, included)
            await self._pins.renew(repository, reader, syncs)
        return True

    async def _attribute_artifacts(self, repository: RepositoryRecord, syncs: Sequence[SyncRecord]) -> bool:
        try:
            await self._artifacts.attribute(repository, syncs)
        except FluxtrailError as exc:
            await self._postpone(repository, syncs, exc)
            return False
        self._failures.pop(repository.id, None)
        return True

    # -- reading -------------------------------------------------------------------------------------------------

    async def _read_all(
        self, repository: RepositoryRecord, reader: RepositoryReader, syncs: Sequence[SyncRecord]
    ) -> list[Reading]:
        by_branch: defaultdict[str | None, list[SyncRecord]] = defaultdict(list)
        for sync in syncs:
            by_branch[self._branch_of(sync)].append(sync)
        places = {
            branch: await self._place(repository, reader, branch, mine) if branch is not None else {}
            for branch, mine in by_branch.items()
        }
        return [
            await self._read(repository, reader, sync, branch, places[branch])
            for branch, mine in by_branch.items()
            for sync in mine
        ]

    async def _place(
        self, repository: RepositoryRecord, reader: RepositoryReader, branch: str, syncs: Sequence[SyncRecord]
    ) -> dict[str, int]:
        """Return where the commits of these syncs stand; the branch is brought up to the newest that Flux works on."""
        wanted = [sha for sync in syncs for sha in (sync.sha, sync.previous_sha) if sha]
        places = await self._positions(repository, branch, wanted)
        missing = list(dict.fromkeys(sync.sha for sync in syncs if sync.sha and sync.sha not in places))
        unknown = [sha for sha in missing if not await reader.has(sha)]
        if not missing and (repository.id, branch) in self._registry.branches:
            return places
        await self._recorder.advance(repository, branch, want=unknown)
        return await self._positions(repository, branch, wanted)

    async def _positions(self, repository: RepositoryRecord, branch: str, shas: Sequence[str]) -> dict[str, int]:
        async with self._ledger.unit() as unit:
            return await unit.chain_positions(repository.id, branch, shas)

    def _branch_of(self, sync: SyncRecord) -> str | None:
        target = self._registry.target(sync.target_id)
        return target.branch if target else None

    async def _read(
        self,
        repository: RepositoryRecord,
        reader: RepositoryReader,
        sync: SyncRecord,
        branch: str | None,
        places: dict[str, int],
    ) -> Reading:
        assert sync.sha is not None
        here, before = places.get(sync.sha), places.get(sync.previous_sha or "")
        dropped: tuple[str, ...] = ()
        found: Found | None = None
        if here is None or sync.cause is Cause.BASELINE or (before is None and sync.previous_sha is not None):
            dropped = await self._dropped(reader, sync)
        if here is None:
            found = await self._lookback.read_beside(repository, reader, sync)
        elif sync.cause is Cause.BASELINE:
            found = await self._lookback.read_ahead(repository, reader, sync)
        return Reading(sync=sync, branch=branch, here=here, before=before, dropped=dropped, found=found)

    async def _dropped(self, reader: RepositoryReader, sync: SyncRecord) -> tuple[str, ...]:
        if not sync.previous_sha or not sync.sha or not await reader.has(sync.previous_sha):
            return ()
        facts = await reader.log(sync.previous_sha, exclude=[sync.sha], limit=ROLLBACK_LIMIT, with_paths=False)
        return tuple(item.sha for item in facts)

    # -- closing -------------------------------------------------------------------------------------------------

    async def _close(self, unit: Unit, sync: SyncRecord, state: Attribution, problem: str | None) -> None:
        current = (await unit.syncs([sync.id]))[sync.id]
        await unit.put_sync(
            replace(current, attribution=state, attribution_problem=problem, attributed_version=sync.version)
        )

    async def _postpone(self, repository: RepositoryRecord, syncs: Sequence[SyncRecord], exc: FluxtrailError) -> None:
        """Note why it cannot be read now; the revision's own commit is followed all the same. After a day: a gap."""
        failures = self._failures[repository.id] = self._failures.get(repository.id, 0) + 1
        low, high = RETRY_SECONDS
        wait = exc.retry_after_seconds or min(high, low * 2 ** min(failures - 1, 10))
        until = self._clock.monotonic() + wait
        self._parked.update((sync.id, until) for sync in syncs)
        log.warning("repository unreadable", repository=repository.canonical, error=str(exc), retry_in_seconds=wait)
        closed_to_us = isinstance(exc, AuthError | NotFoundError | ConfigError)
        now = self._clock.now()
        async with self._ledger.unit() as unit:
            for sync in syncs:
                if closed_to_us or repository.is_artifact:
                    await self._follow_own_commit(unit, repository, sync, now)
                if now - sync.started.latest > GIVE_UP_AFTER:
                    self.gaps += 1
                    await self._close(unit, sync, Attribution.GAP, str(exc))
                elif sync.attribution_problem != str(exc):
                    current = (await unit.syncs([sync.id]))[sync.id]
                    await unit.put_sync(replace(current, attribution_problem=str(exc)))

    async def _follow_own_commit(
        self, unit: Unit, repository: RepositoryRecord, sync: SyncRecord, now: datetime
    ) -> None:
        target = self._registry.target(sync.target_id)
        if target is None or sync.sha is None or sync.cause is not Cause.REVISION:
            return
        known = (await unit.commits_by_sha(repository.id, [sync.sha])).get(sync.sha)
        if known is None:
            record = CommitRecord(id=CommitId(UNSAVED), repository_id=repository.id, sha=sync.sha)
            known = (await unit.put_commits([record]))[0]
        row = (await unit.deliveries(target.id, [known.id])).get(known.id) or DeliveryRecord(
            commit_id=known.id,
            target_id=target.id,
            verdict=Verdict.PENDING,
            since=sync.started.at,
            is_scope_unknown=True,
        )
        await unit.put_deliveries([row])
        await apply_outcome(unit, target, sync, Carried(rows=[row], range_ids=[]), now=now)
