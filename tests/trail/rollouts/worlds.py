"""Flux, a cluster and its workloads, and everything of ours that follows them to where they run: all but the cluster
is real, and nothing runs by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from tests.ledger.world import fresh_place
from tests.trail.following import World
from tests.trail.rollouts.servers import Server, inventory
from tests.trail.transcripts import CLUSTER, Controller
from tests.trail.workloads.cluster import Json, Kind

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.errors import StoreError
from fluxtrail.model.moment import Moment
from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.records import SyncRecord, Transition, TransitionKind
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.running_records import RolloutRecord, WorkloadRecord
from fluxtrail.trail.follower import Follower
from fluxtrail.trail.releases.handing import Hander
from fluxtrail.trail.rollouts.keeper import RolloutKeeper
from fluxtrail.trail.workloads.view import WorkloadView

replace = msgspec.structs.replace


class Breakable:
    """A ledger whose next units fail at their end, as many as `fails` says, after `spares` more that do not."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.spares = 0
        self.fails = 0

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[SqlUnit]:
        async with self._ledger.unit() as unit:
            yield unit
            self.spares -= 1
            if self.fails and self.spares < 0:
                self.fails -= 1
                raise StoreError("the disk is full", retryable=True)


class RunningWorld(World):
    """One Flux, `flux`, that applies `apps` of the repository `fleet` to the cluster `server`."""

    server: Server

    async def __aenter__(self) -> RunningWorld:
        await fresh_place(self.folder / "ledger.sqlite")
        self.server = Server(self.clock)
        await self.start()
        self.origin("fleet")
        self.flux = self.kustomization()
        return self

    async def start(self) -> None:
        await super().start()
        self.disk = Breakable(self.ledger)
        self.hander = Hander(registry=self.registry, ledger=self.disk, clock=self.clock)
        self.follower = Follower(
            registry=self.registry,
            ledger=self.ledger,
            on_sync=self._note_syncs,
            on_source=lambda url: None,
            on_move=self.branches.poke,
            on_release=self.hander.note_releases,
        )
        self.view = WorkloadView(CLUSTER, clock=self.clock, on_kind=lambda group, kind: None)
        self.keeper = RolloutKeeper(
            CLUSTER,
            view=self.view,
            ledger=self.disk,
            registry=self.registry,
            rereader=self.server,
            events=self.server,
            clock=self.clock,
            on_handover=self.hander.wake,
        )
        self.view.listen(self.keeper)
        await self.keeper.recall()

    def _note_syncs(self, _cluster: ClusterUid) -> None:
        self.attributor.wake()
        self.keeper.note_syncs()
        self.hander.wake()

    # -- the cluster ---------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """List every kind, as after a start."""
        for batch in self.server.list_all().values():
            await self.view.observe(batch)

    async def hear(self, *kinds: Kind) -> None:
        """Hear what these kinds' streams have brought, one after the other; of all where none is named."""
        for kind in kinds or tuple(self.server.streams):
            stream = self.server.streams[kind]
            while stream:
                await self.view.observe([stream.popleft()])

    async def look(self) -> None:
        """Let what changed be judged, and what was applied be read again."""
        self.keeper.note_syncs()
        await self.keeper.settle()

    async def look_bravely(self) -> None:
        """Look, and again as the service does where the ledger fails, until it does not."""
        is_broken = False
        while True:
            try:
                if is_broken:
                    await self.keeper.recall()
                await self.look()
            except StoreError:
                is_broken = True
            else:
                return

    async def follow(self) -> None:
        """Hear everything, and look."""
        await self.hear()
        await self.look()

    async def begin_again(self, *, is_told: bool = True) -> None:
        """Restart: the ledger is as it was, Flux and the cluster are listed.

        Args:
            is_told: Flux's objects are seen again.
        """
        self.server.streams.clear()
        await self.restart()
        await self.watch()
        if is_told:
            await self.tell(self.flux)

    async def tell(self, flux: Controller) -> None:
        """Let a Kustomization be listed as it is now."""
        flux.writes.clear()
        self.now(flux).write()
        await self.play(flux)

    # -- Flux ----------------------------------------------------------------------------------------------------

    async def begin(self, *docs: Json) -> str:
        """Watch a cluster that runs these workloads since long, and whose Flux has applied a first commit."""
        sha = self.commit("fleet", apps__a="0")
        for doc in docs:
            self.server.roll_out(doc)
        self.clock.forward(600)
        await self.watch()
        await self.fetch("fleet", sha)
        if docs:
            self.has(*docs)
        self.now(self.flux).succeed(f"main@sha1:{sha}", "d0")
        self.flux.wait(60)
        await self.tell(self.flux)
        await self.settle()
        await self.look()
        self.clock.forward(60)
        return sha

    def has(self, *docs: Json | ObjectKey, flux: Controller | None = None) -> None:
        """Let Flux's next write have these in its inventory."""
        flux = flux or self.flux
        flux.object = replace(flux.object, inventory=inventory(*docs))

    async def sync(self, number: int | None = None) -> SyncRecord:
        """Return the newest sync of `apps`, or that one."""
        return await super().sync(number or self.target(self.flux).sync_id)

    async def applied(self, name: str, *, settle: bool = True) -> str:
        """Commit, fetch, and let Flux say that it was applied; what that changes in the cluster is up to the test."""
        sha = self.commit("fleet", name, apps__a=name)
        await self.fetch("fleet", sha)
        self.now(self.flux).succeed(f"main@sha1:{sha}", name)
        await self.play(self.flux)
        if settle:
            await self.settle()
        return sha

    # -- what came of it -----------------------------------------------------------------------------------------

    async def state(self) -> RunningState:
        return (await self.sync()).running_state

    async def running(self) -> Moment:
        found = (await self.sync()).running
        assert found is not None, await self.rows()
        return found

    async def rows(self, sync: SyncRecord | None = None) -> list[RolloutRecord]:
        wanted = sync or await self.sync()
        async with self.ledger.unit() as unit:
            return await unit.rollouts_of([wanted.id])

    async def changed(self, sync: SyncRecord | None = None) -> list[str]:
        """Return the names of what a sync changed."""
        rows = await self.rows(sync)
        async with self.ledger.unit() as unit:
            found = await unit.workloads_by_id([row.workload_id for row in rows])
        return sorted(record.key.name for record in found.values())

    async def workloads(self) -> dict[str, WorkloadRecord]:
        async with self.ledger.unit() as unit:
            return {record.key.name: record for record in await unit.workloads(CLUSTER)}

    async def told(self, kind: TransitionKind = TransitionKind.RUNNING) -> list[Transition]:
        """Return the history of a kind."""
        return [item for item in await self.ledger.transitions(after_id=0, limit=1_000) if item.kind is kind]
