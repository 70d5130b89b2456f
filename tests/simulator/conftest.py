from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from fluxtrail.simulator.kustomize_controller import Pace
from fluxtrail.simulator.layout import CLUSTERS
from fluxtrail.simulator.script import Step
from fluxtrail.simulator.world import World, WorldOptions

QUICK = Pace(interval_seconds=600, retry_seconds=2, dependency_seconds=1, timeout_seconds=60)

Play = Callable[..., object]


def quick_options(
    directory: Path, *steps: Step, clusters: tuple[str, ...] = ("staging",), **more: object
) -> WorldOptions:
    plans = [plan for plan in CLUSTERS if plan.name in clusters]
    settings = {"hold_seconds": 0.05, "time_scale": 20.0, "pace": QUICK, "export_delay_seconds": (0.1, 0.3)} | more
    return WorldOptions(directory=directory, clusters=plans, script=list(steps), **settings)  # type: ignore[arg-type]


@pytest.fixture
def options(tmp_path: Path) -> Callable[..., WorldOptions]:
    return partial(quick_options, tmp_path)


@pytest.fixture
def play(options: Callable[..., WorldOptions]) -> Callable[..., object]:
    """Plays steps on a world and leaves it standing: `async with play(step, step, clusters=…) as world`."""

    @asynccontextmanager
    async def start(*steps: Step, **more: object) -> AsyncIterator[World]:
        async with World(options(*steps, **more)) as world:
            world.begin()
            await world.until_finished()
            yield world

    return start


@pytest.fixture
def record(options: Callable[..., WorldOptions]) -> Callable[..., object]:
    """Plays steps on staging; yields the world and every state of one object that the script led to."""

    @asynccontextmanager
    async def start(*steps: Step, resource: str, name: str) -> AsyncIterator[tuple[World, list[dict[str, object]]]]:
        async with World(options(*steps)) as world:
            changes = world.clusters["staging"].server.store.subscribe(resource)
            world.begin()
            await world.until_finished()
            yield world, [event.object for event in changes.pending() if event.name == name]

    return start
