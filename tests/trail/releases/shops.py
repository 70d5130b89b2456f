"""A Kustomization that applies HelmReleases: who changes which, and when each of both is heard of."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.trail.releases.controller import HelmController, Write
from tests.trail.releases.test_charts import PLACE, chart, helm_repository
from tests.trail.rollouts.worlds import RunningWorld

from fluxtrail.model.flux import HELM_GROUP
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.running_records import HandoverRecord

replace = msgspec.structs.replace


class Shop:
    """Releases by name, all of one chart; `apps` applies those that have no other parent."""

    def __init__(self, world: RunningWorld, *names: str) -> None:
        self.world = world
        self.releases: dict[str, Any] = {name: self._controller(name) for name in names}

    def _controller(self, name: str) -> Any:
        flux = HelmController(chart="6.3.5")
        item = chart(PLACE, chart="cart", version="6.3.5")
        flux.object = replace(
            flux.object,
            key=ObjectKey(HELM_GROUP, "HelmRelease", "shop", name),
            uid=ObjectUid(f"uid-{name}"),
            source=item.key,
            chart_source=item.made_from,
            chart=item.chart,
            parent=self.world.flux.object.key,
            inventory=(),
        )
        return flux

    async def begin(self) -> str:
        """Everything is installed since long; returns the commit that is applied."""
        await self.world.pull(helm_repository("https://charts.example.com/acme"))
        await self.world.pull(chart(PLACE, chart="cart", version="6.3.5"))
        for name in self.releases:
            await self.release(name, "install")
        self.has(*self.releases)
        sha = await self.world.begin()
        await self.work()
        return sha

    def has(self, *names: str) -> None:
        keys = tuple(self.releases[name].object.key for name in names)
        self.world.flux.object = replace(self.world.flux.object, inventory=keys)

    def now(self, name: str) -> Any:
        """Return a release's controller, brought up to the world's time."""
        flux = self.releases[name]
        self.world.now(flux)
        return flux

    def change(self, name: str, values: str | None = "v2", **fields: Any) -> None:
        """Let Flux (or whoever applies it) change a release's spec."""
        flux = self.now(name)
        flux.change(values, **fields)
        self._keep(flux)

    def _keep(self, flux: Any) -> None:
        self.world.server.releases[flux.object.key] = flux.object

    async def show(self, name: str) -> None:
        """Let what was written of a release be heard."""
        self._keep(self.releases[name])
        await self.world.play(self.releases[name])

    async def release(self, name: str, action: str = "upgrade") -> None:
        self.now(name).release(action)
        await self.show(name)

    async def fail(self, name: str, *, remedied: bool = False) -> None:
        flux = self.now(name)
        flux.attempt("upgrade")
        flux.end_badly("upgrade")
        if remedied:
            flux.roll_back()
        else:
            flux.give_up()
        await self.show(name)

    async def work(self) -> None:
        """Let everybody do what there is to be done."""
        for _ in range(3):
            await self.world.follow()
            await self.world.settle()
            self.world.hander.wake()
            await self.world.hander.work()

    async def verdict(self, sha: str, name: str) -> str:
        (found,) = await self.world.verdicts([sha], self.releases[name])
        return found

    async def verdicts(self, sha: str) -> dict[str, str]:
        return {name: await self.verdict(sha, name) for name in self.releases}

    async def handovers(self, name: str) -> list[HandoverRecord]:
        target = self.world.target(self.releases[name])
        async with self.world.ledger.unit() as unit:
            return await unit.handovers_of([target.id])

    async def restart(self) -> None:
        """Start again; all of Flux is listed as it is."""
        await self.world.begin_again()
        for flux in self.releases.values():
            flux.writes[:] = [Write(self.world.clock.time, flux.object)]
            await self.world.play(flux)
