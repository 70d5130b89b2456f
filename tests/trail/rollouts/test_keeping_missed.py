"""Syncs that come one upon the other while nobody watches: what is said of them afterwards is true, or unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from tests.trail.rollouts.acts import bump, make
from tests.trail.rollouts.worlds import RunningWorld

from fluxtrail.model.moment import Precision
from fluxtrail.model.records import SyncRecord
from fluxtrail.model.rollout import RunningState

NAMES = ("web", "api")
RESOLUTION = timedelta(seconds=1)


class Step(NamedTuple):
    """One reconciliation of a new commit."""

    rest_seconds: float
    """Since the one before had ended."""
    took_seconds: float
    changes: frozenset[str]
    rolls_after: float | None
    """When, after its end, all that is there has rolled out; None: only with a later one."""
    is_watched: bool
    is_way_back: bool
    """It gives the manifests of the one before the last."""


class Deed(NamedTuple):
    sha: str
    made: str
    changes: frozenset[str]
    generations: dict[str, int]
    ended: datetime


SECONDS = st.integers(0, 40).map(lambda tenths: tenths / 10)
steps = st.builds(
    Step,
    rest_seconds=SECONDS,
    took_seconds=st.integers(3, 25).map(lambda tenths: tenths / 10),
    changes=st.frozensets(st.sampled_from(NAMES)),
    rolls_after=st.none() | SECONDS,
    is_watched=st.booleans(),
    is_way_back=st.booleans(),
)


class History:
    def __init__(self, world: RunningWorld) -> None:
        self.world = world
        self.deeds: list[Deed] = []
        self.images = dict.fromkeys(NAMES, 1)
        self.generations = dict.fromkeys(NAMES, 1)
        self.rolled: dict[str, list[tuple[int, datetime]]] = {name: [] for name in NAMES}
        self.manifests = ["d0"]

    async def begin(self, count: int) -> None:
        self.docs = dict(zip(NAMES, make(self.world, *NAMES), strict=True))
        await self.world.begin(*self.docs.values())
        self.shas = [self.world.commit("fleet", f"c{number}", apps__a=str(number)) for number in range(count)]

    async def play(self, number: int, step: Step) -> None:
        world = self.world
        world.clock.forward(step.rest_seconds)
        sha = self.shas[number]
        if step.is_watched:
            await world.fetch("fleet", sha)
        world.now(world.flux).begin(f"main@sha1:{sha}")
        began = world.clock.now()
        world.clock.forward(step.took_seconds / 2)
        for name in sorted(step.changes):
            self.images[name] += 1
            self.generations[name] += 1
            self.docs[name] = bump(world, name, self.images[name])
        world.clock.forward(step.took_seconds / 2)
        made = f"d{number + 1}" if step.changes else self.manifests[-1]
        if step.is_way_back and not step.changes and len(self.manifests) > 1:
            made = self.manifests[-2]
        self.manifests.append(made)
        world.flux.took_seconds = (world.clock.now() - began).total_seconds()
        world.now(world.flux).end_well(f"main@sha1:{sha}", made)
        self.deeds.append(Deed(sha, made, step.changes, dict(self.generations), world.clock.now()))
        await self.look(is_watched=step.is_watched)
        if step.rolls_after is not None:
            world.clock.forward(step.rolls_after)
            self.roll()
            await self.look(is_watched=step.is_watched)

    async def look(self, *, is_watched: bool) -> None:
        if is_watched:
            await self.world.play(self.world.flux)
            await self.world.settle()
            await self.world.follow()

    def roll(self) -> None:
        for name in NAMES:
            if all(generation < self.generations[name] for generation, _ in self.rolled[name]):
                self.world.server.roll_out(self.docs[name])
                self.rolled[name].append((self.generations[name], self.world.clock.now()))

    async def come_back(self) -> None:
        world = self.world
        world.flux.writes.clear()
        await world.begin_again(is_told=False)
        await world.fetch("fleet", self.shas[len(self.deeds) - 1])
        await world.tell(world.flux)
        await world.settle()
        await world.follow()

    async def end(self) -> None:
        world = self.world
        for _ in range(3):
            world.clock.forward(6)
            await world.follow()
            await world.settle()

    def ran_at(self, deed: Deed) -> datetime | None:
        """Return when all that a sync changed ran, as things were; None where it changed nothing."""
        found = [
            min(at for generation, at in self.rolled[name] if generation >= deed.generations[name])
            for name in deed.changes
        ]
        return max([deed.ended, *found]) if found else None


async def play(folder: Path, plan: Sequence[Step]) -> None:
    async with RunningWorld(folder) as world:
        history = History(world)
        await history.begin(len(plan))
        was_watched = True
        for number, step in enumerate(plan):
            if step.is_watched and not was_watched:
                await history.come_back()
            await history.play(number, step)
            was_watched = step.is_watched
        world.clock.forward(2)
        history.roll()
        await history.come_back()
        await history.end()
        for deed in history.deeds:
            await check(history, deed)


async def check(history: History, deed: Deed) -> None:
    world = history.world
    commit = await world.record(deed.sha)
    async with world.ledger.unit() as unit:
        rows = await unit.deliveries(world.target(world.flux).id, [commit.id])
        sync_id = rows[commit.id].applied_sync if commit.id in rows else None
        sync = (await unit.syncs([sync_id]))[sync_id] if sync_id else None
    if sync is None or sync.sha != deed.sha or history.manifests.count(deed.made) > 1:
        event("told together with others")  # of all revisions that gave the same, the last is known
        return
    event(f"{sync.running_state.value}, {'changed' if deed.changes else 'nothing changed'}")
    check_running(sync, history.ran_at(deed), deed)


def check_running(sync: SyncRecord, ran_at: datetime | None, deed: Deed) -> None:
    if sync.running_state is RunningState.UNKNOWN:
        return
    assert sync.running_state is (RunningState.ABSENT if ran_at is None else RunningState.REACHED), (sync, deed)
    if ran_at is None or sync.running is None:
        return
    told = sync.running
    assert told.latest >= ran_at - RESOLUTION, (told, ran_at, deed)
    if told.precision is Precision.ESTIMATED:
        assert told.earliest <= ran_at, (told, ran_at, deed)
    else:
        assert abs(told.at - ran_at) <= RESOLUTION, (told, ran_at, deed)


@pytest.mark.timeout(180)
@settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(plan=st.lists(steps, min_size=2, max_size=4))
def test_what_is_said_of_missed_syncs_is_true_or_unknown(plan: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), plan))
