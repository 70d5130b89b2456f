"""The `image` strategy: which source commits a sync brought by changing a workload's image. A durable job.

A sync changed the image of a container from A to B, and B was built from a commit: that commit, and those since A's,
are delivered by the sync. The commit that set the image is their carrier. All of it may be learnt late: pods start
after the sync, a registry answers later, or only after a restart; what was dealt with is noted with the roll-out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from fluxtrail.model.errors import FluxtrailError, StoreError
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import RepositoryId, SyncId, SyncRecord, TargetRecord
from fluxtrail.model.running_records import RolloutRecord, WorkloadId
from fluxtrail.trail.images.carrying import deliver, drop, find_carrier, is_settled, keep_sources
from fluxtrail.trail.images.changes import built_from
from fluxtrail.trail.images.histories import Brought, Bump, Histories
from fluxtrail.trail.images.plans import GIVE_UP_AFTER, Plan, State, Step, plan_rollout
from fluxtrail.trail.images.ports import ImageLedger, ImageUnit, RolloutKey
from fluxtrail.trail.ports import Clock, RepositoryReader
from fluxtrail.trail.registry import Registry

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

BATCH = 100
GATHER_SECONDS = 0.25
RECHECK_SECONDS = 2.0
"""What waits is not looked at more often, whatever is told: syncs come in crowds, and most concern others."""
PARK_SECONDS = (2.0, 300.0)
"""Least and longest wait before a roll-out is looked at again that waits for something; it grows with its age."""
PARK_SHARE = 0.1
REST_SECONDS = 60.0
RETRY_SECONDS = 5.0
PARENTS_LIMIT = 8
HANDOVER_SECONDS = 600.0
"""How long a HelmRelease's sync waits for the commits that a Kustomization hands over to it."""


