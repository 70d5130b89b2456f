from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.trail.rollouts.worlds import RunningWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RunningWorld]:
    async with RunningWorld(tmp_path) as made:
        yield made
