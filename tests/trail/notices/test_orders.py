"""A whole story, told in any order and twice over, also across a restart, has the same verdicts and moments."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.trail.notices.telling import ToldWorld

from fluxtrail.model.notices import KeptNotice

Story = list[tuple[str, int, int]]
STORY: Story = [  # (reason, commit, seconds after)
    ("Progressing", 1, 10),
    ("ReconciliationSucceeded", 1, 10),
    ("Progressing", 2, 20),
    ("BuildFailed", 2, 20),
    ("BuildFailed", 2, 30),
    ("Progressing", 3, 40),
    ("DependencyNotReady", 3, 41),
    ("ReconciliationSucceeded", 3, 42),
    ("ReconciliationSucceeded", 3, 60),
    ("HealthCheckFailed", 4, 70),
]


async def outcome(folder: Path, random: Random | None) -> Any:
    """Return what the story comes to: in its order, or in another one and some of it again."""
    folder.mkdir()
    async with ToldWorld(folder) as world:
        assert isinstance(world, ToldWorld)
        world.origin("fleet")
        shas = [world.commit("fleet", "first", apps__a="0")]
        begin = world.clock.time.replace(microsecond=0)
        await world.taker().handle([world.event("ReconciliationSucceeded", shas[0], begin)])
        await world.settle()
        shas += [world.commit("fleet", f"change {number}", apps__a=str(number)) for number in range(1, 5)]
        story = [world.event(reason, shas[number], world.after(begin, seconds)) for reason, number, seconds in STORY]
        if random is None:
            await world.taker().handle(story)
        else:
            await world.taker().handle(shuffled(story, random))
            await world.settle()
            await world.restart()
            await world.taker().handle(shuffled(story, random))
        await world.settle()
        return await world.summary(shas)


def shuffled(story: list[KeptNotice], random: Random) -> list[KeptNotice]:
    told = story + random.choices(story, k=5)
    random.shuffle(told)
    return told


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_comes_to_the_same(tmp_path: Path, seed: int) -> None:
    expected = await outcome(tmp_path / "in-order", None)
    assert expected[0] == ["-", "deployed", "deployed", "deployed", "failed"]
    assert await outcome(tmp_path / "shuffled", Random(seed)) == expected