class ImageBumps:
    """One for all clusters; `run` never ends by itself.

    Args:
        find_reader: opens a source repository by its canonical name, where it is known and may be read.
    """

    def __init__(
        self,
        *,
        ledger: ImageLedger,
        registry: Registry,
        find_reader: Callable[[str], RepositoryReader | None],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._histories = Histories(find_reader)
        self._clock = clock
        self._wake = asyncio.Event()
        self._parked: dict[RolloutKey, float] = {}
        """Until when (monotonic)."""
        self._looked_at: dict[RolloutKey, float] = {}
        """When each of those was looked at last."""
        self.waiting = 0
        """Roll-outs whose images were not dealt with at the last look."""
        self.traced = 0
        """Roll-outs since the start whose images brought commits."""

    def wake(self) -> None:
        """Something is known that was waited for: roll-outs, images, attributions."""
        self._parked = {key: min(until, self._looked_at[key] + RECHECK_SECONDS) for key, until in self._parked.items()}
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            try:
                busy = await self.work()
            except StoreError as exc:
                log.warning("images not traced", error=str(exc))
                await self._clock.sleep(RETRY_SECONDS)
                continue
            if not busy:
                await self._rest()
            await self._clock.sleep(GATHER_SECONDS)

    async def _rest(self) -> None:
        now = self._clock.monotonic()
        soonest = min(self._parked.values(), default=now + REST_SECONDS)
        try:
            async with asyncio.timeout(max(soonest - now, GATHER_SECONDS)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def work(self) -> bool:
        """Deal with what can be dealt with now, once; returns whether anything was."""
        now = self._clock.monotonic()
        self._parked = {key: until for key, until in self._parked.items() if until > now}
        self._looked_at = {key: self._looked_at[key] for key in self._parked}
        async with self._ledger.unit() as unit:
            plans = await self._plan(unit)
            done = [_key(plan.rollout) for plan in plans if plan.state is State.NOTHING]
            await unit.note_traced(done)
        is_busy = bool(done)
        held: set[WorkloadId] = set()
        for plan in plans:
            # The syncs of a workload are dealt with in their order: a step back undoes what came before it.
            if plan.rollout.workload_id in held:
                continue
            is_done = plan.state is State.NOTHING or (plan.state is State.READY and await self._trace(plan))
            is_busy |= is_done and plan.state is State.READY
            if not is_done:
                held.add(plan.rollout.workload_id)
                self._park(plan)
        return is_busy

    async def _plan(self, unit: ImageUnit) -> list[Plan]:
        """Return what is to be done for each roll-out that is not parked, in the order of their syncs."""
        rollouts = await unit.untraced_rollouts(BATCH + len(self._parked))
        self.waiting = len(rollouts)
        newest = {rollout.workload_id: rollout.sync_id for rollout in rollouts}
        held: set[WorkloadId] = set()
        ready: list[RolloutRecord] = []
        for rollout in rollouts:
            if _key(rollout) in self._parked or rollout.workload_id in held:
                held.add(rollout.workload_id)
            else:
                ready.append(rollout)
        syncs = await unit.syncs(list({rollout.sync_id for rollout in ready}))
        workloads = await unit.workloads_by_id(list({rollout.workload_id for rollout in ready}))
        now = self._clock.now()
        return [
            await plan_rollout(
                unit,
                rollout,
                syncs.get(rollout.sync_id),
                self._target_of(syncs.get(rollout.sync_id)),
                workloads.get(rollout.workload_id),
                is_superseded=newest[rollout.workload_id] != rollout.sync_id,
                now=now,
            )
            for rollout in ready
        ]

    def _target_of(self, sync: SyncRecord | None) -> TargetRecord | None:
        return self._registry.target(sync.target_id) if sync is not None else None

    def _park(self, plan: Plan) -> None:
        low, high = PARK_SECONDS
        age = self._age_seconds(plan.sync) if plan.sync else 0.0
        wait = min(high, max(low, age * PARK_SHARE))
        key, now = _key(plan.rollout), self._clock.monotonic()
        self._parked[key], self._looked_at[key] = now + wait, now

    def _age_seconds(self, sync: SyncRecord) -> float:
        begun = sync.applied or sync.started
        return (self._clock.now() - begun.at).total_seconds()

    # -- one roll-out ------------------------------------------------------------------------------------------

    async def _trace(self, plan: Plan) -> bool:
        """Find the commits of a roll-out's images and write what became of them; returns whether that is all."""
        assert plan.sync is not None
        assert plan.target is not None
        try:
            found = [(step, await self._read(plan, step)) for step in plan.steps]
        except StoreError:
            raise
        except FluxtrailError as exc:
            log.info("source repository not readable yet", sync=plan.sync.id, error=str(exc))
            return False
        async with self._ledger.unit() as unit:
            is_done = await self._write(unit, plan, plan.target, found)
            if is_done:
                await unit.note_traced([_key(plan.rollout)])
        if is_done:
            self.traced += 1
            log.info(
                "images traced",
                target=str(plan.target.key),
                sync=plan.sync.id,
                commits=sum(len(brought.commits) for _, brought in found),
                dropped=sum(len(brought.dropped) for _, brought in found),
            )
        return is_done

    async def _read(self, plan: Plan, step: Step) -> Brought:
        brought = await self._histories.read(step.bump, is_late=plan.is_late)
        if not brought.dropped:
            return brought
        async with self._ledger.unit() as unit:
            kept = await self._kept(unit, plan, step.bump)
        kept |= {other.bump.after for other in plan.steps if other.bump.source == step.bump.source}
        bump = replace(step.bump, kept=tuple(sorted(kept - {step.bump.after})))
        return await self._histories.read(bump, is_late=plan.is_late)

    async def _kept(self, unit: ImageUnit, plan: Plan, bump: Bump) -> set[str]:
        """Return the commits of the same repository that other containers of the target run."""
        assert plan.target is not None
        rollout = plan.rollout
        digests: set[str] = set()
        for record in await unit.workloads_of([plan.target.id]):
            digests |= {
                digest
                for container, digest in record.digests.items()
                if record.id != rollout.workload_id
                or rollout.images.get(container) == rollout.images_before.get(container)
            }
        images = await unit.images(sorted(digests))
        found = (built_from(frozenset({digest}), images) for digest in images)
        return {item.revision for item in found if item.source == bump.source and item.revision is not None}

    async def _write(
        self, unit: ImageUnit, plan: Plan, target: TargetRecord, found: Sequence[tuple[Step, Brought]]
    ) -> bool:
        assert plan.sync is not None
        now = self._clock.now()
        sync = (await unit.syncs([plan.sync.id])).get(plan.sync.id)
        if sync is None:
            return True
        made = [
            await keep_sources(unit, step.bump.source, brought.commits, built_at=step.built_at)
            for step, brought in found
        ]
        sources = list({commit.id: commit for commits in made for commit in commits}.values())
        carrier = await find_carrier(
            unit, target, sync, homes=self._homes(target), sources={commit.id for commit in sources}
        )
        is_late = self._age_seconds(sync) > GIVE_UP_AFTER.total_seconds()
        if carrier is None and self._may_come(sync, target) and not is_late:
            return False
        await deliver(unit, target, sync, carrier, sources, now=now)
        if sync.outcome is Outcome.SUCCEEDED:
            for step, brought in found:
                await drop(unit, target, sync, step.bump.source, brought.dropped, now=now)
        drops = any(brought.dropped for _, brought in found)
        is_all = is_settled(sync, carrier) and (not drops or sync.outcome is Outcome.SUCCEEDED)
        return is_all or is_late

    def _homes(self, target: TargetRecord) -> set[RepositoryId]:
        """Return where the manifests of a target come from, and of what applies it."""
        found: set[RepositoryId] = set()
        above: TargetRecord | None = target
        for _ in range(PARENTS_LIMIT):
            if above is None:
                break
            found |= {above.repository_id} if above.repository_id is not None else set()
            above = self._registry.find_target(above.cluster, above.parent) if above.parent is not None else None
        return found

    def _may_come(self, sync: SyncRecord, target: TargetRecord) -> bool:
        """Whether a sync without a carrier may still get one, or must end first."""
        if sync.outcome is not Outcome.SUCCEEDED:
            return True
        return target.key.kind == "HelmRelease" and self._age_seconds(sync) < HANDOVER_SECONDS


def _key(rollout: RolloutRecord) -> tuple[SyncId, WorkloadId]:
    return rollout.sync_id, rollout.workload_id
