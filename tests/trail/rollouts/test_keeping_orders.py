"""One history of a cluster, heard in any order, looked at at any time, with restarts and a failing ledger in between:
what is said in the end is the same, and true.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.trail.rollouts.acts import bump, make
from tests.trail.rollouts.worlds import RunningWorld
from tests.trail.workloads.cluster import DEPLOYMENT, POD, REPLICA_SET, Json

from fluxtrail.model.moment import Precision
from fluxtrail.model.rollout import RunningState

BETWEEN = ("deployments", "pods", "replica_sets", "flux", "look", "attribute", "restart", "break")
PLACES = 9
plans = st.lists(st.lists(st.sampled_from(BETWEEN), max_size=3), min_size=PLACES, max_size=PLACES)


class History:
    """Of `web` and `api`, both of which the first sync changes, and only `api` the second."""

    def __init__(self, world: RunningWorld) -> None:
        self.world = world
        self.ran: dict[str, datetime] = {}

    async def begin(self) -> None:
        await self.world.begin(*make(self.world, "web", "api"))
        self.first = self.world.commit("fleet", apps__a="1")
        self.second = self.world.commit("fleet", apps__a="2")

    async def step(self, number: int) -> None:
        world = self.world
        world.clock.forward(10)
        if number == 0:
            await world.fetch("fleet", self.first)
            world.now(world.flux).begin(f"main@sha1:{self.first}")
            world.clock.forward(1)
            self.web, self.api = bump(world, "web"), bump(world, "api")
        elif number == 1:
            world.now(world.flux).end_well(f"main@sha1:{self.first}", "d1")
        elif number == 2:
            world.server.observe(self.web)
        elif number == 3:
            self.finish("web", self.web)
        elif number == 4:
            self.finish("api", self.api)
        elif number == 5:
            await world.fetch("fleet", self.second)
            world.now(world.flux).begin(f"main@sha1:{self.second}")
            world.clock.forward(1)
            self.api = bump(world, "api", 3)
        elif number == 6:
            world.now(world.flux).end_well(f"main@sha1:{self.second}", "d2")
        elif number == 7:
            await world.hear()
            await world.look_bravely()  # what ran for a while unseen, and is broken since, nobody can know
            world.server.crash(world.server.pods_of(self.web)[0])
        else:
            self.finish("api2", self.api)

    def finish(self, name: str, doc: Json) -> None:
        self.world.server.roll_out(doc)
        self.ran[name] = self.world.clock.now().replace(microsecond=0)

    async def do(self, what: str) -> None:
        world = self.world
        kinds = {"deployments": DEPLOYMENT, "pods": POD, "replica_sets": REPLICA_SET}
        if what in kinds:
            await world.hear(kinds[what])
        elif what == "flux":
            await world.play(world.flux)
        elif what == "look":
            await world.look_bravely()
        elif what == "attribute":
            await world.settle()
        elif what == "break":
            world.disk.spares, world.disk.fails = 1, 1
        else:
            await world.begin_again()

    async def end(self) -> None:
        world = self.world
        await world.play(world.flux)
        for _ in range(3):
            await world.hear()
            await world.look_bravely()
            await world.settle()
            world.clock.forward(6)


async def play(folder: Path, plan: list[list[str]]) -> None:
    async with RunningWorld(folder) as world:
        history = History(world)
        await history.begin()
        for number, between in enumerate(plan):
            await history.step(number)
            for what in between:
                await history.do(what)
        await history.end()
        await check(history)


async def check(history: History) -> None:
    world = history.world
    commits = [(await world.record(sha)).id for sha in (history.first, history.second)]
    async with world.ledger.unit() as unit:
        rows = await unit.deliveries(world.target(world.flux).id, commits)
        syncs = await unit.syncs([row.applied_sync for row in rows.values() if row.applied_sync])
        open_rows = await unit.open_rollouts(world.view.cluster)
    assert not open_rows
    assert [rows[commit].verdict.value for commit in commits] == ["deployed", "deployed"]
    first, second = (syncs[number] for commit in commits if (number := rows[commit].applied_sync) is not None)
    assert [sync.running_state for sync in (first, second)] == [RunningState.REACHED] * 2, (first, second)
    assert first.running is not None
    assert first.running.latest >= max(history.ran["web"], history.ran["api"])
    assert second.running is not None
    assert second.running.latest >= history.ran["api2"]
    if second.running.precision is Precision.EXACT and second.id != first.id:
        assert second.running.at == history.ran["api2"]
    told = [item.commit_id for item in await world.told()]
    assert (len(told), set(told)) == (2, set(commits))


@pytest.mark.timeout(180)
@settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(plan=plans)
def test_any_order_comes_to_the_same_end(plan: list[list[str]]) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), plan))
