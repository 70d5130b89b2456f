"""Attributes the syncs of targets whose artifacts have no git of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fluxtrail.model.records import (
    UNSAVED,
    Cause,
    CommitId,
    CommitRecord,
    DeliveryRecord,
    RepositoryRecord,
    SyncRecord,
    TargetRecord,
)
from fluxtrail.model.revision import short_revision
from fluxtrail.model.verdict import Verdict
from fluxtrail.trail.artifacts import ArtifactRecorder
from fluxtrail.trail.deciding import Decider
from fluxtrail.trail.includes import Includes
from fluxtrail.trail.lookback import LIMIT, Lookback
from fluxtrail.trail.outcomes import Carried, apply_outcome
from fluxtrail.trail.ports import Clock, Ledger, Unit
from fluxtrail.trail.readings import Reading, in_turns
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.rows import keep_rows, pending_rows


class ArtifactAttribution:
    def __init__(
        self,
        *,
        registry: Registry,
        ledger: Ledger,
        recorder: ArtifactRecorder,
        decider: Decider,
        includes: Includes,
        lookback: Lookback,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._recorder = recorder
        self._decider = decider
        self._includes = includes
        self._lookback = lookback
        self._clock = clock

    async def attribute(self, repository: RepositoryRecord, syncs: Sequence[SyncRecord]) -> None:
        """Decide what these syncs carried. The caller holds the repository's lock.

        Raises:
            FluxtrailError: what an artifact was made from cannot be read (yet); nothing was decided.
        """
        by_branch: defaultdict[str, list[SyncRecord]] = defaultdict(list)
        for sync in syncs:
            target = self._registry.target(sync.target_id)
            if target is not None and target.branch is not None:
                by_branch[target.branch].append(sync)
        for branch in by_branch:
            await self._recorder.advance(repository, branch)
        included = await self._includes.read(syncs)
        async with self._ledger.unit() as unit:
            readings = [
                reading
                for branch, mine in by_branch.items()
                for reading in await self._place(unit, repository, branch, mine)
            ]
            for turn in in_turns(readings):
                for reading in turn:
                    await self._prepare(unit, repository, reading)
                await self._decider.decide(unit, repository, turn)
            await self._includes.keep(unit, included)

    async def _place(
        self, unit: Unit, repository: RepositoryRecord, branch: str, syncs: Sequence[SyncRecord]
    ) -> list[Reading]:
        shas = [sha for sync in syncs for sha in (sync.sha, sync.previous_sha) if sha]
        places = await unit.chain_positions(repository.id, branch, shas)
        return [
            Reading(
                sync=sync,
                branch=branch,
                here=places.get(sync.sha or ""),
                before=places.get(sync.previous_sha or ""),
            )
            for sync in syncs
        ]

    async def _prepare(self, unit: Unit, repository: RepositoryRecord, reading: Reading) -> None:
        """Make the deliveries that could not be made when the artifacts came."""
        target = self._registry.target(reading.sync.target_id)
        if target is None or target.deleted_at is not None:
            return
        if reading.here is None:
            await self._follow_unfetched(unit, repository, target, reading.sync)
        elif reading.sync.cause is Cause.BASELINE and reading.branch is not None:
            await self._open_ahead(unit, repository, target, reading)

    async def _open_ahead(
        self, unit: Unit, repository: RepositoryRecord, target: TargetRecord, reading: Reading
    ) -> None:
        """What was fetched beyond a new baseline is pending from now on."""
        assert reading.branch is not None
        ahead = await unit.chain_slice(repository.id, reading.branch, after=reading.here, through=None, limit=LIMIT)
        own = []
        if self._lookback.measures_baseline(target) and reading.sync.sha:
            own = list((await unit.commits_by_sha(repository.id, [reading.sync.sha])).values())
        links: defaultdict[CommitId, list[CommitId]] = defaultdict(list)
        for link in await unit.exports_of([commit.id for commit in (*own, *ahead)]):
            links[link.carrier_id].append(link.source_id)
        now = self._clock.now()
        await keep_rows(
            unit,
            [
                row
                for commit in (*own, *ahead)
                for row in pending_rows(commit, target.id, links.get(commit.id, ()), now)
            ],
        )

    async def _follow_unfetched(
        self, unit: Unit, repository: RepositoryRecord, target: TargetRecord, sync: SyncRecord
    ) -> None:
        """An artifact that came and went while nobody watched the source: it is followed, without its sources."""
        if sync.sha is None or sync.cause is not Cause.REVISION:
            return
        made = CommitRecord(
            id=CommitId(UNSAVED), repository_id=repository.id, sha=sync.sha, subject=short_revision(sync.revision)
        )
        known = (await unit.commits_by_sha(repository.id, [sync.sha])).get(sync.sha)
        commit = known or (await unit.put_commits([made]))[0]
        row = (await unit.deliveries(target.id, [commit.id])).get(commit.id) or DeliveryRecord(
            commit_id=commit.id,
            target_id=target.id,
            verdict=Verdict.PENDING,
            since=sync.started.at,
            is_scope_unknown=True,
        )
        await unit.put_deliveries([row])
        await apply_outcome(unit, target, sync, Carried(rows=[row], range_ids=[]), now=self._clock.now())
