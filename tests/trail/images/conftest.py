from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.trail.following import World
from tests.trail.images.worlds import Shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A fleet with a baseline; the application's repository is known."""
    world = World(tmp_path)
    world.origin("fleet")
    world.origin("shop")
    world.stated = {"shop": []}
    async with world:
        world.commit("shop", "one")
        await world.branches.look()
        made = Shop(world)
        await made.begin()
        yield made
